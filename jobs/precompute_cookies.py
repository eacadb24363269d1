"""Makes a delta: new lists of the cookies with events in a window, which lie over the live release until the next one.

Factors of items are those of the newest training; factors of the cookies are folded in (models/als/fold_in.py), so that
what a cookie did a minute ago counts, and a cookie that the training has not seen gets a list too.
"""

from __future__ import annotations

import argparse
from dataclasses import replace

from pyspark.sql import DataFrame, SparkSession
from pyspark.sql import functions as F

from larder.jobs.interactions.rolled_up_state import decay_of, rolled_up_state
from larder.jobs.lists.list_inputs import (
    has_repeats,
    product_attributes,
    ranker_of,
    rules_of,
    state_of,
    statistics_for_ranker,
)
from larder.jobs.lists.product_numbers import known_products
from larder.jobs.runtime.expected_errors import errors_in_a_line
from larder.jobs.runtime.job_arguments import parse
from larder.jobs.runtime.session import spark_session
from larder.jobs.runtime.stage_report import StageReport, stage
from larder.models import columns as C
from larder.models.als.fold_in import fold_in_users
from larder.models.hours import HOURS_A_DAY, as_of_partition, as_text
from larder.models.interactions.history_frames import as_histories, grouped_by_cookie, with_history
from larder.models.interactions.repeat_purchases import repeat_purchases
from larder.models.lists.dictionary import ordinals_by_frequency
from larder.models.lists.top_n_lists import listed_counts, personal_lists, with_ordinals
from larder.models.tables import (
    DELTA,
    DELTA_COOKIES,
    DELTA_DICTIONARY,
    DELTA_START,
    INTERACTIONS,
    ITEM_FACTORS,
    PRODUCT_NUMBERS,
)
from larder.settings import Settings
from larder.storage import Manifest, Tables
from larder.storage.frames import read_frame, write_frame
from larder.storage.manifests import plan_run

JOB = "precompute_cookies"
MODEL_DAYS = 7  # an older model is no longer the one that the live release was made with


def parse_arguments(argv: list[str] | None = None) -> argparse.Namespace:
    """Returns the job's arguments; `argv` is the process's own if None."""
    return parse(JOB, argv)


def run(spark: SparkSession, arguments: argparse.Namespace) -> StageReport:
    """Writes `delta_cookies`, `delta_dictionary` and, last, the manifest of `delta` as of arguments.end.

    Does nothing where no model has been trained in the last MODEL_DAYS. Raises MissingPartitionError.
    """
    settings: Settings = arguments.settings
    with stage(spark, JOB, f"{as_text(arguments.start)}..{as_text(arguments.end)}") as report:
        tables = Tables(settings.storage.tables)
        partition = as_of_partition(arguments.end)
        model = newest_model(tables, arguments.end)
        if model is None:
            report.details["skipped"] = "no model yet"
            return report
        interactions = rolled_up_state(tables, INTERACTIONS, arguments.end)
        planned = _plan(interactions, model, arguments)
        if not all(
            tables.is_current(replace(planned, table=table)) for table in (DELTA, DELTA_COOKIES, DELTA_DICTIONARY)
        ):
            _make(spark, tables, interactions, model, planned, arguments)
        else:
            report.details["up_to_date"] = True
        delta = tables.get(DELTA, partition, JOB)
        report.rows_in, report.rows_out = interactions.rows, delta.counts[DELTA_COOKIES]
        report.details |= dict(delta.counts)
    return report


def main(argv: list[str] | None = None) -> None:
    """Runs the job as the command line says."""
    start(parse_arguments(argv))


def start(arguments: argparse.Namespace) -> None:
    """Runs the job in a Spark session of its own."""
    with spark_session(JOB, arguments.settings) as spark:
        run(spark, arguments)


