"""Reports an online experiment: what its arms were served, what followed, and how sure their difference is.

It reads the journey log and the events, once each; `--before` hours before the start make intervals narrower.
"""

from __future__ import annotations

import argparse
import json
import os
from collections.abc import Iterator, Mapping
from contextlib import ExitStack, contextmanager
from typing import Any

from pyspark import StorageLevel
from pyspark.sql import DataFrame, SparkSession
from pyspark.sql import functions as F

from larder.jobs.events.losses import check_folders
from larder.jobs.experiments import experiment_columns as E
from larder.jobs.experiments.arm_moments import arm_sums
from larder.jobs.experiments.experiment_page import experiment_page
from larder.jobs.experiments.experiment_results import Outcome, results
from larder.jobs.experiments.experiment_summary import experiment_summary
from larder.jobs.experiments.outcome_events import EventRules, outcome_events
from larder.jobs.experiments.served_log import experiments_of, served_before, served_in_arms
from larder.jobs.experiments.unit_sums import (
    MICROSECONDS_AN_HOUR,
    attributed,
    first_arms,
    metric_sums,
    with_sums,
    with_time_before,
)
from larder.jobs.runtime.expected_errors import errors_in_a_line
from larder.jobs.runtime.job_arguments import parse
from larder.jobs.runtime.session import spark_session
from larder.jobs.runtime.stage_report import StageReport, stage
from larder.models.hours import as_text, hour_partition
from larder.settings import ExperimentSettings, Settings, SettingsError
from larder.storage import StoragePath
from larder.storage.event_folders import EventHour, find_hours
from larder.storage.event_layout import partition_by
from larder.storage.event_reading import Piece, pieces_of

JOB = "report_experiment"
REPORTS = "experiment_reports"  # beside the tables, unless --to names a folder


class ExperimentNotFoundError(LookupError):
    """No settings have the experiment, or no answer of these hours was in it; the message names those there are."""


class EarlierImpressionsError(ValueError):
    """The experiment was in force before --start, so that the time before says nothing of visitors as they were."""


class RowsAreMissingError(RuntimeError):
    """The log's rows are not those that count and those left out together: a row was lost or counted twice."""


class SampleRatioError(RuntimeError):
    """Visitors did not come to the arms in the shares of the settings, so no difference of the arms means anything."""

    exit_code = 3  # for a schedule, that it can tell this from an error: the report is written


def parse_arguments(argv: list[str] | None = None) -> argparse.Namespace:
    """Returns the job's arguments; `argv` is the process's own if None."""
    return parse(JOB, argv)


def run(spark: SparkSession, arguments: argparse.Namespace) -> StageReport:
    """Writes report.json and report.html into the folder arguments.to, and prints what they say.

    Raises SettingsError, ExperimentNotFoundError, EarlierImpressionsError and, after the report is written,
    SampleRatioError.
    """
    settings: Settings = arguments.settings
    experiment = _experiment(settings, arguments.name)
    with stage(spark, JOB, f"{as_text(arguments.start)}..{as_text(arguments.end)}") as report:
        found = _results(spark, arguments, experiment)
        rows = found["rows"]
        report.rows_in, report.rows_out = rows["read"], rows["used"]
        report.details = {name: rows[name] for name in rows if name not in ("read", "used")}
        folder = arguments.to or _usual_folder(arguments)
        report.details["report"] = (folder / "report.html").uri
        (folder / "report.json").write((json.dumps(found, indent=1, sort_keys=True) + "\n").encode())
        (folder / "report.html").write(experiment_page(found).encode())
        if os.environ.get("LARDER_LOG") != "json":
            print(experiment_summary(found), flush=True)
    if found["sample_ratio"]["is_mismatch"]:
        raise SampleRatioError(
            f"{arguments.name}: visitors did not come to the arms in the shares of the settings "
            f"(p = {found['sample_ratio']['p_value']:.2g}), so the report shows no differences; find the cause first: "
            f"were shares shifted in these hours, does an arm fail, or are its impressions not logged?"
        )
    return report


def main(argv: list[str] | None = None) -> None:
    """Runs the job as the command line says."""
    start(parse_arguments(argv))


def start(arguments: argparse.Namespace) -> None:
    """Runs the job in a Spark session of its own."""
    with spark_session(JOB, arguments.settings) as spark:
        run(spark, arguments)


