"""Raw events to hourly counts: validate, set aside with a reason, leave out duplicates, count.

Every hour of the window becomes a partition of `hourly_counts` and of `quarantine`; an hour whose input and parameters
are as they were is left as it is.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterator, Mapping
from dataclasses import replace
from datetime import datetime

import pyarrow as pa
from pyspark.sql import SparkSession

from larder.jobs.events.hour_tasks import (
    QUARANTINE_ARROW,
    REPORT,
    AggregationRules,
    BrokenFile,
    HourPlan,
    TaskOutput,
    count_files,
    read_pieces,
)
from larder.jobs.runtime.stage_report import StageReport, stage
from larder.jobs.runtime.task_sizes import together
from larder.models.hours import as_text, hour_partition
from larder.models.tables import BOTS, HOURLY_COUNTS, QUARANTINE
from larder.settings import Settings, SettingsError
from larder.storage import Manifest, StoragePath, Tables
from larder.storage.event_folders import UNREADABLE, EventHour, find_hours
from larder.storage.event_rows import ROWS_A_PIECE, UnreadableError, pieces_of, read_through
from larder.storage.frames import FileWrittenTwiceError
from larder.storage.manifests import plan_run
from larder.storage.parts import Part

JOB = "aggregate_hours"
NAMED_HOURS = 5
TABLES = (HOURLY_COUNTS, QUARANTINE, BOTS)


class CountsDoNotReconcileError(RuntimeError):
    """Rows in are not events, quarantined, duplicates and bots' together: a row was lost or counted twice."""


class IncompleteHourError(LookupError):
    """An hour's files are not all there yet, by events.success_file or events.quiet_minutes; try again later."""


def aggregate(spark: SparkSession, settings: Settings, start: int, end: int, now: datetime | None) -> StageReport:
    """Aggregates the hours of [start, end) that are not current; returns what became of their rows."""
    with stage(spark, JOB, f"{as_text(start)}..{as_text(end)}") as report:
        tables = Tables(settings.storage.tables)
        wanted = range(start, end)
        events = StoragePath(settings.storage.events)
        if not events.exists():  # an hour without a folder is an empty hour; no folder at all is a mistake
            raise FileNotFoundError(f"no folder of events at {events.uri} (storage.events)")
        found = find_hours(events, wanted, hour_partition, settings.events.format, settings.events.success_file)
        _check_complete(found, settings, now)
        hours = _not_current(tables, found, settings)
        manifests = _aggregate(spark, tables, hours, settings) if hours else []
        _describe(report, found, hours, manifests)
    return report


def _check_complete(hours: list[EventHour], settings: Settings, now: datetime | None) -> None:
    """Raises IncompleteHourError, which names the hours and what they lack."""
    rules = settings.events
    if rules.quiet_minutes and now is None:
        raise SettingsError("events.quiet_minutes is set, so --now must say what time it is")
    unfinished = [hour for hour in hours if rules.success_file and not hour.has_success_file]
    if unfinished:
        raise IncompleteHourError(f"{_named(unfinished)}: no {rules.success_file} yet (events.success_file)")
    since = (now.timestamp() - 60 * rules.quiet_minutes) * 1e9 if now else 0.0
    busy = [hour for hour in hours if rules.quiet_minutes and any(file.modified_ns > since for file in hour.files)]
    if busy:
        raise IncompleteHourError(
            f"{_named(busy)}: written to within {rules.quiet_minutes} minutes (events.quiet_minutes)"
        )


def _named(hours: list[EventHour]) -> str:
    names = [hour_partition(hour.hour) for hour in hours]
    return ", ".join(names[:NAMED_HOURS]) + (
        f" and {len(names) - NAMED_HOURS} more" if len(names) > NAMED_HOURS else ""
    )


def _plan(hour: EventHour, settings: Settings, table: str) -> Manifest:
    parameters = {"events": settings.events.model_dump()}
    return plan_run(table, hour_partition(hour.hour), {"events": hour.identity}, parameters)


def _not_current(tables: Tables, hours: list[EventHour], settings: Settings) -> list[EventHour]:
    """Hours without current counts, and those with a damaged file. What was set aside may be gone by its age."""
    counted = tables.are_current([_plan(hour, settings, HOURLY_COUNTS) for hour in hours])
    apart = [tables.are_damaged([_plan(hour, settings, table) for hour in hours]) for table in (QUARANTINE, BOTS)]
    return [hour for hour, current, *damaged in zip(hours, counted, *apart, strict=True) if not current or any(damaged)]


def _aggregate(spark: SparkSession, tables: Tables, hours: list[EventHour], settings: Settings) -> list[Manifest]:
    """A file with a sound footer can still break while it is read: it is set aside, and its hour begun anew.

    Raises OSError, and publishes nothing, where a file that is set aside can be read after all.
    """
    plans = _plans(tables, hours, settings)
    found = _in_spark(spark, hours, plans, settings)
    broken = {item.uri: item.error for item in found if isinstance(item, BrokenFile)}
    if broken:
        return _aggregate(spark, tables, [hour.with_errors(broken) for hour in hours], settings)
    _check_still_broken(hours, settings.events.format)
    written = [item for item in found if isinstance(item, TaskOutput)]
    written += [_unreadable(hour, plans[hour.hour]) for hour in hours if hour.broken]
    made = [_manifests(hour, [item for item in of_hour], settings) for hour, of_hour in _by_hour(hours, written)]
    for *apart, counts in made:
        for manifest in [*apart, counts]:
            tables.publish(manifest)
    return [counts for *_, counts in made]


