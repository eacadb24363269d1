"""Purchase histories as columns of a DataFrame of users, and as arrays of one batch of it."""

from __future__ import annotations

from collections.abc import Mapping

import numpy as np
import pyarrow as pa
from pyspark.sql import Column, DataFrame
from pyspark.sql import functions as F

from larder.models import columns as C
from larder.models.encoding.arrow_lists import one_array
from larder.models.hours import HOURS_A_DAY
from larder.models.interactions.purchase_history import PurchaseHistory, UserItems

HISTORY = {
    C.HISTORY_ITEMS: "array<int>",
    C.HISTORY_STRENGTHS: "array<float>",
    C.HISTORY_PURCHASES: "array<float>",
    C.HISTORY_DAYS: "array<float>",
}


def as_histories(interactions: DataFrame, numbers: DataFrame, strength: Column, as_of: int) -> DataFrame:
    """Returns COOKIE_KEY and the columns of HISTORY: a row for each cookie that ever bought, items by product number.

    Args: `interactions` has the columns of INTERACTIONS, `numbers` those of PRODUCT_NUMBERS; `strength` is the decayed
    count of a row; `as_of` is an hour number.
    """
    days = (F.lit(as_of) - F.col(C.LAST_PURCHASE_HOUR)) / HOURS_A_DAY
    more = {C.HISTORY_PURCHASES: F.col(C.PURCHASES), C.HISTORY_DAYS: days}
    return grouped_by_cookie(interactions.where(F.col(C.PURCHASES) > 0), numbers, strength, more)


def grouped_by_cookie(
    interactions: DataFrame, numbers: DataFrame, strength: Column, more: Mapping[str, Column] | None = None
) -> DataFrame:
    """Returns a row a cookie: COOKIE_KEY, HISTORY_ITEMS and HISTORY_STRENGTHS of its interactions with `numbers`.

    `more` names further columns, as arrays of floats of the same length.
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
    """Adds the columns of HISTORY to users: empty arrays for those who bought nothing."""
    joined = users.join(histories, C.COOKIE_KEY, "left")
    empty = {name: F.coalesce(name, F.array().cast(type_)) for name, type_ in HISTORY.items() if name in joined.columns}
    return joined.withColumns(empty)


def user_items_of(rows: pa.RecordBatch | pa.Table) -> UserItems:
    """Returns HISTORY_ITEMS and HISTORY_STRENGTHS of these rows as arrays."""
    items, strengths = one_array(rows, C.HISTORY_ITEMS), one_array(rows, C.HISTORY_STRENGTHS)
    lengths = items.value_lengths().to_numpy(zero_copy_only=False)
    offsets = np.concatenate(([0], np.cumsum(lengths)))
    return UserItems(offsets, items.flatten().to_numpy(), strengths.flatten().to_numpy())


def purchase_history_of(rows: pa.RecordBatch | pa.Table) -> PurchaseHistory:
    """Returns the columns of HISTORY of these rows as arrays; `purchases` and `days` may be missing, thus empty."""
    names = rows.schema.names
    purchases, days = (
        one_array(rows, name).flatten().to_numpy() if name in names else np.zeros(0, np.float32)
        for name in (C.HISTORY_PURCHASES, C.HISTORY_DAYS)
    )
    return PurchaseHistory(user_items_of(rows), purchases, days)
