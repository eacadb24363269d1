"""What each cookie bought, as arrays beside its factors."""

from __future__ import annotations

from collections.abc import Mapping

import numpy as np
import numpy.typing as npt
import pyarrow as pa
from pyspark.sql import Column, DataFrame
from pyspark.sql import functions as F

from larder.models import columns as C
from larder.models.interactions.decay import HOURS_A_DAY
from larder.models.ranking.personal import History, Owned

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


def owned_of(rows: pa.RecordBatch | pa.Table) -> Owned:
    """The histories of some rows with HISTORY_ITEMS and HISTORY_STRENGTHS."""
    items, strengths = _one_array(rows, C.HISTORY_ITEMS), _one_array(rows, C.HISTORY_STRENGTHS)
    lengths = items.value_lengths().to_numpy(zero_copy_only=False)
    offsets = np.concatenate(([0], np.cumsum(lengths)))
    return Owned(offsets, items.flatten().to_numpy(), strengths.flatten().to_numpy())


def history_of(rows: pa.RecordBatch | pa.Table) -> History:
    """The same with HISTORY_PURCHASES and HISTORY_DAYS, which are empty where the rows have none."""
    names = rows.schema.names
    purchases, days = (
        _one_array(rows, name).flatten().to_numpy() if name in names else np.zeros(0, np.float32)
        for name in (C.HISTORY_PURCHASES, C.HISTORY_DAYS)
    )
    return History(owned_of(rows), purchases, days)


def vectors_of(rows: pa.RecordBatch | pa.Table, column: str) -> npt.NDArray[np.float32]:
    """A column of equally long arrays as a matrix (rows, length)."""
    vectors = _one_array(rows, column)
    return vectors.flatten().to_numpy().reshape(len(vectors), -1).astype(np.float32, copy=False)


def lists_of(items: npt.NDArray[np.integer], scores: npt.NDArray[np.floating]) -> tuple[pa.ListArray, pa.ListArray]:
    """Padded lists (m, n), a negative item standing for none, as Arrow lists without the padding."""
    kept = items >= 0
    offsets = pa.array(np.concatenate(([0], np.cumsum(kept.sum(axis=1)))), pa.int32())
    return (
        pa.ListArray.from_arrays(offsets, pa.array(items[kept], pa.int32())),
        pa.ListArray.from_arrays(offsets, pa.array(scores[kept], pa.float32())),
    )


def _one_array(rows: pa.RecordBatch | pa.Table, column: str) -> pa.ListArray:
    values = rows.column(column)
    return values.combine_chunks() if isinstance(values, pa.ChunkedArray) else values