def _check_still_broken(hours: list[EventHour], event_format: str) -> None:
    """Raises OSError for a file that can be read after all: the store stumbled, and its rows must not be set aside."""
    for file in (file for hour in hours for file in hour.broken):
        try:
            read_through(file.uri, event_format)
        except UnreadableError:
            continue
        raise OSError(
            f"{file.uri} could not be read ({file.error}) and now can; nothing was changed, run the job again"
        )


def _plans(tables: Tables, hours: list[EventHour], settings: Settings) -> dict[int, HourPlan]:
    plans = {}
    place = 0
    for hour in hours:
        counts, quarantine, bots = (tables.run_folder(_plan(hour, settings, table)) for table in TABLES)
        files = _power_of_two(-(-hour.likely_rows // settings.events.rows_per_file))
        plans[hour.hour] = HourPlan(counts, quarantine, bots, place, files)
        place += files
    return plans


def _power_of_two(least: int) -> int:
    return 1 << max(0, least - 1).bit_length()


def _in_spark(
    spark: SparkSession, hours: list[EventHour], plans: Mapping[int, HourPlan], settings: Settings
) -> list[TaskOutput | BrokenFile]:
    """One shuffle, of packed events: all of a cookie's come together, and every byte moves once."""
    pieces = [piece for hour in hours for piece in pieces_of(hour)]
    if not pieces:
        return []
    rules = AggregationRules(
        settings.events.columns, settings.events.max_lateness_hours, settings.events.max_events_an_hour
    )
    tasks = together(pieces, [piece.likely_rows for piece in pieces], ROWS_A_PIECE)
    places = [plan.first_file + file for plan in plans.values() for file in range(plan.files)]
    rows = [hour.likely_rows // plans[hour.hour].files for hour in hours for _ in range(plans[hour.hour].files)]
    partition_of = {
        place: number
        for number, of_partition in enumerate(together(places, rows, settings.events.rows_per_file))
        for place in of_partition
    }
    reports = len(set(partition_of.values()))  # the last partition
    partition_of[REPORT] = reports
    return (
        spark.sparkContext.parallelize(tasks, len(tasks))
        .flatMap(lambda of_task: read_pieces(of_task, plans, rules))
        .partitionBy(reports + 1, partition_of.__getitem__)
        .mapPartitions(lambda parcels: count_files(parcels, plans, rules))
        .collect()
    )


def _unreadable(hour: EventHour, plan: HourPlan) -> TaskOutput:
    """Files that can't be read, as a row of quarantine each."""
    rows = [(file.uri, UNREADABLE, file.error) for file in hour.broken]
    part = Part(QUARANTINE_ARROW)
    part.add(pa.table([list(column) for column in zip(*rows, strict=True)], schema=QUARANTINE_ARROW))
    return TaskOutput(QUARANTINE, hour.hour, part.write(plan.quarantine, len(pieces_of(hour))), {})


def _by_hour(hours: list[EventHour], written: list[TaskOutput]) -> Iterator[tuple[EventHour, list[TaskOutput]]]:
    of_hour: dict[int, list[TaskOutput]] = {hour.hour: [] for hour in hours}
    for item in written:
        of_hour[item.hour].append(item)
    return ((hour, of_hour[hour.hour]) for hour in hours)


def _manifests(hour: EventHour, written: list[TaskOutput], settings: Settings) -> list[Manifest]:
    """Quarantine, bots, then counts. Raises CountsDoNotReconcileError if any row is unaccounted for."""
    totals: Counter[str] = Counter()
    for item in written:
        totals.update(item.counts)
    counts = {
        **{name: totals[name] for name in ("rows_in", "events", "quarantined", "duplicates", "bot_events")},
        "files_in": len(hour.files),
        "files_quarantined": len(hour.broken),
    }
    manifests = []
    for table in reversed(TABLES):
        files = sorted((item.file for item in written if item.table == table and item.file), key=lambda file: file.name)
        if len({file.name for file in files}) < len(files):
            raise FileWrittenTwiceError(f"two tasks wrote a file of {table} {hour_partition(hour.hour)}")
        manifests.append(replace(_plan(hour, settings, table), files=tuple(files)))
    if counts["rows_in"] != sum(counts[name] for name in ("events", "quarantined", "duplicates", "bot_events")):
        raise CountsDoNotReconcileError(f"{hour_partition(hour.hour)}: counts do not add up: {counts}")
    return [*manifests[:-1], replace(manifests[-1], counts=counts)]


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
        "bot_events": total("bot_events"),
        "files_quarantined": total("files_quarantined"),
        "groups": sum(manifest.rows for manifest in manifests),
    }