def newest_model(tables: Tables, as_of: int) -> Manifest | None:
    """Returns the manifest of the newest item factors, at most MODEL_DAYS before an hour, or None."""
    instants = range(as_of, as_of - MODEL_DAYS * HOURS_A_DAY, -1)
    found = tables.find_all(ITEM_FACTORS, map(as_of_partition, instants))
    return next((manifest for manifest in found if manifest is not None), None)


def _plan(interactions: Manifest, model: Manifest, arguments: argparse.Namespace) -> Manifest:
    settings: Settings = arguments.settings
    inputs: dict[str, str] = {INTERACTIONS: interactions.reference, ITEM_FACTORS: model.reference}
    parameters = {
        DELTA_START: as_text(arguments.start),
        "lists": settings.lists.model_dump(),
        **state_of(settings),
    }
    return plan_run(DELTA, interactions.partition, inputs, parameters)


def _make(
    spark: SparkSession,
    tables: Tables,
    interactions: Manifest,
    model: Manifest,
    planned: Manifest,
    arguments: argparse.Namespace,
) -> None:
    settings: Settings = arguments.settings
    state = read_frame(spark, tables, [interactions], INTERACTIONS.schema)
    factors = read_frame(spark, tables, [model], ITEM_FACTORS.schema)
    did = filter_active(state, arguments.start).cache()
    ids = known_products({INTERACTIONS: did, ITEM_FACTORS: factors})
    numbers = spark.createDataFrame(list(zip(ids, range(len(ids)), strict=True)), PRODUCT_NUMBERS.schema).cache()
    items = factors.join(F.broadcast(numbers), C.PRODUCT_ID).cache()
    strength = decay_of(interactions).value(F.col(C.STRENGTH), arguments.end)
    rated = did.where(F.col(C.STRENGTH) > 0)
    rated = grouped_by_cookie(rated, items.select(C.PRODUCT_ID, C.PRODUCT_NUMBER), strength)
    als = model.parameters
    scaling = als["scaling"] if als.get("engine") == "larder" else 1.0  # MLlib's own is 1, whatever is set
    users = fold_in_users(rated, items, len(ids), als["regularisation"], als["alpha"], scaling)
    users = with_history(users, as_histories(did, numbers, strength, arguments.end))
    attributes = product_attributes(spark, settings, ids)
    figures = statistics_for_ranker(settings, state, numbers, len(ids), arguments.end)
    ranker = ranker_of(settings, figures, attributes, interactions, model)
    rules = rules_of(settings, attributes.categories, has_repeats(settings, lambda: repeat_purchases(state)))
    lists = personal_lists(users, items, attributes.allowed, ranker, rules).cache()
    ordinals, dictionary = ordinals_by_frequency(listed_counts([lists], len(ids)), ids)
    entries = spark.createDataFrame(list(enumerate(dictionary)), DELTA_DICTIONARY.schema)
    written = [
        write_frame(
            tables,
            replace(planned, table=DELTA_COOKIES),
            with_ordinals(lists, ordinals),
            DELTA_COOKIES.schema,
            settings.spark.shuffle_partitions,
            [C.COOKIE_KEY],
        ),
        write_frame(
            tables,
            replace(planned, table=DELTA_DICTIONARY),
            entries,
            DELTA_DICTIONARY.schema,
            1,
            [C.ORDINAL],
        ),
    ]
    counts = {manifest.table: manifest.rows for manifest in written}
    for manifest in [*written, replace(planned, counts=counts)]:
        tables.publish(manifest)
    for frame in (did, numbers, items, lists):
        frame.unpersist()


def filter_active(state: DataFrame, start: int) -> DataFrame:
    """Keeps all rows of INTERACTIONS of the cookies with an event that has a weight from hour `start` on."""
    active = state.where(F.col(C.LAST_HOUR) >= start).select(C.COOKIE_KEY).distinct()
    return state.join(active, C.COOKIE_KEY, "left_semi")


if __name__ == "__main__":
    with errors_in_a_line():
        main()
