"""Interactions to factors of users and items, by alternating least squares on implicit feedback."""

from __future__ import annotations

import argparse

from pyspark.sql import DataFrame, SparkSession
from pyspark.sql import functions as F

from jobs.arguments import add_as_of, as_of_partition, as_text, job_parser, parse
from jobs.report import StageReport, stage
from jobs.roll_up import INTERACTIONS, decay_of
from jobs.session import spark_session
from models import columns as C
from models.factors import RATING, AlsParameters, trained_factors
from models.schemas import INTERACTIONS as INTERACTIONS_SCHEMA
from models.schemas import ITEM_FACTORS as ITEM_FACTORS_SCHEMA
from models.schemas import USER_FACTORS as USER_FACTORS_SCHEMA
from settings import Settings
from storage import Manifest, Tables
from storage.frames import read_frame, write_frame
from storage.tables import plan_run

JOB = "train_als"
USER_FACTORS, ITEM_FACTORS = "user_factors", "item_factors"
FILES = 2


def parse_arguments(argv: list[str] | None = None) -> argparse.Namespace:
    parser = job_parser(JOB, "Train user and item factors on the interactions known at an instant.")
    add_as_of(parser)
    return parse(parser, argv)


def run(spark: SparkSession, arguments: argparse.Namespace) -> StageReport:
    """Writes `user_factors` and `item_factors` as of arguments.as_of. Raises MissingPartitionError."""
    settings: Settings = arguments.settings
    with stage(spark, JOB, as_text(arguments.as_of)) as report:
        tables = Tables(settings.storage.tables)
        interactions = tables.get(
            INTERACTIONS, as_of_partition(arguments.as_of), f"larder roll-up --end {as_text(arguments.as_of)}"
        )
        planned = [_plan(table, interactions, settings) for table in (USER_FACTORS, ITEM_FACTORS)]
        report.rows_in = interactions.rows
        if not all(tables.is_current(plan) for plan in planned):
            ratings = _ratings(spark, tables, interactions, arguments.as_of)
            users, items = trained_factors(ratings, AlsParameters(**settings.als.model_dump()))
            _write(tables, planned[0], users, planned[1], items)
        else:
            report.details["up_to_date"] = True
        written = [tables.get(plan.table, plan.partition, JOB) for plan in planned]
        report.rows_out = sum(manifest.rows for manifest in written)
        report.details |= {"users": written[0].rows, "items": written[1].rows, "rank": settings.als.rank}
    return report


def main(argv: list[str] | None = None) -> None:
    arguments = parse_arguments(argv)
    with spark_session(JOB, arguments.settings) as spark:
        run(spark, arguments)


def _plan(table: str, interactions: Manifest, settings: Settings) -> Manifest:
    inputs = {INTERACTIONS: interactions.reference}
    return plan_run(table, interactions.partition, inputs, settings.als.model_dump())


def _ratings(spark: SparkSession, tables: Tables, interactions: Manifest, as_of: int) -> DataFrame:
    """Decayed strengths; what never had any (weight 0) is no feedback."""
    frame = read_frame(spark, tables, [interactions], INTERACTIONS_SCHEMA).where(F.col(C.STRENGTH) > 0)
    strength = decay_of(interactions).value(F.col(C.STRENGTH), as_of)
    return frame.select(C.COOKIE_KEY, C.PRODUCT_ID, strength.cast("float").alias(RATING))


def _write(tables: Tables, plan_users: Manifest, users: DataFrame, plan_items: Manifest, items: DataFrame) -> None:
    wrote_users = write_frame(tables, plan_users, users, USER_FACTORS_SCHEMA, FILES, [C.COOKIE_KEY])
    wrote_items = write_frame(tables, plan_items, items, ITEM_FACTORS_SCHEMA, FILES, [C.PRODUCT_ID])
    for manifest in (wrote_users, wrote_items):
        tables.publish(manifest)


if __name__ == "__main__":
    main()
