"""Makes the lists of a release: per cookie, per product, per location and device.

Lists first hold product numbers, dense over all known products. The number of lists that hold a product then decides
its ordinal in the dictionary of the release.
"""

from __future__ import annotations

import argparse
from dataclasses import replace

from pyspark import StorageLevel
from pyspark.sql import DataFrame, SparkSession
from pyspark.sql import functions as F

from larder.jobs.als.trained_factors import model_of
from larder.jobs.interactions.rolled_up_state import decay_of, rolled_up_state
from larder.jobs.lists.list_inputs import (
    ProductAttributes,
    category_cap,
    has_repeats,
    product_attributes,
    ranker_of,
    rules_of,
    state_of,
    statistics_for_ranker,
)
from larder.jobs.lists.product_lists import lists_by_category, lists_by_picture
from larder.jobs.lists.product_numbers import known_products
from larder.jobs.runtime.expected_errors import errors_in_a_line
from larder.jobs.runtime.job_arguments import parse
from larder.jobs.runtime.session import spark_session
from larder.jobs.runtime.stage_report import StageReport, stage
from larder.models import columns as C
from larder.models.hours import as_of_partition, as_text
from larder.models.interactions.decay import Decay
from larder.models.interactions.history_frames import as_histories, with_history
from larder.models.interactions.repeat_purchases import repeat_purchases
from larder.models.lists.context_popularity import SCORE
from larder.models.lists.dictionary import ordinals_by_frequency
from larder.models.lists.top_n_lists import generic_lists, listed_counts, personal_lists, with_ordinals
from larder.models.tables import (
    CATALOGUE,
    CONTEXTS,
    EMBEDDINGS,
    INTERACTIONS,
    ITEM_FACTORS,
    PRODUCT_NUMBERS,
    RELEASE,
    RELEASE_CATEGORY_LISTS,
    RELEASE_CONTEXTS,
    RELEASE_COOKIES,
    RELEASE_DICTIONARY,
    RELEASE_LISTS,
    RELEASE_PRODUCTS,
    USER_FACTORS,
    Table,
)
from larder.settings import ListsSettings, Settings
from larder.storage import Manifest, Tables
from larder.storage.frames import read_frame, write_frame
from larder.storage.manifests import plan_run

JOB = "precompute"


def parse_arguments(argv: list[str] | None = None) -> argparse.Namespace:
    """Returns the job's arguments; `argv` is the process's own if None."""
    return parse(JOB, argv)


def run(spark: SparkSession, arguments: argparse.Namespace) -> StageReport:
    """Writes the release_* tables and, last, the manifest of `release` as of arguments.as_of."""
    settings: Settings = arguments.settings
    with stage(spark, JOB, as_text(arguments.as_of)) as report:
        tables = Tables(settings.storage.tables)
        sources = find_sources(tables, arguments.as_of)
        planned = _plan(sources, arguments.as_of, settings)
        if not all(
            tables.is_current(replace(planned, table=table)) for table in (RELEASE, *RELEASE_LISTS, RELEASE_DICTIONARY)
        ):
            _make(spark, tables, sources, planned, arguments)
        else:
            report.details["up_to_date"] = True
        release = tables.get(RELEASE, planned.partition, JOB)
        report.rows_in = sum(source.rows for source in sources.values())
        report.rows_out = sum(release.counts[table] for table in RELEASE_LISTS)
        report.details |= dict(release.counts)
    return report


def main(argv: list[str] | None = None) -> None:
    """Runs the job as the command line says."""
    start(parse_arguments(argv))


def start(arguments: argparse.Namespace) -> None:
    """Runs the job in a Spark session of its own."""
    with spark_session(JOB, arguments.settings) as spark:
        run(spark, arguments)


def find_sources(tables: Tables, as_of: int) -> dict[Table, Manifest]:
    """Returns the manifests that a release is made from. Without embeddings it has no lists per product.

    Raises MissingPartitionError, also where user and item factors do not belong together.
    """
    contexts = rolled_up_state(tables, CONTEXTS, as_of)
    sources = {**model_of(tables, as_of), CONTEXTS: contexts}
    embeddings = tables.find(EMBEDDINGS, CATALOGUE)
    return sources if embeddings is None else {**sources, EMBEDDINGS: embeddings}


def _plan(sources: dict[Table, Manifest], as_of: int, settings: Settings) -> Manifest:
    inputs: dict[str, str] = {table: manifest.reference for table, manifest in sources.items()}
    parameters = {
        "lists": settings.lists.model_dump(),
        "similar": settings.similar.model_dump(),
        **state_of(settings),
    }
    return plan_run(RELEASE, as_of_partition(as_of), inputs, parameters)