def _results(spark: SparkSession, arguments: argparse.Namespace, experiment: ExperimentSettings) -> dict[str, Any]:
    settings: Settings = arguments.settings
    hours = range(arguments.start, arguments.end)
    by_request = experiment.unit == "request"
    before = 0 if by_request else arguments.before  # each request is a unit of its own, without a time before
    log, events = _log(settings, hours), _events(settings, range(arguments.start, arguments.end + arguments.within))
    pieces = _pieces(log)
    metrics = settings.report.all_metrics()
    rules = EventRules(settings.events, {name: each for name, each in metrics.items() if each.value}, by_request)
    with _kept(served_in_arms(spark, pieces, arguments.name, by_request)) as served, ExitStack() as stack:
        counts = {row[E.STATE]: row[1] for row in served.groupBy(E.STATE).agg(F.sum(E.IMPRESSIONS)).collect()}
        if not counts.get(E.IN_ARM):
            raise ExperimentNotFoundError(_nothing_found(spark, pieces, arguments))
        units = stack.enter_context(_kept(first_arms(served)))
        followed = attributed(outcome_events(spark, _pieces(events), rules), units, served, arguments.within)
        summed = with_sums(units, metric_sums(followed, metrics))
        if before:
            earlier = range(arguments.start - before, arguments.start)
            served_then = stack.enter_context(_kept(_served_before(spark, arguments, earlier)))
            _check_before(served_then, arguments.name)
            events_then = outcome_events(spark, _pieces(_events(settings, earlier)), rules)
            summed = with_time_before(summed, served_then, events_then, metrics, arguments.start, arguments.within)
        outcome = Outcome(arm_sums(summed, metrics), experiment, settings.report, len(hours))
    return {
        "experiment": arguments.name,
        "start": as_text(arguments.start),
        "end": as_text(arguments.end),
        "within_hours": arguments.within,
        "before_hours": before,
        "unit": experiment.unit,
        "control": outcome.control,
        "level": settings.report.level,
        "planned_cookies": settings.report.planned_cookies,
        "rows": _rows(log, counts, outcome),
        "files_unreadable": sum(len(hour.broken) for hour in (*log, *events)),
        "hours_without": {name: _absent(found) for name, found in (("log", log), ("events", events))},
        **results(outcome),
    }


@contextmanager
def _kept(frame: DataFrame) -> Iterator[DataFrame]:
    """Keeps the rows of a DataFrame on disk, as they are used several times and may not fit into memory."""
    try:
        yield frame.persist(StorageLevel.DISK_ONLY)
    finally:
        frame.unpersist()


def _served_before(spark: SparkSession, arguments: argparse.Namespace, hours: range) -> DataFrame:
    return served_before(spark, _pieces(_log(arguments.settings, hours)), arguments.name)


def _check_before(served: DataFrame, name: str) -> None:
    """Raises EarlierImpressionsError if somebody was in an arm."""
    in_arm = served.where((F.col(E.STATE) == E.IN_ARM) & (F.col(E.ARM) != E.NO_ARM))
    first = in_arm.agg(F.min(E.MOMENT)).collect()[0][0]
    if first is not None:
        raise EarlierImpressionsError(
            f"{name} was in force before --start, from {as_text(first // MICROSECONDS_AN_HOUR)} on, and changed what "
            f"visitors did; name the hour of its start, or --before 0 for a report without the time before"
        )


def _experiment(settings: Settings, name: str) -> ExperimentSettings:
    """Returns the settings of an experiment. Raises ExperimentNotFoundError, and SettingsError without a log."""
    if not settings.lookup.journey:
        raise SettingsError("lookup.journey is empty: nothing was logged; set it to a folder and restart the endpoint")
    if name not in settings.experiments:
        there = ", ".join(settings.experiments) or "none"
        raise ExperimentNotFoundError(f"the settings have no [experiments.{name}]; there is {there}")
    return settings.experiments[name]


def _log(settings: Settings, hours: range) -> list[EventHour]:
    """Returns these hours of the log. Raises SettingsError if there is no such folder."""
    place = StoragePath(settings.lookup.journey)
    if not place.exists():
        raise SettingsError(f"no folder at {place.uri} (lookup.journey)")
    return find_hours(place, hours, hour_partition, "parquet")


def _events(settings: Settings, hours: range) -> list[EventHour]:
    """Returns these hours of events. Raises SettingsError if there is no such folder, and LayoutError."""
    place = StoragePath(settings.storage.events)
    if not place.exists():
        raise SettingsError(f"no folder at {place.uri} (storage.events)")
    found = find_hours(place, hours, partition_by(settings.events.layout), settings.events.format)
    check_folders(place, settings.events.layout, found)
    return found


def _pieces(hours: list[EventHour]) -> list[Piece]:
    return [piece for hour in hours for piece in pieces_of(hour)]


def _absent(hours: list[EventHour]) -> int:
    return sum(not hour.has_folder for hour in hours)


def _rows(log: list[EventHour], counts: Mapping[str, int], outcome: Outcome) -> dict[str, int]:
    """Returns what became of the log's rows. Raises RowsAreMissingError if it is not what the files' footers count."""
    moved = outcome.total(E.MOVED)
    rows = {
        "read": sum(hour.likely_rows for hour in log),
        "used": outcome.total(E.IMPRESSIONS),
        "moved": moved,
        "forced": counts.get(E.BY_FORCE, 0),
        "not_in_experiment": counts.get(E.ELSEWHERE, 0),
    }
    if rows["read"] != sum(rows.values()) - rows["read"] or rows["used"] + moved != counts[E.IN_ARM]:
        raise RowsAreMissingError(f"rows of the log do not add up: {rows}")
    return rows


def _nothing_found(spark: SparkSession, pieces: list[Piece], arguments: argparse.Namespace) -> str:
    there = ", ".join(experiments_of(spark, pieces)) or "none"
    window = f"from {as_text(arguments.start)} to {as_text(arguments.end)}"
    return (
        f"no impression {window} was in an arm of {arguments.name}, forced ones left out; in the log of these hours "
        f"there is {there} (lookup.journey)"
    )


def _usual_folder(arguments: argparse.Namespace) -> StoragePath:
    name = f"{arguments.name}-{as_text(arguments.start)}-{as_text(arguments.end)}"
    return StoragePath(arguments.settings.storage.tables) / REPORTS / name


if __name__ == "__main__":
    with errors_in_a_line():
        main()
