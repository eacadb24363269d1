"""The data of an evaluation: users as the models know them at an instant, and what they bought afterwards."""

from __future__ import annotations

import argparse
from dataclasses import dataclass, replace
from functools import cached_property
from typing import Any

import numpy as np
import numpy.typing as npt
import pyarrow as pa
from pyspark.sql import DataFrame, SparkSession
from pyspark.sql import functions as F

from larder.jobs.als.trained_factors import model_of
from larder.jobs.evaluation.place_popularity import PlacePopularity, place_popularity
from larder.jobs.interactions.rolled_up_state import decay_of
from larder.jobs.lists.list_inputs import ProductAttributes, product_attributes
from larder.models import columns as C
from larder.models.arrow_frames import to_arrow
from larder.models.encoding.arrow_lists import vectors_of
from larder.models.evaluation.ranking_metrics import GroundTruth
from larder.models.hours import as_of_partition, as_text, hour_partition
from larder.models.interactions.history_frames import as_histories, purchase_history_of, with_history
from larder.models.interactions.item_statistics import ItemStatistics, item_statistics
from larder.models.interactions.purchase_history import PurchaseHistory, UserItems
from larder.models.lists.top_n_lists import item_matrix
from larder.models.search.mips import InnerProductIndex
from larder.models.tables import CONTEXTS, HOURLY_COUNTS, INTERACTIONS, ITEM_FACTORS, PRODUCT_NUMBERS, USER_FACTORS
from larder.settings import Settings
from larder.storage import Tables
from larder.storage.frames import read_frame
from larder.storage.manifests import fingerprint

Floats = npt.NDArray[np.float32]


class NothingBoughtError(LookupError):
    """No user can be measured, or nothing was bought to measure with; the message names the hours and a remedy."""


@dataclass(frozen=True)
class EvaluationData:
    """A sample of users as the models know them at an instant, and what they bought afterwards.

    By user: `factors` (users, d), `history` and `truth`. `truth_counts` (pairs,) is the number of purchases of each
    pair of `truth`. By product, for each that anybody bought before the instant: `item_factors` (products, d),
    `attributes` and `statistics`. `cookies` is the number of cookies with factors, of which the users are a sample.
    `places` is None if there are no contexts of the instant, or no purchase has a location.
    """

    factors: Floats
    history: PurchaseHistory
    item_factors: Floats
    attributes: ProductAttributes
    statistics: ItemStatistics
    truth: GroundTruth
    truth_counts: Floats
    cookies: int
    places: PlacePopularity | None = None

    @cached_property
    def best(self) -> InnerProductIndex:
        return InnerProductIndex(self.item_factors, self.attributes.allowed)

    @property
    def purchase_counts(self) -> UserItems:
        """The history with undecayed purchase counts as strengths."""
        return replace(self.history.bought, strengths=self.history.purchases)

    @cached_property
    def truth_of_new(self) -> GroundTruth:
        """The pairs of the truth whose item the user had never bought before."""
        return self.truth.without(self.history.bought.users, self.history.bought.items)


def evaluation_sources(tables: Tables, arguments: argparse.Namespace) -> dict[str, Any]:
    """Returns the manifests by table: models and interactions as of arguments.as_of, hourly counts until arguments.end.

    Raises MissingPartitionError.
    """
    window = f"larder aggregate-hours --start {as_text(arguments.as_of)} --end {as_text(arguments.end)}"
    hours = [hour_partition(number) for number in range(arguments.as_of, arguments.end)]
    found = tables.find_all(HOURLY_COUNTS, hours)
    for name, manifest in zip(hours, found, strict=True):
        if manifest is None:
            tables.get(HOURLY_COUNTS, name, window)
    sources: dict[str, Any] = {table: manifest for table, manifest in model_of(tables, arguments.as_of).items()}
    contexts = tables.find(CONTEXTS, as_of_partition(arguments.as_of))
    return {**sources, HOURLY_COUNTS: found, **({CONTEXTS: contexts} if contexts else {})}


def input_references(sources: dict[str, Any]) -> dict[str, str]:
    """Returns a reference a table, which changes with the table's content."""
    return {
        table: fingerprint([hour.reference for hour in source]) if isinstance(source, list) else source.reference
        for table, source in sources.items()
    }


