"""Repairs late and corrected hours: counts those whose input changed again, and corrects the running state.

Only the hours that changed are counted again. The running state is rolled up anew from the earliest of them on, and
comes out as it would have, to the byte, had their events come on time.
"""

from __future__ import annotations

import argparse

from pyspark.sql import SparkSession

from larder.jobs.events.hour_aggregation import aggregate
from larder.jobs.interactions.rolled_up_state import rolled_up_state
from larder.jobs.interactions.state_roll_up import roll_up
from larder.jobs.runtime.expected_errors import errors_in_a_line
from larder.jobs.runtime.job_arguments import parse
from larder.jobs.runtime.session import spark_session
from larder.jobs.runtime.stage_report import StageReport, stage
from larder.models.hours import as_of_partition, as_text, hour, hour_partition
from larder.models.tables import CONTEXTS, HOURLY_COUNTS, INTERACTIONS
from larder.settings import Settings
from larder.storage import Manifest, Tables
from larder.storage.manifests import fingerprint

JOB = "repair"
STATES = (INTERACTIONS, CONTEXTS)
NAMED_HOURS = 5


def parse_arguments(argv: list[str] | None = None) -> argparse.Namespace:
    """Returns the job's arguments; `argv` is the process's own if None."""
    return parse(JOB, argv)


def run(spark: SparkSession, arguments: argparse.Namespace) -> StageReport:
    """Corrects hourly counts in [start, end) and the states as of `end`. Raises MissingPartitionError."""
    settings: Settings = arguments.settings
    tables = Tables(settings.storage.tables)
    partitions = [hour_partition(number) for number in range(arguments.start, arguments.end)]
    before = tables.find_all(HOURLY_COUNTS, partitions)
    if partitions:
        aggregate(spark, settings, arguments.start, arguments.end, arguments.now)
    after = tables.find_all(HOURLY_COUNTS, partitions)
    stale = _first_stale(tables, arguments.start, arguments.end)
    if stale is not None:
        start, from_empty = stale
        roll_up(spark, settings, start, arguments.end, from_empty)
    with stage(None, JOB, f"{as_text(arguments.start)}..{as_text(arguments.end)}") as report:
        _describe(report, partitions, before, after, stale)
    return report


def main(argv: list[str] | None = None) -> None:
    """Runs the job as the command line says."""
    start(parse_arguments(argv))


def start(arguments: argparse.Namespace) -> None:
    """Runs the job in a Spark session of its own."""
    with spark_session(JOB, arguments.settings) as spark:
        run(spark, arguments)


def _first_stale(tables: Tables, start: int, end: int) -> tuple[int, bool] | None:
    """Returns the hour to roll the state as of `end` up from, and whether without a state; None if it is right.

    Goes back from state to state, each of which names the counts and the state that it was made from. What was made
    from a state that was removed since is taken as right.
    """
    found = None
    states = [rolled_up_state(tables, table, end) for table in STATES] if end > start else []
    while states and end > start:
        begun = min(hour(state.parameters["start"]) for state in states)
        from_empty = any(state.inputs["state"] == "empty" for state in states)
        if any(_is_stale(tables, state, begun, end) for state in states):
            found = (begun, from_empty)
        end = start if from_empty else begun
        before = [tables.find(table, as_of_partition(end)) for table in STATES]
        states = [state for state in before if state is not None and None not in before]
    return found


def _is_stale(tables: Tables, state: Manifest, start: int, end: int) -> bool:
    """Returns whether a state is damaged, or was made from inputs that have changed since."""
    if tables.damage(state):
        return True
    counts = tables.find_all(HOURLY_COUNTS, [hour_partition(number) for number in range(start, end)])
    if state.inputs["hours"] != fingerprint([manifest.reference if manifest else None for manifest in counts]):
        return True
    if state.inputs["state"] == "empty":
        return False
    before = tables.find(state.table, as_of_partition(start))
    return before is not None and before.reference != state.inputs["state"]


def _describe(
    report: StageReport,
    partitions: list[str],
    before: list[Manifest | None],
    after: list[Manifest | None],
    stale: tuple[int, bool] | None,
) -> None:
    changed = [
        (name, old, new)
        for name, old, new in zip(partitions, before, after, strict=True)
        if new is not None and (old is None or old.run != new.run)
    ]

    def difference(count: str) -> int:
        return sum(new.counts[count] - (old.counts[count] if old else 0) for _, old, new in changed)

    names = [name for name, _, _ in changed]
    report.rows_in, report.rows_out = difference("rows_in"), difference("events")
    report.quarantined, report.duplicates = difference("quarantined"), difference("duplicates")
    report.details = {
        "hours_looked_at": len(partitions),
        "hours_changed": len(changed),
        "changed": ",".join(names[:NAMED_HOURS]) + (",..." if len(names) > NAMED_HOURS else "") or "none",
        "rolled_up_from": as_text(stale[0]) if stale else "nothing to do",
    }


if __name__ == "__main__":
    with errors_in_a_line():
        main()
