"""Factors, embeddings and contexts to a release: lists per cookie, per product, per location and device.

Lists first bear product numbers, dense over all known products; how often each number is listed then decides its
ordinal in the release's dictionary.
"""

from __future__ import annotations

import argparse
from dataclasses import replace
from functools import reduce

from pyspark import StorageLevel
from pyspark.sql import DataFrame, SparkSession
from pyspark.sql import functions as F
from pyspark.sql.types import StructType

from larder.jobs.embed_products import EMBEDDINGS
from larder.jobs.ingest_images import PARTITION as CATALOGUE_PARTITION
from larder.jobs.lists.list_inputs import Goods, caps_of, figures_for, goods_of, ranker_of, rules_of, state_of
from larder.jobs.lists.product_lists import lists_by_category, lists_by_picture
from larder.jobs.roll_up import CONTEXTS, INTERACTIONS, decay_of
from larder.jobs.runtime.arguments import add_as_of, as_of_partition, as_text, job_parser, parse
from larder.jobs.runtime.expected_errors import errors_in_a_line
from larder.jobs.runtime.session import spark_session
from larder.jobs.runtime.stage_report import StageReport, stage
from larder.jobs.train_als import ITEM_FACTORS, USER_FACTORS, model_of
from larder.models import columns as C
from larder.models import schemas
from larder.models.interactions.decay import Decay
from larder.models.interactions.histories import as_histories, with_history
from larder.models.lists.dictionary import ordinals_by_frequency
from larder.models.lists.popularity import SCORE
from larder.models.lists.top_n_lists import generic_lists, listed_counts, personal_lists, with_ordinals
from larder.settings import Settings
from larder.settings.sections import Lists
from larder.storage import Manifest, Tables
from larder.storage.frames import read_frame, write_frame
from larder.storage.manifests import plan_run

JOB = "precompute"
RELEASE = "release"
COOKIE_LISTS, PRODUCT_LISTS = "release_cookies", "release_products"
CONTEXT_LISTS, DICTIONARY = "release_contexts", "release_dictionary"
CATEGORY_LISTS = "release_category_lists"  # of products without a picture
LISTS = {
    COOKIE_LISTS: (schemas.RELEASE_COOKIES, [C.COOKIE_KEY]),
    PRODUCT_LISTS: (schemas.RELEASE_PRODUCTS, [C.PRODUCT_ID]),
    CATEGORY_LISTS: (schemas.RELEASE_PRODUCTS, [C.PRODUCT_ID]),
    CONTEXT_LISTS: (schemas.RELEASE_CONTEXTS, [C.LOCATION, C.DEVICE]),
}


def parse_arguments(argv: list[str] | None = None) -> argparse.Namespace:
    parser = job_parser(JOB, "Make the lists of a release: per cookie, per product, per location and device.")
    add_as_of(parser)
    return parse(parser, argv)


def run(spark: SparkSession, arguments: argparse.Namespace) -> StageReport:
    """Writes the release_* tables and, last, the manifest of `release` as of arguments.as_of."""
    settings: Settings = arguments.settings
    with stage(spark, JOB, as_text(arguments.as_of)) as report:
        tables = Tables(settings.storage.tables)
        sources = find_sources(tables, arguments.as_of)
        planned = _plan(sources, arguments.as_of, settings)
        if not all(tables.is_current(replace(planned, table=table)) for table in (RELEASE, *LISTS, DICTIONARY)):
            _make(spark, tables, sources, planned, arguments)
        else:
            report.details["up_to_date"] = True
        release = tables.get(RELEASE, planned.partition, JOB)
        report.rows_in = sum(source.rows for source in sources.values())
        report.rows_out = sum(release.counts[table] for table in LISTS)
        report.details |= dict(release.counts)
    return report


def main(argv: list[str] | None = None) -> None:
    arguments = parse_arguments(argv)
    with spark_session(JOB, arguments.settings) as spark:
        run(spark, arguments)


def find_sources(tables: Tables, as_of: int) -> dict[str, Manifest]:
    """The manifests that a release is made from. Without embeddings it has no lists per product.

    Raises MissingPartitionError, also where user and item factors do not belong together.
    """
    contexts = tables.get(CONTEXTS, as_of_partition(as_of), f"larder roll-up --end {as_text(as_of)}")
    sources = {**model_of(tables, as_of), CONTEXTS: contexts}
    embeddings = tables.find(EMBEDDINGS, CATALOGUE_PARTITION)
    return sources if embeddings is None else {**sources, EMBEDDINGS: embeddings}


def _plan(sources: dict[str, Manifest], as_of: int, settings: Settings) -> Manifest:
    inputs = {table: manifest.reference for table, manifest in sources.items()}
    parameters = {
        "lists": settings.lists.model_dump(),
        "similar": settings.similar.model_dump(),
        **state_of(settings),
    }
    return plan_run(RELEASE, as_of_partition(as_of), inputs, parameters)