def read_evaluation_data(
    spark: SparkSession, tables: Tables, sources: dict[str, Any], arguments: argparse.Namespace
) -> EvaluationData:
    """Returns the data of at most settings.evaluation.users users.

    Raises NothingBoughtError if no user had bought anything before, or none bought anything afterwards.
    """
    settings: Settings = arguments.settings
    interactions = read_frame(spark, tables, [sources[INTERACTIONS]], INTERACTIONS.schema)
    interactions = interactions.where(F.col(C.PURCHASES) > 0)
    strength = decay_of(sources[INTERACTIONS]).value(F.col(C.STRENGTH), arguments.as_of)
    ids = sorted(row[0] for row in interactions.select(C.PRODUCT_ID).distinct().collect())
    numbers = spark.createDataFrame(list(zip(ids, range(len(ids)), strict=True)), PRODUCT_NUMBERS.schema).cache()
    users = read_frame(spark, tables, [sources[USER_FACTORS]], USER_FACTORS.schema)
    histories = as_histories(interactions, numbers, strength, arguments.as_of)
    some = _sampled(users, histories, settings.evaluation.users)
    if not len(some):
        raise NothingBoughtError(
            f"no cookie with factors had bought anything by {as_text(arguments.as_of)}, so there is nobody to measure: "
            f"name a later --as-of, or see whether the events have purchases"
        )
    bought = read_frame(spark, tables, sources[HOURLY_COUNTS], HOURLY_COUNTS.schema).where(F.col(C.PURCHASES) > 0)
    # Not from the Arrow table itself, which Spark 3.5 does not take.
    keys = [(key,) for key in some[C.COOKIE_KEY].to_pylist()]
    sampled = F.broadcast(spark.createDataFrame(keys, f"{C.COOKIE_KEY} long"))
    known = bought.join(sampled, C.COOKIE_KEY, "left_semi").join(F.broadcast(numbers), C.PRODUCT_ID)
    by_pair = known.groupBy(C.COOKIE_KEY, C.PRODUCT_NUMBER)
    amounts = to_arrow(by_pair.agg(F.sum(C.PURCHASES).alias(C.PURCHASES)).orderBy(C.COOKIE_KEY, C.PRODUCT_NUMBER))
    if not len(amounts):
        raise NothingBoughtError(
            f"from {as_text(arguments.as_of)} to {as_text(arguments.end)} none of the {len(some):,} cookies measured "
            f"bought what anybody had bought before: name hours with purchases, or more cookies (evaluation.users)"
        )
    buyers = np.searchsorted(some[C.COOKIE_KEY].to_numpy(), amounts[C.COOKIE_KEY].to_numpy())
    items = read_frame(spark, tables, [sources[ITEM_FACTORS]], ITEM_FACTORS.schema)
    factors, _ = item_matrix(items.join(F.broadcast(numbers), C.PRODUCT_ID), len(ids))
    every = np.ones(len(ids), bool)  # today's stock says nothing about what was for sale then
    return EvaluationData(
        factors=vectors_of(some, C.FACTORS),
        history=purchase_history_of(some),
        item_factors=factors,
        attributes=replace(product_attributes(spark, settings, ids), in_stock=every, excluded=~every),
        statistics=item_statistics(interactions, numbers, len(ids), arguments.as_of),
        truth=GroundTruth(buyers, amounts[C.PRODUCT_NUMBER].to_numpy(), len(some), len(ids)),
        truth_counts=amounts[C.PURCHASES].to_numpy().astype(np.float32),
        cookies=users.count(),
        places=_places(spark, tables, sources, numbers, known, some),
    )


def _places(
    spark: SparkSession,
    tables: Tables,
    sources: dict[str, Any],
    numbers: DataFrame,
    bought: DataFrame,
    users: pa.Table,
) -> PlacePopularity | None:
    if CONTEXTS not in sources:
        return None
    contexts = read_frame(spark, tables, [sources[CONTEXTS]], CONTEXTS.schema)
    return place_popularity(contexts, numbers, bought, users[C.COOKIE_KEY].to_numpy())


def _sampled(users: DataFrame, histories: DataFrame, limit: int) -> pa.Table:
    """Returns at most `limit` users who bought before, with their history: a pseudorandom sample, always the same."""
    some = users.join(histories.select(C.COOKIE_KEY), C.COOKIE_KEY, "left_semi")
    some = some.orderBy(F.xxhash64(C.COOKIE_KEY), C.COOKIE_KEY).limit(limit)
    return to_arrow(with_history(some, histories).orderBy(C.COOKIE_KEY))
