"""What an evaluation measures on: some users as the models know them at an instant, and what they bought afterwards."""

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
from larder.jobs.interactions.rolled_up_state import decay_of
from larder.jobs.lists.list_inputs import Goods, goods_of
from larder.models import columns as C
from larder.models.encoding.arrow_lists import vectors_of
from larder.models.evaluation.ranking_metrics import Truth
from larder.models.hours import as_text, hour_partition
from larder.models.interactions.history_frames import as_histories, purchase_history_of, with_history
from larder.models.interactions.item_statistics import ItemFigures, item_figures
from larder.models.interactions.purchase_history import PurchaseHistory, UserItems
from larder.models.lists.top_n_lists import item_matrix
from larder.models.search.mips import InnerProductIndex
from larder.models.tables import HOURLY_COUNTS, INTERACTIONS, ITEM_FACTORS, PRODUCT_NUMBERS, USER_FACTORS
from larder.settings import Settings
from larder.storage import Tables
from larder.storage.frames import read_frame
from larder.storage.manifests import fingerprint

Floats = npt.NDArray[np.float32]


class NothingBoughtError(LookupError):
    """There is nobody to measure, or nothing to measure by; the message names the hours and a remedy."""


@dataclass(frozen=True)
class Evidence:
    """By user: `factors` (users, d), `history` and `truth`; `amounts`, how often each pair of `truth` was bought.

    By product, those that anybody bought before: `item_factors` (products, d), `goods`, `figures`. Of all the `cookies`
    with factors, the users are some.
    """

    factors: Floats
    history: PurchaseHistory
    item_factors: Floats
    goods: Goods
    figures: ItemFigures
    truth: Truth
    amounts: Floats
    cookies: int

    @cached_property
    def best(self) -> InnerProductIndex:
        return InnerProductIndex(self.item_factors, self.goods.allowed)

    @property
    def often(self) -> UserItems:
        """The history with plain counts for strengths."""
        return replace(self.history.bought, strengths=self.history.purchases)

    @cached_property
    def never_bought(self) -> Truth:
        """The part of the truth that is new to its user."""
        return self.truth.but(self.history.bought.users, self.history.bought.items)


def sources_of(tables: Tables, arguments: argparse.Namespace) -> dict[str, Any]:
    """The manifests: models and interactions as of arguments.as_of, counts until arguments.end.

    Raises MissingPartitionError.
    """
    window = f"larder aggregate-hours --start {as_text(arguments.as_of)} --end {as_text(arguments.end)}"
    hours = [hour_partition(number) for number in range(arguments.as_of, arguments.end)]
    found = tables.find_all(HOURLY_COUNTS, hours)
    for name, manifest in zip(hours, found, strict=True):
        if manifest is None:
            tables.get(HOURLY_COUNTS, name, window)
    return {**model_of(tables, arguments.as_of), HOURLY_COUNTS: found}


def inputs_of(sources: dict[str, Any]) -> dict[str, str]:
    return {
        table: fingerprint([hour.reference for hour in source]) if isinstance(source, list) else source.reference
        for table, source in sources.items()
    }


def collected(spark: SparkSession, tables: Tables, sources: dict[str, Any], arguments: argparse.Namespace) -> Evidence:
    """Of at most settings.evaluation.users users. Raises NothingBoughtError where there is none, or no truth."""
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
    sampled = F.broadcast(spark.createDataFrame(some.select([C.COOKIE_KEY])))
    known = bought.join(sampled, C.COOKIE_KEY, "left_semi").join(F.broadcast(numbers), C.PRODUCT_ID)
    by_pair = known.groupBy(C.COOKIE_KEY, C.PRODUCT_NUMBER)
    amounts = by_pair.agg(F.sum(C.PURCHASES).alias(C.PURCHASES)).orderBy(C.COOKIE_KEY, C.PRODUCT_NUMBER).toArrow()
    if not len(amounts):
        raise NothingBoughtError(
            f"from {as_text(arguments.as_of)} to {as_text(arguments.end)} none of the {len(some):,} cookies measured "
            f"bought what anybody had bought before: name hours with purchases, or more cookies (evaluation.users)"
        )
    buyers = np.searchsorted(some[C.COOKIE_KEY].to_numpy(), amounts[C.COOKIE_KEY].to_numpy())
    items = read_frame(spark, tables, [sources[ITEM_FACTORS]], ITEM_FACTORS.schema)
    factors, _ = item_matrix(items.join(F.broadcast(numbers), C.PRODUCT_ID), len(ids))
    every = np.ones(len(ids), bool)  # what people bought was for sale then, whatever is now
    return Evidence(
        factors=vectors_of(some, C.FACTORS),
        history=purchase_history_of(some),
        item_factors=factors,
        goods=replace(goods_of(spark, settings, ids), in_stock=every, excluded=~every),
        figures=item_figures(interactions, numbers, len(ids), arguments.as_of),
        truth=Truth(buyers, amounts[C.PRODUCT_NUMBER].to_numpy(), len(some), len(ids)),
        amounts=amounts[C.PURCHASES].to_numpy().astype(np.float32),
        cookies=users.count(),
    )


def _sampled(users: DataFrame, histories: DataFrame, limit: int) -> pa.Table:
    """At most `limit` users who bought before, in a fixed order that has nothing to do with who they are."""
    some = users.join(histories.select(C.COOKIE_KEY), C.COOKIE_KEY, "left_semi")
    some = some.orderBy(F.xxhash64(C.COOKIE_KEY), C.COOKIE_KEY).limit(limit)
    return with_history(some, histories).orderBy(C.COOKIE_KEY).toArrow()