def _make(
    spark: SparkSession,
    tables: Tables,
    sources: dict[Table, Manifest],
    planned: Manifest,
    arguments: argparse.Namespace,
) -> None:
    settings: Settings = arguments.settings
    frames = {table: read_frame(spark, tables, [manifest], table.schema) for table, manifest in sources.items()}
    ids = known_products(frames)
    numbers = spark.createDataFrame(list(zip(ids, range(len(ids)), strict=True)), PRODUCT_NUMBERS.schema).cache()
    attributes = product_attributes(spark, settings, ids)
    by_picture, measured = lists_by_picture(spark, frames.get(EMBEDDINGS), numbers, attributes, settings)
    lists = {
        RELEASE_COOKIES: _personal(frames, numbers, attributes, sources, arguments),
        RELEASE_PRODUCTS: by_picture,
        RELEASE_CATEGORY_LISTS: lists_by_category(
            spark,
            frames.get(EMBEDDINGS),
            _popularity(frames[CONTEXTS], decay_of(sources[CONTEXTS]), arguments.as_of),
            numbers,
            attributes,
            settings,
        ),
        RELEASE_CONTEXTS: _generic(frames, numbers, attributes, decay_of(sources[CONTEXTS]), arguments),
    }
    lists = {table: frame.persist(StorageLevel.MEMORY_AND_DISK) for table, frame in lists.items()}
    ordinals, dictionary = ordinals_by_frequency(listed_counts(list(lists.values()), len(ids)), ids)
    written = [
        _write(tables, planned, table, with_ordinals(frame, ordinals), settings) for table, frame in lists.items()
    ]
    entries = spark.createDataFrame(list(enumerate(dictionary)), RELEASE_DICTIONARY.schema)
    plan_dictionary = replace(planned, table=RELEASE_DICTIONARY)
    written.append(write_frame(tables, plan_dictionary, entries, RELEASE_DICTIONARY.schema, 1, [C.ORDINAL]))
    counts = {**{manifest.table: manifest.rows for manifest in written}, **measured}
    for manifest in [*written, replace(planned, counts=counts)]:
        tables.publish(manifest)
    for frame in lists.values():
        frame.unpersist()


def _personal(
    frames: dict[Table, DataFrame],
    numbers: DataFrame,
    attributes: ProductAttributes,
    sources: dict[Table, Manifest],
    arguments: argparse.Namespace,
) -> DataFrame:
    settings, as_of, interactions = arguments.settings, arguments.as_of, frames[INTERACTIONS]
    strength = decay_of(sources[INTERACTIONS]).value(F.col(C.STRENGTH), as_of)
    users = with_history(frames[USER_FACTORS], as_histories(interactions, numbers, strength, as_of))
    items = frames[ITEM_FACTORS].join(F.broadcast(numbers), C.PRODUCT_ID)
    figures = statistics_for_ranker(settings, interactions, numbers, len(attributes.allowed), as_of)
    ranker = ranker_of(settings, figures, attributes, sources[INTERACTIONS], sources[ITEM_FACTORS])
    repeats = has_repeats(settings, lambda: repeat_purchases(interactions))
    return personal_lists(users, items, attributes.allowed, ranker, rules_of(settings, attributes.categories, repeats))


def _popularity(contexts: DataFrame, decay: Decay, as_of: int) -> DataFrame:
    """Returns PRODUCT_ID and STRENGTH, the decayed count over all locations and devices."""
    # Whole numbers first: their sum is the same in any order.
    return contexts.groupBy(C.PRODUCT_ID).agg(decay.value(F.sum(C.STRENGTH), as_of).alias(C.STRENGTH))


def _generic(
    frames: dict[Table, DataFrame],
    numbers: DataFrame,
    attributes: ProductAttributes,
    decay: Decay,
    arguments: argparse.Namespace,
) -> DataFrame:
    # Scores stay whole numbers until they are summed: the sum is the same in any order.
    numbered = frames[CONTEXTS].join(F.broadcast(numbers), C.PRODUCT_ID).withColumn(SCORE, F.col(C.STRENGTH))
    lists: ListsSettings = arguments.settings.lists
    min_support = lists.min_support / decay.factor(arguments.as_of)
    cap = category_cap(arguments.settings, attributes.categories)
    return generic_lists(numbered, attributes.allowed, lists.generic, min_support, lists.min_products, cap)


def _write(tables: Tables, planned: Manifest, table: Table, frame: DataFrame, settings: Settings) -> Manifest:
    files = settings.spark.shuffle_partitions
    return write_frame(tables, replace(planned, table=table), frame, table.schema, files, table.key)


if __name__ == "__main__":
    with errors_in_a_line():
        main()
