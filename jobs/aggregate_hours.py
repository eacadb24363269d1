"""Raw events to hourly counts: validate, set aside with a reason, leave out duplicates, count.

Every hour of the window becomes a partition of `hourly_counts` and of `quarantine`; an hour whose input and parameters
are as they were is left as it is.
"""

from __future__ import annotations

import argparse
from collections.abc import Iterable
from dataclasses import replace
from functools import reduce

from py4j.protocol import Py4JJavaError
from pyspark.errors import PySparkException
from pyspark.sql import Column, DataFrame, SparkSession
from pyspark.sql import functions as F
from pyspark.sql import types as T

from jobs.arguments import add_window, as_text, hour_partition, job_parser, parse
from jobs.report import StageReport, stage
from jobs.session import spark_session
from models import columns as C
from models.counts import as_hourly_counts, with_cookie_key, with_duplicates_marked, with_no_duplicates
from models.events import CORRUPT, as_events, as_quarantine, filter_valid, with_reason
from models.schemas import EVENT, HOURLY_COUNTS, QUARANTINE
from settings import Settings
from storage import Manifest, Place, Tables
from storage.events import UNREADABLE, EventHour, check_data, find_hours
from storage.frames import PLACE, place, write_partitions
from storage.tables import plan_run

JOB = "aggregate_hours"
COUNTS, QUARANTINED = "hourly_counts", "quarantine"
SOURCE_FILE = "_source_file"
LINE = "value"  # what Spark calls a line of text
KEPT = [C.HOUR, SOURCE_FILE]
SUMS = (*C.COUNT_OF_TYPE.values(), C.DUPLICATES)


class CountsDoNotReconcileError(RuntimeError):
    """Rows in are not rows out, quarantined and duplicates together: a row was lost or counted twice."""


def parse_arguments(argv: list[str] | None = None) -> argparse.Namespace:
    parser = job_parser(JOB, "Validate and count the events of each hour in a window.")
    add_window(parser)
    return parse(parser, argv)


def run(spark: SparkSession, arguments: argparse.Namespace) -> StageReport:
    """Aggregates the hours of [start, end) that are not current; returns what became of their rows."""
    settings: Settings = arguments.settings
    with stage(spark, JOB, f"{as_text(arguments.start)}..{as_text(arguments.end)}") as report:
        tables = Tables(settings.storage.tables)
        wanted = range(arguments.start, arguments.end)
        events = Place(settings.storage.events)
        if not events.exists():  # an hour without a folder is an empty hour; no folder at all is a mistake
            raise FileNotFoundError(f"no folder of events at {events.uri} (storage.events)")
        found = find_hours(events, wanted, hour_partition, settings.events.format)
        hours = _not_current(tables, found, settings)
        manifests = _aggregate_finding_bad_data(spark, tables, hours, settings) if hours else []
        _describe(report, found, hours, manifests)
    return report


def main(argv: list[str] | None = None) -> None:
    arguments = parse_arguments(argv)
    with spark_session(JOB, arguments.settings) as spark:
        run(spark, arguments)


def _plan(hour: EventHour, settings: Settings) -> Manifest:
    parameters = {"events": settings.events.model_dump()}
    return plan_run(COUNTS, hour_partition(hour.hour), {"events": hour.identity}, parameters)


def _not_current(tables: Tables, hours: Iterable[EventHour], settings: Settings) -> list[EventHour]:
    planned = [(hour, _plan(hour, settings)) for hour in hours]
    existing = tables.find_all(COUNTS, [manifest.partition for _, manifest in planned])
    return [
        hour
        for (hour, plan), current in zip(planned, existing, strict=True)
        if current is None or current.run != plan.run
    ]


def _aggregate_finding_bad_data(
    spark: SparkSession, tables: Tables, hours: list[EventHour], settings: Settings
) -> list[Manifest]:
    """A file with a sound footer can still break while it is read; find it, set it aside and go on without it."""
    try:
        return _aggregate(spark, tables, hours, settings)
    except (Py4JJavaError, PySparkException):
        checked = _check_columns(spark, check_data(hours, settings.events.format), settings)
        if checked == hours:
            raise  # the input is not to blame
        return _aggregate(spark, tables, checked, settings)


