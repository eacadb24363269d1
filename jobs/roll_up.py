"""Hourly counts to running, decayed interactions and contexts, as of the end of the window.

Goes on from the state as of the start of the window, so its cost follows the new hours and the state.
"""

from __future__ import annotations

import argparse
from dataclasses import replace

from pyspark.sql import SparkSession

from larder.jobs.interactions.roll_up_tasks import (
    ROWS_A_TASK,
    HourFile,
    RollUpRules,
    StatePlan,
    read_hours,
    roll_up_places,
)
from larder.jobs.runtime.arguments import add_window, as_of_partition, as_text, hour_partition, job_parser, parse
from larder.jobs.runtime.expected_errors import errors_in_a_line
from larder.jobs.runtime.session import spark_session
from larder.jobs.runtime.stage_report import StageReport, stage
from larder.jobs.runtime.task_sizes import together
from larder.models.interactions.decay import HOURS_A_DAY, Decay
from larder.settings import Settings
from larder.storage import Manifest, MissingPartitionError, Tables
from larder.storage.manifests import fingerprint, plan_run

JOB = "roll_up"
ROWS_A_PARTITION = 250_000  # small states are not worth a task a range
COUNTS, INTERACTIONS, CONTEXTS = "hourly_counts", "interactions", "contexts"
NAMED_MISSING_HOURS = 5


class OlderStateError(ValueError):
    """A state that is not as this version writes it."""


def parse_arguments(argv: list[str] | None = None) -> argparse.Namespace:
    parser = job_parser(JOB, "Add the hours of a window to the running interactions and contexts.")
    add_window(parser)
    parser.add_argument(
        "--from-empty",
        action="store_true",
        help="begin with no state at --start: for the first run, or to rebuild after a change of half-life",
    )
    return parse(parser, argv)


def run(spark: SparkSession, arguments: argparse.Namespace) -> StageReport:
    """Writes `interactions` and `contexts` as of arguments.end.

    Raises MissingPartitionError, OtherHalfLifeError, OlderStateError.
    """
    settings: Settings = arguments.settings
    with stage(spark, JOB, f"{as_text(arguments.start)}..{as_text(arguments.end)}") as report:
        tables = Tables(settings.storage.tables)
        hours = _hours(tables, arguments)
        interactions, contexts = _roll_up(spark, tables, hours, arguments)
        report.rows_in = sum(hour.rows for hour in hours)
        report.rows_out = interactions.rows + contexts.rows
        report.details = {"hours": len(hours), INTERACTIONS: interactions.rows, CONTEXTS: contexts.rows}
    return report


def main(argv: list[str] | None = None) -> None:
    arguments = parse_arguments(argv)
    with spark_session(JOB, arguments.settings) as spark:
        run(spark, arguments)


def decay_of(manifest: Manifest) -> Decay:
    """The decay that the sums of a state are relative to."""
    return Decay(manifest.parameters["half_life"], manifest.parameters["landmark"])


def _hours(tables: Tables, arguments: argparse.Namespace) -> list[Manifest]:
    wanted = [hour_partition(hour) for hour in range(arguments.start, arguments.end)]
    found = tables.find_all(COUNTS, wanted)
    missing = [partition for partition, manifest in zip(wanted, found, strict=True) if manifest is None]
    if missing:
        named = ", ".join(missing[:NAMED_MISSING_HOURS]) + (", ..." if len(missing) > NAMED_MISSING_HOURS else "")
        window = f"--start {as_text(arguments.start)} --end {as_text(arguments.end)}"
        raise MissingPartitionError(
            f"{len(missing)} hours are not aggregated yet ({named}); run `larder aggregate-hours {window}` first"
        )
    return [manifest for manifest in found if manifest is not None]


