"""Ratings to the factors of users and items, as files of their tables: the whole of a training on Spark."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass

import numpy as np
import numpy.typing as npt
import pyarrow as pa
import pyarrow.compute as pc
import pyarrow.parquet as pq
from pyspark.sql import DataFrame
from pyspark.sql import functions as F

from jobs.als_engine import Training, write_user_factors
from jobs.als_files import remove, user_blocks
from models import columns as C
from models.factors import ITEM, AlsParameters
from storage import DataFile, Place

COUNT = "_count"
Files = tuple[DataFile, ...]


class NothingToLearnError(ValueError):
    """No interaction has any strength."""


@dataclass(frozen=True)
class Items:
    """Products by item number: the most bought first, so that what is read most lies together.

    ids (items,) and counts (items,), how many users each has.
    """

    ids: pa.Array
    counts: npt.NDArray[np.int64]

    def numbered(self, ratings: DataFrame) -> DataFrame:
        """The ratings with ITEM in place of PRODUCT_ID."""
        numbers = pa.array(np.arange(len(self.ids), dtype=np.int32))
        named = ratings.sparkSession.createDataFrame(pa.table({C.PRODUCT_ID: self.ids, ITEM: numbers}))
        return ratings.join(F.broadcast(named), C.PRODUCT_ID)


def items_of(ratings: DataFrame) -> Items:
    """The products of ratings. Raises NothingToLearnError."""
    counts = ratings.groupBy(C.PRODUCT_ID).agg(F.count("*").alias(COUNT)).toArrow()
    if not len(counts):
        raise NothingToLearnError(
            "no interaction has any strength: check [weights], and that the roll-up read purchases or views"
        )
    counts = counts.sort_by([(COUNT, "descending"), (C.PRODUCT_ID, "ascending")]).combine_chunks()
    return Items(counts[C.PRODUCT_ID].combine_chunks(), counts[COUNT].to_numpy())


def train(
    ratings: DataFrame,
    parameters: AlsParameters,
    scratch: Place,
    user_place: Place,
    item_place: Place,
    on_iteration: Callable[[int], None] = lambda number: None,
) -> tuple[Files, Files]:
    """Writes factors of users and items; returns their files.

    Args: `ratings` of COOKIE_KEY, PRODUCT_ID, RATING (a positive strength), unique in the first two; `scratch`, a place
    of this training alone: a training that was killed goes on from what lies there. Removed at the end.
    """
    items = items_of(ratings)
    number = max(parameters.blocks, -(-int(items.counts.sum()) // parameters.interactions_per_block))
    blocks = user_blocks(items.numbered(ratings), scratch, number, parameters.alpha)
    spark = ratings.sparkSession
    factors = Training(spark, blocks, parameters, items.counts, on_iteration).item_factors()
    users = write_user_factors(spark, blocks, parameters, factors, user_place, parameters.iterations - 1)
    files = users, (write_item_factors(item_place, items.ids, factors),)
    remove(scratch)
    return files


def write_item_factors(place: Place, ids: pa.Array, factors: npt.NDArray[np.float32]) -> DataFile:
    """One Parquet file of ITEM_FACTORS, by product id."""
    order = pc.sort_indices(ids).to_numpy()
    offsets = pa.array(np.arange(len(ids) + 1, dtype=np.int32) * factors.shape[1])
    lists = pa.ListArray.from_arrays(offsets, pa.array(factors[order].reshape(-1)))
    sink = pa.BufferOutputStream()
    pq.write_table(pa.table({C.PRODUCT_ID: ids.take(pa.array(order)), C.FACTORS: lists}), sink, compression="zstd")
    data, name = sink.getvalue(), "part-000000.parquet"
    (place / name).write(data)
    return DataFile(name, len(ids), data.size)
