"""Raw events to hourly counts: validate, set aside with a reason, leave out duplicates, count.

Every hour of the window becomes a partition of `hourly_counts` and of `quarantine`; an hour whose input and parameters
are as they were is left as it is.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable, Mapping
from dataclasses import replace
from datetime import datetime
from typing import NamedTuple

import pyarrow as pa
from pyspark.sql import SparkSession

from larder.jobs.events.hour_tasks import (
    QUARANTINE_ARROW,
    REPORT,
    AggregationRules,
    BrokenFile,
    FoundColumns,
    HourPlan,
    Report,
    TaskOutput,
    count_files,
    read_pieces,
)
from larder.jobs.events.losses import QuarantinedHourError, check_folders, losses, told_of_columns, unsteady_files
from larder.jobs.runtime.stage_report import StageReport, stage
from larder.jobs.runtime.task_sizes import together
from larder.models.hours import as_text, hour_partition
from larder.models.tables import BOTS, HOURLY_COUNTS, QUARANTINE
from larder.settings import Settings, SettingsError
from larder.storage import Manifest, StoragePath, Tables
from larder.storage.event_folders import UNREADABLE, EventHour, find_hours
from larder.storage.event_layout import partition_by
from larder.storage.event_reading import ROWS_A_PIECE, UnreadableError, pieces_of, read_through
from larder.storage.frames import FileWrittenTwiceError
from larder.storage.manifests import plan_run
from larder.storage.parquet_parts import Part

JOB = "aggregate_hours"
NAMED_HOURS = 5
ROUNDS = 4  # times that an hour is read while its files come and go
# Settings that decide where hours are found and when a job fails, not what becomes of a row.
WITHOUT_EFFECT = {"layout", "max_quarantined_share", "empty_hours"}
TABLES = (HOURLY_COUNTS, QUARANTINE, BOTS)


class CountsDoNotReconcileError(RuntimeError):
    """Rows in are not events, quarantined, duplicates and bots' together: a row was lost or counted twice."""


class IncompleteHourError(LookupError):
    """An hour's files are not all there yet, by events.success_file or events.quiet_minutes; try again later."""

    exit_code = 75  # EX_TEMPFAIL of sysexits.h: a scheduler should wait and try again


class UnsteadyStoreError(OSError):
    """Files that could not be read can be read again, and others not; nothing was changed, try again later."""

    exit_code = 75


def aggregate(spark: SparkSession, settings: Settings, start: int, end: int, now: datetime | None) -> StageReport:
    """Aggregates the hours of [start, end) that are not current; returns what became of their rows.

    Raises FileNotFoundError, LayoutError, IncompleteHourError, UnsteadyStoreError, and what larder.jobs.events.losses
    names.
    """
    with stage(spark, JOB, f"{as_text(start)}..{as_text(end)}") as report:
        tables = Tables(settings.storage.tables)
        events = StoragePath(settings.storage.events)
        if not events.exists():  # an hour without a folder is an empty hour; no folder at all is a mistake
            raise FileNotFoundError(f"no folder of events at {events.uri} (storage.events)")
        found = _look(settings, range(start, end))
        check_folders(events, settings.events.layout, found)
        _check_complete(found, settings, now)
        hours = _not_current(tables, found, settings)
        counted, unsteady = _aggregate(spark, tables, hours, settings) if hours else ([], [])
        made = [_manifests(each, settings) for each in counted]
        lost = losses([each.hour for each in counted], [counts for *_, counts in made], settings.events)
        for *apart, counts in made:
            for manifest in [*apart, *([] if counts.partition in lost else [counts])]:
                tables.publish(manifest)
        _describe(report, found, hours, [counts for *_, counts in made])
        report.details |= told_of_columns([item for each in counted for item in each.columns], settings.events.columns)
        if unsteady:
            raise UnsteadyStoreError(unsteady_files(unsteady))
        if lost:
            raise QuarantinedHourError("; ".join(lost.values()))
    return report


def _look(settings: Settings, hours: Iterable[int]) -> list[EventHour]:
    rules = settings.events
    events = StoragePath(settings.storage.events)
    return find_hours(events, hours, partition_by(rules.layout), rules.format, rules.success_file)


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
    parameters = {"events": settings.events.model_dump(exclude=WITHOUT_EFFECT)}
    return plan_run(table, hour_partition(hour.hour), {"events": hour.identity}, parameters)