def _check_columns(spark: SparkSession, hours: list[EventHour], settings: Settings) -> list[EventHour]:
    """Marks files with columns that Spark cannot read: times of day, halves, names that differ in case alone."""
    errors = {}
    for schema, uris in _by_schema(hours).items():
        try:
            _read_alike(spark, uris[:1], settings)
        except PySparkException as error:
            errors[schema] = str(error).splitlines()[0]
    return [
        replace(
            hour, files=tuple(replace(file, error=file.error or errors.get(file.schema, "")) for file in hour.files)
        )
        for hour in hours
    ]


def _aggregate(spark: SparkSession, tables: Tables, hours: list[EventHour], settings: Settings) -> list[Manifest]:
    raw = _read(spark, hours, settings)
    events = _placed(with_reason(raw, settings.events.max_lateness_hours), hours, settings.events.rows_per_file)
    valid = filter_valid(with_cookie_key(events)).repartition(PLACE)
    within = [PLACE, C.HOUR]
    marked = with_duplicates_marked(valid, within) if _has_event_ids(hours, settings) else with_no_duplicates(valid)
    counts = as_hourly_counts(marked, within)
    key = [C.COOKIE_KEY, C.PRODUCT_ID, C.LOCATION, C.DEVICE]
    planned = {hour.hour: _plan(hour, settings) for hour in hours}
    counted = write_partitions(tables, planned, counts, HOURLY_COUNTS, key, SUMS)
    rejected = _write_quarantine(spark, tables, events, hours, planned)
    complete = _reconciled(spark, hours, settings, counted, rejected)
    for manifest in [*rejected, *complete]:
        tables.publish(manifest)
    return complete


def _read(spark: SparkSession, hours: list[EventHour], settings: Settings) -> DataFrame:
    """All readable files as events; files with the same columns are read together."""
    frames = [_read_alike(spark, uris, settings) for _, uris in sorted(_by_schema(hours).items())]
    empty = T.StructType([*EVENT, *(T.StructField(name, T.StringType()) for name in (C.REASON, C.RAW))])
    nothing = spark.createDataFrame([], empty.add(C.HOUR, T.IntegerType()).add(SOURCE_FILE, T.StringType()))
    return reduce(DataFrame.unionByName, frames, nothing)


def _by_schema(hours: list[EventHour]) -> dict[str, list[str]]:
    uris: dict[str, list[str]] = {}
    for hour in hours:
        for file in hour.readable:
            uris.setdefault(file.schema, []).append(file.uri)
    return uris


def _read_alike(spark: SparkSession, uris: list[str], settings: Settings) -> DataFrame:
    if settings.events.format == "json":
        names = dict.fromkeys(settings.events.columns.get(name, name) for name in EVENT.fieldNames())
        raw = _parsed(_lines(spark, uris, settings), list(names))
    else:
        raw = spark.read.option("basePath", settings.storage.events).parquet(*uris)
    located = raw.withColumn(SOURCE_FILE, F.col("_metadata.file_path")).withColumn(C.HOUR, _hour_of_folder())
    return as_events(located.drop("dt", "hr"), settings.events.columns, KEPT)


def _lines(spark: SparkSession, uris: list[str], settings: Settings) -> DataFrame:
    """Lines of JSON; blank ones are no rows."""
    return spark.read.option("basePath", settings.storage.events).text(uris).where(F.col(LINE).rlike(r"\S"))


def _parsed(lines: DataFrame, names: list[str]) -> DataFrame:
    """One row a line, whatever is in it. (Spark's own reader makes several of a line that holds an array.)"""
    schema = T.StructType([T.StructField(name, T.StringType()) for name in [*names, CORRUPT]])
    parsed = F.from_json(LINE, schema, {"columnNameOfCorruptRecord": CORRUPT})
    corrupt = F.when(parsed.isNull(), F.col(LINE)).otherwise(parsed[CORRUPT])
    return lines.select(*(parsed[name].alias(name) for name in names), corrupt.alias(CORRUPT), "dt", "hr", "_metadata")


def _hour_of_folder() -> Column:
    return (F.datediff("dt", F.lit("1970-01-01")) * 24 + F.col("hr")).cast("int")


