"""What each cookie bought, as arrays beside its factors."""

from __future__ import annotations

import numpy as np
import numpy.typing as npt
import pyarrow as pa
from pyspark.sql import Column, DataFrame
from pyspark.sql import functions as F

from models import columns as C
from models.personal import Owned


def as_histories(interactions: DataFrame, numbers: DataFrame, strength: Column) -> DataFrame:
    """A row a cookie that ever bought: COOKIE_KEY, HISTORY_ITEMS and HISTORY_STRENGTHS, by product number.

    Args: `interactions` of INTERACTIONS; `numbers` of PRODUCT_NUMBERS; `strength`, the decayed count of a row.
    """
    return grouped_by_cookie(interactions.where(F.col(C.PURCHASES) > 0), numbers, strength)


def grouped_by_cookie(interactions: DataFrame, numbers: DataFrame, strength: Column) -> DataFrame:
    """A row a cookie: COOKIE_KEY, HISTORY_ITEMS and HISTORY_STRENGTHS of all its interactions with these products."""
    pair = F.struct(C.PRODUCT_NUMBER, strength.cast("float").alias(C.STRENGTH))
    return (
        interactions.join(F.broadcast(numbers), C.PRODUCT_ID)
        .groupBy(C.COOKIE_KEY)
        .agg(F.sort_array(F.collect_list(pair)).alias("_pairs"))
        .select(
            C.COOKIE_KEY,
            F.col(f"_pairs.{C.PRODUCT_NUMBER}").alias(C.HISTORY_ITEMS),
            F.col(f"_pairs.{C.STRENGTH}").alias(C.HISTORY_STRENGTHS),
        )
    )


def with_history(users: DataFrame, histories: DataFrame) -> DataFrame:
    """Users with their history; empty arrays for those who bought nothing."""
    joined = users.join(histories, C.COOKIE_KEY, "left")
    return joined.withColumn(C.HISTORY_ITEMS, F.coalesce(C.HISTORY_ITEMS, F.array().cast("array<int>"))).withColumn(
        C.HISTORY_STRENGTHS, F.coalesce(C.HISTORY_STRENGTHS, F.array().cast("array<float>"))
    )


def owned_of(rows: pa.RecordBatch | pa.Table) -> Owned:
    """The histories of some rows with HISTORY_ITEMS and HISTORY_STRENGTHS."""
    items, strengths = _one_array(rows, C.HISTORY_ITEMS), _one_array(rows, C.HISTORY_STRENGTHS)
    lengths = items.value_lengths().to_numpy(zero_copy_only=False)
    offsets = np.concatenate(([0], np.cumsum(lengths)))
    return Owned(offsets, items.flatten().to_numpy(), strengths.flatten().to_numpy())


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