def _not_current(tables: Tables, hours: list[EventHour], settings: Settings) -> list[EventHour]:
    """Hours without current counts, and those with a damaged file. What was set aside may be gone by its age."""
    counted = tables.are_current([_plan(hour, settings, HOURLY_COUNTS) for hour in hours])
    apart = [tables.are_damaged([_plan(hour, settings, table) for hour in hours]) for table in (QUARANTINE, BOTS)]
    return [hour for hour, current, *damaged in zip(hours, counted, *apart, strict=True) if not current or any(damaged)]


class CountedHour(NamedTuple):
    """An hour whose rows are all read: what tasks wrote of it, and the columns that its files have."""

    hour: EventHour
    outputs: list[TaskOutput]
    columns: list[FoundColumns]


def _aggregate(
    spark: SparkSession, tables: Tables, hours: list[EventHour], settings: Settings
) -> tuple[list[CountedHour], list[EventHour]]:
    """Reads the hours, and those again in which a file broke; returns also the hours whose files come and go.

    A file with a sound footer can still break while it is read. It is set aside, and its hour begun anew, once another
    look breaks too; if that does not, the store has stumbled and the file is read again.
    """
    counted: list[CountedHour] = []
    for _ in range(ROUNDS):
        plans = _plans(tables, hours, settings)
        found = _by_hour(hours, _in_spark(spark, hours, plans, settings))
        waiting = []
        for hour in hours:
            reports = found[hour.hour]
            broken = {item.uri: (item.error, item.is_sure) for item in reports if isinstance(item, BrokenFile)}
            broken |= {file.uri: (file.error, file.is_sure) for file in hour.broken}
            errors = {uri: told for uri, told in broken.items() if told[1] or _breaks(uri, settings.events.format)}
            if len(errors) == len(hour.broken) and errors.keys() == broken.keys():
                counted.append(_counted(hour, plans[hour.hour], reports))
            else:
                [again] = _look(settings, [hour.hour])
                waiting.append(again.with_errors(errors))
        hours = waiting
        if not hours:
            break
    return counted, hours


def _by_hour(hours: list[EventHour], found: list[Report]) -> dict[int, list[Report]]:
    """Returns what tasks reported of each hour: a year has 9,000 hours and as many reports of each kind."""
    hour_of = {file.uri: hour.hour for hour in hours for file in hour.files}
    reports: dict[int, list[Report]] = {hour.hour: [] for hour in hours}
    for item in found:
        reports[hour_of[item.uri] if isinstance(item, FoundColumns) else item.hour].append(item)
    return reports


def _breaks(uri: str, event_format: str) -> bool:
    """Whether the file can't be read now either."""
    try:
        read_through(uri, event_format)
    except UnreadableError:
        return True
    return False


def _counted(hour: EventHour, plan: HourPlan, reports: list[Report]) -> CountedHour:
    outputs = [item for item in reports if isinstance(item, TaskOutput)]
    if hour.broken:
        outputs.append(_unreadable(hour, plan))
    return CountedHour(hour, outputs, [item for item in reports if isinstance(item, FoundColumns)])


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
) -> list[Report]:
    """One shuffle, of packed events: all of a cookie's come together, and every byte moves once."""
    pieces = [piece for hour in hours for piece in pieces_of(hour)]
    if not pieces:
        return []
    rules = AggregationRules(
        settings.events.columns,
        settings.events.max_lateness_hours,
        settings.events.max_events_an_hour,
        tuple(sorted(settings.events.placeholder_ids)),
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


def _manifests(counted: CountedHour, settings: Settings) -> list[Manifest]:
    """Bots, quarantine, then counts. Raises CountsDoNotReconcileError if any row is unaccounted for."""
    hour, written = counted.hour, counted.outputs
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
        **({"files_empty": empty} if (empty := sum(not file.bytes for hour in hours for file in hour.files)) else {}),
        "duplicates": report.duplicates,
        "bot_events": total("bot_events"),
        "files_quarantined": total("files_quarantined"),
        "groups": sum(manifest.rows for manifest in manifests),
    }