def _placed(events: DataFrame, hours: list[EventHour], rows_per_file: int) -> DataFrame:
    """Which hour's table and which file of it an event goes to; that follows from the hour's input alone."""
    files = {hour.hour: -(-hour.rows // rows_per_file) for hour in hours if hour.rows > rows_per_file}
    if not files:
        return events.withColumn(PLACE, place(F.col(C.HOUR), F.lit(0)))
    pairs = [F.lit(value) for item in files.items() for value in item]
    many = F.coalesce(F.create_map(*pairs)[F.col(C.HOUR)], F.lit(1))
    return events.withColumn(PLACE, place(F.col(C.HOUR), F.pmod(F.xxhash64(C.COOKIE_ID), many)))


def _has_event_ids(hours: list[EventHour], settings: Settings) -> bool:
    name = settings.events.columns.get(C.EVENT_ID, C.EVENT_ID)
    schemas = {file.schema for hour in hours for file in hour.readable}
    return any(schema == "json" or f"{name}:" in schema for schema in schemas)


def _write_quarantine(
    spark: SparkSession,
    tables: Tables,
    events: DataFrame,
    hours: list[EventHour],
    planned: dict[int, Manifest],
) -> list[Manifest]:
    """Rejected rows, and unreadable files as a row each, with their reasons."""
    rows = as_quarantine(events, SOURCE_FILE, [C.HOUR])
    broken = [(file.uri, UNREADABLE, file.error, hour.hour) for hour in hours for file in hour.broken]
    if broken:
        rows = rows.unionByName(spark.createDataFrame(broken, rows.schema))
    runs = {hour: replace(manifest, table=QUARANTINED) for hour, manifest in planned.items()}
    placed = rows.withColumn(PLACE, place(F.col(C.HOUR), F.lit(0))).repartition(PLACE)
    return write_partitions(tables, runs, placed, QUARANTINE, QUARANTINE.fieldNames())


def _reconciled(
    spark: SparkSession,
    hours: list[EventHour],
    settings: Settings,
    counted: list[Manifest],
    rejected: list[Manifest],
) -> list[Manifest]:
    """The manifests with their counts. Raises CountsDoNotReconcileError if any row is unaccounted for."""
    lines = _lines_by_hour(spark, hours, settings) if settings.events.format == "json" else {}
    complete = []
    for hour, manifest, quarantine in zip(hours, counted, rejected, strict=True):
        sums = manifest.counts
        counts = {
            "rows_in": lines.get(hour.hour, 0) if settings.events.format == "json" else hour.rows,
            "events": sum(sums.get(name, 0) for name in C.COUNT_OF_TYPE.values()),
            "quarantined": quarantine.rows - len(hour.broken),
            "duplicates": sums.get(C.DUPLICATES, 0),
            "files_in": len(hour.files),
            "files_quarantined": len(hour.broken),
        }
        if counts["rows_in"] != counts["events"] + counts["quarantined"] + counts["duplicates"]:
            raise CountsDoNotReconcileError(f"{manifest.partition}: {counts}")
        complete.append(replace(manifest, counts=counts))
    return complete


def _lines_by_hour(spark: SparkSession, hours: list[EventHour], settings: Settings) -> dict[int, int]:
    """JSON lines say nothing of their number beforehand."""
    uris = [file.uri for hour in hours for file in hour.readable]
    if not uris:
        return {}
    by_hour = _lines(spark, uris, settings).groupBy(_hour_of_folder().alias(C.HOUR)).count()
    return {row[C.HOUR]: row["count"] for row in by_hour.collect()}


def _describe(report: StageReport, found: list[EventHour], hours: list[EventHour], manifests: list[Manifest]) -> None:
    def total(name: str) -> int:
        return sum(manifest.counts[name] for manifest in manifests)

    report.rows_in, report.rows_out = (total("rows_in"), total("events")) if manifests else (0, 0)
    report.quarantined, report.duplicates = total("quarantined"), total("duplicates")
    report.details = {
        "hours": len(hours),
        "up_to_date": len(found) - len(hours),
        "without_input": sum(not hour.files for hour in hours),
        "duplicates": report.duplicates,
        "files_quarantined": total("files_quarantined"),
        "groups": sum(manifest.rows for manifest in manifests),
    }


if __name__ == "__main__":
    main()
