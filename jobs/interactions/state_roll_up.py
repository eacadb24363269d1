"""Hourly counts to running, decayed interactions and contexts, as of the end of the window.

Goes on from the state as of the start of the window, so its cost follows the new hours and the state.
"""

from __future__ import annotations

from dataclasses import dataclass, replace

from pyspark.sql import SparkSession

from larder.jobs.interactions.roll_up_tasks import (
    ROWS_A_TASK,
    HourFile,
    RollUpRules,
    StatePlan,
    read_hours,
    roll_up_ranges,
)
from larder.jobs.interactions.rolled_up_state import decay_of, roll_up_command
from larder.jobs.runtime.stage_report import StageReport, stage
from larder.jobs.runtime.task_sizes import together
from larder.models.hours import HOURS_A_DAY, as_of_partition, as_text, hour_partition
from larder.models.interactions.decay import Decay
from larder.models.tables import CONTEXTS, HOURLY_COUNTS, INTERACTIONS
from larder.settings import Settings
from larder.storage import Manifest, MissingPartitionError, Tables
from larder.storage.manifests import StoredFile, fingerprint, plan_run

JOB = "roll_up"
ROWS_A_PARTITION = 250_000  # small states are not worth a task a range
NAMED_MISSING_HOURS = 5


class OlderStateError(ValueError):
    """A state that is not as this version writes it."""


@dataclass(frozen=True)
class RollUpWindow:
    """The hours to add, [start, end), and whether they start a state of their own."""

    settings: Settings
    start: int
    end: int
    from_empty: bool


def roll_up(spark: SparkSession, settings: Settings, start: int, end: int, from_empty: bool) -> StageReport:
    """Writes `interactions` and `contexts` as of `end`.

    Raises MissingPartitionError, OtherHalfLifeError, OlderStateError.
    """
    window = RollUpWindow(settings, start, end, from_empty)
    with stage(spark, JOB, f"{as_text(window.start)}..{as_text(window.end)}") as report:
        tables = Tables(settings.storage.tables)
        hours = _hours(tables, window)
        interactions, contexts = _roll_up(spark, tables, hours, window)
        report.rows_in = sum(hour.rows for hour in hours)
        report.rows_out = interactions.rows + contexts.rows
        report.details = {"hours": len(hours), INTERACTIONS: interactions.rows, CONTEXTS: contexts.rows}
    return report


def _hours(tables: Tables, window: RollUpWindow) -> list[Manifest]:
    wanted = [hour_partition(hour) for hour in range(window.start, window.end)]
    found = tables.find_all(HOURLY_COUNTS, wanted)
    missing = [partition for partition, manifest in zip(wanted, found, strict=True) if manifest is None]
    if missing:
        named = ", ".join(missing[:NAMED_MISSING_HOURS]) + (", ..." if len(missing) > NAMED_MISSING_HOURS else "")
        flags = f"--start {as_text(window.start)} --end {as_text(window.end)}"
        raise MissingPartitionError(
            f"{len(missing)} hours are not aggregated yet ({named}); run `larder aggregate-hours {flags}` first"
        )
    return [manifest for manifest in found if manifest is not None]


def _plan(
    tables: Tables, table: str, hours: list[Manifest], window: RollUpWindow, half_life_days: float
) -> tuple[Manifest | None, Manifest]:
    """The state to go on from (None: an empty one), and the run to be made."""
    settings = window.settings
    before = None
    if not window.from_empty:
        before = tables.find(table, as_of_partition(window.start))
        if before is None:
            raise MissingPartitionError(
                f"table {table} has no partition {as_of_partition(window.start)} under {tables.root}; make it with "
                f"`{roll_up_command(tables, table, window.start)}`, or begin with --from-empty"
            )
        if "ranges" not in before.parameters:
            raise OlderStateError(f"{before.reference} was made by an older Larder; roll up again with --from-empty")
    decay = Decay.at(window.end, half_life_days)
    if before is not None:
        decay.check_goes_on_from(decay_of(before))
    inputs = {
        "state": before.reference if before else "empty",
        "hours": fingerprint([hour.reference for hour in hours]),
    }
    parameters = {
        "start": as_text(window.start),
        "half_life": decay.half_life,
        "landmark": decay.landmark,
        "weights": settings.weights.model_dump(),
        "ranges": settings.roll_up.ranges,
        "horizon_days": settings.roll_up.horizon_days,
    }
    return before, plan_run(table, as_of_partition(window.end), inputs, parameters)


def _roll_up(
    spark: SparkSession, tables: Tables, hours: list[Manifest], window: RollUpWindow
) -> tuple[Manifest, Manifest]:
    """Interactions and contexts as of the end, made in one pass over the hours unless they are there already."""
    settings = window.settings
    interactions_before, interactions = _plan(
        tables, INTERACTIONS, hours, window, settings.roll_up.interactions_half_life_days
    )
    contexts_before, contexts = _plan(tables, CONTEXTS, hours, window, settings.roll_up.contexts_half_life_days)
    if tables.is_current(interactions) and tables.is_current(contexts):
        return _found(tables, interactions), _found(tables, contexts)
    rules = RollUpRules(
        window.start,
        window.end,
        settings.weights.model_dump(),
        settings.roll_up.interactions_half_life_days,
        settings.roll_up.contexts_half_life_days,
        settings.roll_up.horizon_days * HOURS_A_DAY,
        settings.roll_up.ranges,
    )
    states = (
        StatePlan(tables.run_folder(interactions), *_files_of(tables, interactions_before)),
        StatePlan(tables.run_folder(contexts), *_files_of(tables, contexts_before)),
    )
    stored = iter(tables.stored(hours))
    files = [
        HourFile(hour, next(stored), file.rows)
        for hour, manifest in zip(range(window.start, window.end), hours, strict=True)
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
            lambda number, found: roll_up_ranges(range(number, 2 * ranges, partitions), found, states, rules)
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


def _files_of(tables: Tables, before: Manifest | None) -> tuple[tuple[StoredFile, ...], int, int, Decay | None]:
    """A state's files by name, its rows and ranges, and what its sums are relative to."""
    if before is None:
        return (), 0, 1, None
    return tuple(tables.stored([before])), before.rows, before.parameters["ranges"], decay_of(before)


def _found(tables: Tables, planned: Manifest) -> Manifest:
    found = tables.find(planned.table, planned.partition)
    assert found is not None
    return found