def _plan(
    tables: Tables, table: str, hours: list[Manifest], arguments: argparse.Namespace, half_life_days: float
) -> tuple[Manifest | None, Manifest]:
    """The state to go on from (None: an empty one), and the run to be made."""
    settings: Settings = arguments.settings
    before = None
    if not arguments.from_empty:
        made_by = f"larder roll-up --end {as_text(arguments.start)}`, or begin with `--from-empty"
        before = tables.get(table, as_of_partition(arguments.start), made_by)
        if "ranges" not in before.parameters:
            raise OlderStateError(f"{before.reference} was made by an older Larder; roll up again with --from-empty")
    decay = Decay.at(arguments.end, half_life_days)
    if before is not None:
        decay.check_goes_on_from(decay_of(before))
    inputs = {
        "state": before.reference if before else "empty",
        "hours": fingerprint([hour.reference for hour in hours]),
    }
    parameters = {
        "start": as_text(arguments.start),
        "half_life": decay.half_life,
        "landmark": decay.landmark,
        "weights": settings.weights.model_dump(),
        "ranges": settings.roll_up.ranges,
        "horizon_days": settings.roll_up.horizon_days,
    }
    return before, plan_run(table, as_of_partition(arguments.end), inputs, parameters)


def _roll_up(
    spark: SparkSession, tables: Tables, hours: list[Manifest], arguments: argparse.Namespace
) -> tuple[Manifest, Manifest]:
    """Interactions and contexts as of the end, made in one pass over the hours unless they are there already."""
    settings: Settings = arguments.settings
    interactions_before, interactions = _plan(
        tables, INTERACTIONS, hours, arguments, settings.roll_up.interactions_half_life_days
    )
    contexts_before, contexts = _plan(tables, CONTEXTS, hours, arguments, settings.roll_up.contexts_half_life_days)
    if tables.is_current(interactions) and tables.is_current(contexts):
        return _found(tables, interactions), _found(tables, contexts)
    rules = RollUpRules(
        arguments.start,
        arguments.end,
        settings.weights.model_dump(),
        settings.roll_up.interactions_half_life_days,
        settings.roll_up.contexts_half_life_days,
        settings.roll_up.horizon_days * HOURS_A_DAY,
        settings.roll_up.ranges,
    )
    states = (
        StatePlan(tables.run_place(interactions), *_files_of(tables, interactions_before)),
        StatePlan(tables.run_place(contexts), *_files_of(tables, contexts_before)),
    )
    uris = iter(tables.uris(hours))
    files = [
        HourFile(hour, next(uris), file.rows)
        for hour, manifest in zip(range(arguments.start, arguments.end), hours, strict=True)
        for file in manifest.files
    ]
    tasks = together(files, [file.rows for file in files], ROWS_A_TASK)
    ranges = rules.ranges
    rows = sum(file.rows for file in files) + sum(plan.rows_before for plan in states)
    partitions = min(2 * ranges, 2 + rows // ROWS_A_PARTITION)
    parcels = spark.sparkContext.parallelize(tasks, max(1, len(tasks))).flatMap(lambda task: read_hours(task, rules))
    written = (
        parcels.partitionBy(partitions, lambda place: place % partitions)
        .mapPartitionsWithIndex(
            lambda number, found: roll_up_places(range(number, 2 * ranges, partitions), found, states, rules)
        )
        .collect()
    )
    made = []
    for number, planned in enumerate((interactions, contexts)):
        of_table = [file for place, file in written if place // ranges == number]
        made.append(replace(planned, files=tuple(sorted(of_table, key=lambda file: file.name))))
    for manifest in made:
        tables.publish(manifest)
    return made[0], made[1]


def _files_of(tables: Tables, before: Manifest | None) -> tuple[tuple[str, ...], int, int, Decay | None]:
    """A state's files by name, its rows and ranges, and what its sums are relative to."""
    if before is None:
        return (), 0, 1, None
    return tuple(tables.uris([before])), before.rows, before.parameters["ranges"], decay_of(before)


def _found(tables: Tables, planned: Manifest) -> Manifest:
    found = tables.find(planned.table, planned.partition)
    assert found is not None
    return found


if __name__ == "__main__":
    with errors_in_a_line():
        main()
