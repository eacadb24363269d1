"""What each cookie bought, as arrays beside its factors."""

from __future__ import annotations

from collections.abc import Mapping

import numpy as np
import pyarrow as pa
from pyspark.sql import Column, DataFrame
from pyspark.sql import functions as F

from larder.models import columns as C
from larder.models.encoding.arrow_lists import one_array
from larder.models.interactions.decay import HOURS_A_DAY
from larder.models.interactions.purchase_history import PurchaseHistory, UserItems

HISTORY = {
    C.HISTORY_ITEMS: "array<int>",
    C.HISTORY_STRENGTHS: "array<float>",
    C.HISTORY_PURCHASES: "array<float>",
    C.HISTORY_DAYS: "array<float>",
}


def as_histories(interactions: DataFrame, numbers: DataFrame, strength: Column, as_of: int) -> DataFrame:
    """A row a cookie that ever bought: COOKIE_KEY and the columns of HISTORY, by product number.

    Args: `interactions` of INTERACTIONS; `numbers` of PRODUCT_NUMBERS; `strength`, the decayed count of a row; `as_of`,
    an hour number.
    """
    days = (F.lit(as_of) - F.col(C.LAST_PURCHASE_HOUR)) / HOURS_A_DAY
    more = {C.HISTORY_PURCHASES: F.col(C.PURCHASES), C.HISTORY_DAYS: days}
    return grouped_by_cookie(interactions.where(F.col(C.PURCHASES) > 0), numbers, strength, more)


def grouped_by_cookie(
    interactions: DataFrame, numbers: DataFrame, strength: Column, more: Mapping[str, Column] | None = None
) -> DataFrame:
    """A row a cookie: COOKIE_KEY, HISTORY_ITEMS and HISTORY_STRENGTHS of all its interactions with these products.

    `more`: other arrays of floats beside them, by name.
    """
    columns = {C.HISTORY_STRENGTHS: strength, **(more or {})}
    floats = [column.cast("float").alias(name) for name, column in columns.items()]
    pair = F.struct(F.col(C.PRODUCT_NUMBER).alias(C.HISTORY_ITEMS), *floats)
    return (
        interactions.join(F.broadcast(numbers), C.PRODUCT_ID)
        .groupBy(C.COOKIE_KEY)
        .agg(F.sort_array(F.collect_list(pair)).alias("_pairs"))
        .select(C.COOKIE_KEY, *[F.col(f"_pairs.{name}").alias(name) for name in (C.HISTORY_ITEMS, *columns)])
    )


def with_history(users: DataFrame, histories: DataFrame) -> DataFrame:
    """Users with their history; empty arrays for those who bought nothing."""
    joined = users.join(histories, C.COOKIE_KEY, "left")
    empty = {name: F.coalesce(name, F.array().cast(type_)) for name, type_ in HISTORY.items() if name in joined.columns}
    return joined.withColumns(empty)


def user_items_of(rows: pa.RecordBatch | pa.Table) -> UserItems:
    """The histories of some rows with HISTORY_ITEMS and HISTORY_STRENGTHS."""
    items, strengths = one_array(rows, C.HISTORY_ITEMS), one_array(rows, C.HISTORY_STRENGTHS)
    lengths = items.value_lengths().to_numpy(zero_copy_only=False)
    offsets = np.concatenate(([0], np.cumsum(lengths)))
    return UserItems(offsets, items.flatten().to_numpy(), strengths.flatten().to_numpy())


def purchase_history_of(rows: pa.RecordBatch | pa.Table) -> PurchaseHistory:
    """The same with HISTORY_PURCHASES and HISTORY_DAYS, which are empty where the rows have none."""
    names = rows.schema.names
    purchases, days = (
        one_array(rows, name).flatten().to_numpy() if name in names else np.zeros(0, np.float32)
        for name in (C.HISTORY_PURCHASES, C.HISTORY_DAYS)
    )
    return PurchaseHistory(user_items_of(rows), purchases, days)