def _make(
    spark: SparkSession,
    tables: Tables,
    sources: dict[str, Manifest],
    planned: Manifest,
    arguments: argparse.Namespace,
) -> None:
    settings: Settings = arguments.settings
    frames = {table: read_frame(spark, tables, [manifest], _schema_of(table)) for table, manifest in sources.items()}
    ids = known_products(frames)
    numbers = spark.createDataFrame(list(zip(ids, range(len(ids)), strict=True)), schemas.PRODUCT_NUMBERS).cache()
    goods = goods_of(spark, settings, ids)
    by_picture, measured = lists_by_picture(spark, frames.get(EMBEDDINGS), numbers, goods, settings)
    lists = {
        COOKIE_LISTS: _personal(frames, numbers, goods, sources, arguments),
        PRODUCT_LISTS: by_picture,
        CATEGORY_LISTS: lists_by_category(
            spark,
            frames.get(EMBEDDINGS),
            _popularity(frames[CONTEXTS], decay_of(sources[CONTEXTS]), arguments.as_of),
            numbers,
            goods,
            settings,
        ),
        CONTEXT_LISTS: _generic(frames, numbers, goods, decay_of(sources[CONTEXTS]), arguments),
    }
    lists = {table: frame.persist(StorageLevel.MEMORY_AND_DISK) for table, frame in lists.items()}
    ordinals, dictionary = ordinals_by_frequency(listed_counts(list(lists.values()), len(ids)), ids)
    written = [
        _write(tables, planned, table, with_ordinals(frame, ordinals), settings) for table, frame in lists.items()
    ]
    entries = spark.createDataFrame(list(enumerate(dictionary)), schemas.RELEASE_DICTIONARY)
    plan_dictionary = replace(planned, table=DICTIONARY)
    written.append(write_frame(tables, plan_dictionary, entries, schemas.RELEASE_DICTIONARY, 1, [C.ORDINAL]))
    counts = {**{manifest.table: manifest.rows for manifest in written}, **measured}
    for manifest in [*written, replace(planned, counts=counts)]:
        tables.publish(manifest)
    for frame in lists.values():
        frame.unpersist()


def _personal(
    frames: dict[str, DataFrame],
    numbers: DataFrame,
    goods: Goods,
    sources: dict[str, Manifest],
    arguments: argparse.Namespace,
) -> DataFrame:
    settings, as_of, interactions = arguments.settings, arguments.as_of, frames[INTERACTIONS]
    strength = decay_of(sources[INTERACTIONS]).value(F.col(C.STRENGTH), as_of)
    users = with_history(frames[USER_FACTORS], as_histories(interactions, numbers, strength, as_of))
    items = frames[ITEM_FACTORS].join(F.broadcast(numbers), C.PRODUCT_ID)
    figures = figures_for(settings, interactions, numbers, len(goods.allowed), as_of)
    ranker = ranker_of(settings, figures, goods, sources[INTERACTIONS], sources[ITEM_FACTORS])
    return personal_lists(users, items, goods.allowed, ranker, rules_of(settings, goods.categories))


def _popularity(contexts: DataFrame, decay: Decay, as_of: int) -> DataFrame:
    """PRODUCT_ID and STRENGTH, what each counts for at all places and on all devices."""
    # Whole numbers first: their sum is the same in any order.
    return contexts.groupBy(C.PRODUCT_ID).agg(decay.value(F.sum(C.STRENGTH), as_of).alias(C.STRENGTH))


def _generic(
    frames: dict[str, DataFrame],
    numbers: DataFrame,
    goods: Goods,
    decay: Decay,
    arguments: argparse.Namespace,
) -> DataFrame:
    popularity = decay.value(F.col(C.STRENGTH), arguments.as_of)
    numbered = frames[CONTEXTS].join(F.broadcast(numbers), C.PRODUCT_ID).withColumn(SCORE, popularity)
    lists: Lists = arguments.settings.lists
    caps = caps_of(arguments.settings, goods.categories)
    return generic_lists(numbered, goods.allowed, lists.generic, lists.min_support, lists.min_products, caps)


def _schema_of(table: str) -> StructType:
    return {
        INTERACTIONS: schemas.INTERACTIONS,
        CONTEXTS: schemas.CONTEXTS,
        USER_FACTORS: schemas.USER_FACTORS,
        ITEM_FACTORS: schemas.ITEM_FACTORS,
        EMBEDDINGS: schemas.EMBEDDINGS,
    }[table]


def known_products(frames: dict[str, DataFrame]) -> list[str]:
    """All product ids in any source, sorted: their places are their numbers."""
    named = [frame.select(C.PRODUCT_ID) for frame in frames.values() if C.PRODUCT_ID in frame.columns]
    return sorted(row[0] for row in reduce(DataFrame.unionByName, named).distinct().collect())


def _write(tables: Tables, planned: Manifest, table: str, frame: DataFrame, settings: Settings) -> Manifest:
    schema, key = LISTS[table]
    files = settings.spark.shuffle_partitions
    return write_frame(tables, replace(planned, table=table), frame, schema, files, key)


if __name__ == "__main__":
    with errors_in_a_line():
        main()
