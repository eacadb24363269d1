"""Interactions to factors of users and items, by alternating least squares on implicit feedback."""

from __future__ import annotations

import argparse
from dataclasses import replace

from pyspark.sql import DataFrame, SparkSession
from pyspark.sql import functions as F

from larder.jobs.als.als_training import train_factors
from larder.jobs.als.block_files import remove_training
from larder.jobs.als.interaction_blocks import NO_STRENGTH, InteractionFiles, NoStrengthError
from larder.jobs.als.trained_factors import parameters_of
from larder.jobs.interactions.rolled_up_state import decay_of, rolled_up_state
from larder.jobs.runtime.expected_errors import errors_in_a_line
from larder.jobs.runtime.job_arguments import parse
from larder.jobs.runtime.session import spark_session
from larder.jobs.runtime.stage_report import StageReport, stage
from larder.models import columns as C
from larder.models.als.mllib_als import RATING, train_with_mllib
from larder.models.hours import as_text
from larder.models.tables import ALS_SCRATCH, INTERACTIONS, ITEM_FACTORS, USER_FACTORS
from larder.settings import Settings
from larder.storage import Manifest, StoragePath, Tables
from larder.storage.frames import read_frame, write_frame
from larder.storage.manifests import plan_run

JOB = "train_als"
FILES = 2


def parse_arguments(argv: list[str] | None = None) -> argparse.Namespace:
    """Returns the job's arguments; `argv` is the process's own if None."""
    return parse(JOB, argv)


def run(spark: SparkSession, arguments: argparse.Namespace) -> StageReport:
    """Writes `user_factors` and `item_factors` as of arguments.as_of. Raises MissingPartitionError, NoStrengthError."""
    settings: Settings = arguments.settings
    with stage(spark, JOB, as_text(arguments.as_of)) as report:
        tables = Tables(settings.storage.tables)
        interactions = rolled_up_state(tables, INTERACTIONS, arguments.as_of)
        planned = [_plan(table, interactions, settings) for table in (USER_FACTORS, ITEM_FACTORS)]
        report.rows_in = interactions.rows
        if not all(tables.is_current(plan) for plan in planned):
            train_with = _train if settings.als.engine == "larder" else _train_with_mllib
            for manifest in train_with(spark, tables, planned, interactions, arguments.as_of, report):
                tables.publish(manifest)
        else:
            report.details["up_to_date"] = True
        remove_training(_scratch(tables, planned[0]))
        written = [tables.get(plan.table, plan.partition, JOB) for plan in planned]
        report.rows_out = sum(manifest.rows for manifest in written)
        report.details |= {"users": written[0].rows, "items": written[1].rows, "rank": settings.als.rank}
    return report


def main(argv: list[str] | None = None) -> None:
    """Runs the job as the command line says."""
    start(parse_arguments(argv))


def start(arguments: argparse.Namespace) -> None:
    """Runs the job in a Spark session of its own."""
    with spark_session(JOB, arguments.settings) as spark:
        run(spark, arguments)


def _plan(table: str, interactions: Manifest, settings: Settings) -> Manifest:
    inputs: dict[str, str] = {INTERACTIONS: interactions.reference}
    return plan_run(table, interactions.partition, inputs, settings.als.model_dump())


def _scratch(tables: Tables, planned: Manifest) -> StoragePath:
    return tables.place(ALS_SCRATCH) / planned.run


def _ratings(spark: SparkSession, tables: Tables, interactions: Manifest, as_of: int) -> DataFrame:
    """Decayed strengths; what never had any (weight 0) is no feedback."""
    frame = read_frame(spark, tables, [interactions], INTERACTIONS.schema).where(F.col(C.STRENGTH) > 0)
    strength = decay_of(interactions).value(F.col(C.STRENGTH), as_of)
    return frame.select(C.COOKIE_KEY, C.PRODUCT_ID, strength.cast("float").alias(RATING))


def _train(
    spark: SparkSession, tables: Tables, planned: list[Manifest], source: Manifest, as_of: int, report: StageReport
) -> list[Manifest]:
    parameters = parameters_of(planned[0].parameters)

    def on_iteration(number: int) -> None:
        report.doing = f"iteration {number} of {parameters.iterations}"

    places = tables.run_folder(planned[0]), tables.run_folder(planned[1])
    interactions = InteractionFiles(tables.uris([source]), decay_of(source).factor(as_of) * parameters.alpha)
    files = train_factors(spark, interactions, parameters, _scratch(tables, planned[0]), *places, on_iteration)
    return [replace(plan, files=some) for plan, some in zip(planned, files, strict=True)]


def _train_with_mllib(
    spark: SparkSession, tables: Tables, planned: list[Manifest], source: Manifest, as_of: int, report: StageReport
) -> list[Manifest]:
    ratings = _ratings(spark, tables, source, as_of)
    if ratings.isEmpty():
        raise NoStrengthError(NO_STRENGTH)
    users, items = train_with_mllib(ratings, parameters_of(planned[0].parameters))
    return [
        write_frame(tables, planned[0], users, USER_FACTORS.schema, FILES, [C.COOKIE_KEY]),
        write_frame(tables, planned[1], items, ITEM_FACTORS.schema, FILES, [C.PRODUCT_ID]),
    ]


if __name__ == "__main__":
    with errors_in_a_line():
        main()
