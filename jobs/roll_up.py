"""Hourly counts to running, decayed interactions and contexts, as of the end of the window.

Goes on from the state as of the start of the window, so its cost follows the new hours and the state.
"""

from __future__ import annotations

import argparse

from pyspark import StorageLevel
from pyspark.sql import DataFrame, SparkSession
from pyspark.sql.types import StructType

from jobs.arguments import add_window, as_of_partition, as_text, hour_partition, job_parser, parse
from jobs.report import StageReport, stage
from jobs.session import spark_session
from models import columns as C
from models.decay import HOURS_A_DAY, Decay
from models.interactions import rolled_up_contexts, rolled_up_interactions
from models.schemas import CONTEXTS as CONTEXTS_SCHEMA
from models.schemas import HOURLY_COUNTS
from models.schemas import INTERACTIONS as INTERACTIONS_SCHEMA
from settings import Settings
from storage import Manifest, MissingPartitionError, Tables
from storage.frames import read_frame, write_frame
from storage.tables import fingerprint, plan_run

JOB = "roll_up"
COUNTS, INTERACTIONS, CONTEXTS = "hourly_counts", "interactions", "contexts"
NAMED_MISSING_HOURS = 5


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
    """Writes `interactions` and `contexts` as of arguments.end. Raises MissingPartitionError."""
    settings: Settings = arguments.settings
    with stage(spark, JOB, f"{as_text(arguments.start)}..{as_text(arguments.end)}") as report:
        tables = Tables(settings.storage.tables)
        hours = _hours(tables, arguments)
        counts = read_frame(spark, tables, hours, HOURLY_COUNTS).persist(StorageLevel.MEMORY_AND_DISK)
        interactions = _roll_up_interactions(spark, tables, hours, counts, arguments)
        contexts = _roll_up_contexts(spark, tables, hours, counts, arguments)
        counts.unpersist()
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


def _roll_up_interactions(
    spark: SparkSession, tables: Tables, hours: list[Manifest], counts: DataFrame, arguments: argparse.Namespace
) -> Manifest:
    settings: Settings = arguments.settings
    horizon = arguments.end - settings.roll_up.horizon_days * HOURS_A_DAY
    decay = Decay.at(arguments.end, settings.roll_up.interactions_half_life_days)
    weights = settings.weights.model_dump()
    before, planned = _plan(tables, INTERACTIONS, hours, decay, arguments, {"horizon": horizon})
    state, state_decay = _state(spark, tables, before, INTERACTIONS_SCHEMA, decay)
    after = rolled_up_interactions(state, state_decay, counts, weights, decay, horizon)
    return _write(tables, planned, after, INTERACTIONS_SCHEMA, [C.COOKIE_KEY, C.PRODUCT_ID], settings)


def _roll_up_contexts(
    spark: SparkSession, tables: Tables, hours: list[Manifest], counts: DataFrame, arguments: argparse.Namespace
) -> Manifest:
    settings: Settings = arguments.settings
    decay = Decay.at(arguments.end, settings.roll_up.contexts_half_life_days)
    before, planned = _plan(tables, CONTEXTS, hours, decay, arguments, {})
    state, state_decay = _state(spark, tables, before, CONTEXTS_SCHEMA, decay)
    after = rolled_up_contexts(state, state_decay, counts, settings.weights.model_dump(), decay)
    return _write(tables, planned, after, CONTEXTS_SCHEMA, [C.PRODUCT_ID, C.LOCATION, C.DEVICE], settings)


def _plan(
    tables: Tables,
    table: str,
    hours: list[Manifest],
    decay: Decay,
    arguments: argparse.Namespace,
    more: dict[str, int],
) -> tuple[Manifest | None, Manifest]:
    """The state to go on from (None: an empty one), and the run to be made."""
    settings: Settings = arguments.settings
    before = None
    if not arguments.from_empty:
        made_by = f"larder roll-up --end {as_text(arguments.start)}`, or begin with `--from-empty"
        before = tables.get(table, as_of_partition(arguments.start), made_by)
    inputs = {
        "state": before.reference if before else "empty",
        "hours": fingerprint([hour.reference for hour in hours]),
    }
    parameters = {
        "start": as_text(arguments.start),
        "half_life": decay.half_life,
        "landmark": decay.landmark,
        "weights": settings.weights.model_dump(),
        "files": settings.spark.shuffle_partitions,
        **more,
    }
    return before, plan_run(table, as_of_partition(arguments.end), inputs, parameters)


def _state(
    spark: SparkSession, tables: Tables, before: Manifest | None, schema: StructType, decay: Decay
) -> tuple[DataFrame, Decay]:
    if before is None:
        return spark.createDataFrame([], schema), decay
    return read_frame(spark, tables, [before], schema), decay_of(before)


def _write(
    tables: Tables, planned: Manifest, frame: DataFrame, schema: StructType, key: list[str], settings: Settings
) -> Manifest:
    existing = tables.find(planned.table, planned.partition)
    if existing is not None and existing.run == planned.run:
        return existing
    written = write_frame(tables, planned, frame, schema, settings.spark.shuffle_partitions, key)
    tables.publish(written)
    return written


if __name__ == "__main__":
    main()
