"""Personal and generic lists as DataFrames. Items are product numbers until `with_ordinals` replaces them."""

from __future__ import annotations

from collections.abc import Iterable
from functools import reduce

import numpy as np
import numpy.typing as npt
import pyarrow as pa
from pyspark.sql import DataFrame
from pyspark.sql import functions as F
from threadpoolctl import threadpool_limits

from larder.models import columns as C
from larder.models.arrow_frames import to_arrow
from larder.models.encoding.arrow_lists import lists_of, vectors_of
from larder.models.interactions.history_frames import purchase_history_of
from larder.models.lists.context_popularity import (
    CategoryCap,
    as_filled_lists,
    as_ladder,
    filter_capped,
    filter_popular,
)
from larder.models.ranking.rankers import ListRules, Ranker
from larder.models.search.mips import InnerProductIndex

Batches = Iterable[pa.RecordBatch]
Flags = npt.NDArray[np.bool_]
LIST_COLUMNS = f"{C.ITEMS} array<int>, {C.SCORES} array<float>"


def item_matrix(items: DataFrame, products: int) -> tuple[npt.NDArray[np.float32], Flags]:
    """Returns factors by product number, shape (products, rank), and which products have any, shape (products,)."""
    table = to_arrow(items.select(C.PRODUCT_NUMBER, C.FACTORS))
    numbers, factors = table[C.PRODUCT_NUMBER].to_numpy(), vectors_of(table, C.FACTORS)
    matrix = np.zeros((products, factors.shape[1]), np.float32)
    present = np.zeros(products, bool)
    matrix[numbers], present[numbers] = factors, True
    return matrix, present


def personal_lists(users: DataFrame, items: DataFrame, allowed: Flags, ranker: Ranker, rules: ListRules) -> DataFrame:
    """Returns COOKIE_KEY, ITEMS and SCORES: a list for each user.

    Args: `users` has COOKIE_KEY, FACTORS and the columns of HISTORY; `items` has PRODUCT_NUMBER and FACTORS; `allowed`,
    shape (products,), says which products may be listed.
    """
    matrix, present = item_matrix(items, len(allowed))
    shared = users.sparkSession.sparkContext.broadcast((matrix, allowed & present, ranker, rules))

    def rank(batches: Batches) -> Batches:
        vectors, may_be_listed, by, limits = shared.value
        with threadpool_limits(1, "blas"):  # Spark gives a task one core
            prepared = by.bound_to(InnerProductIndex(vectors, may_be_listed))
            for batch in batches:
                found, scores = prepared.lists(vectors_of(batch, C.FACTORS), purchase_history_of(batch), limits)
                yield _as_lists(batch, C.COOKIE_KEY, found, scores)

    return users.mapInArrow(rank, f"{C.COOKIE_KEY} long, {LIST_COLUMNS}")


def generic_lists(
    popularity: DataFrame, allowed: Flags, n: int, min_support: float, min_products: int, cap: CategoryCap | None = None
) -> DataFrame:
    """Returns LOCATION, DEVICE, ITEMS and SCORES: a list for each context with enough popular products.

    Args: `popularity` has LOCATION, DEVICE, PRODUCT_NUMBER and SCORE, a whole number in proportion to the decayed
    count, in which `min_support` is measured too; `allowed`, shape (products,), says which products may be listed.
    """
    gone = [(int(number),) for number in np.flatnonzero(~allowed)]
    if gone:
        absent = popularity.sparkSession.createDataFrame(gone, f"{C.PRODUCT_NUMBER} int")
        popularity = popularity.join(F.broadcast(absent), C.PRODUCT_NUMBER, "left_anti")
    ladder = as_ladder(popularity)
    ladder = filter_capped(ladder, cap) if cap else ladder
    return as_filled_lists(filter_popular(ladder, min_support, min_products, n), n, cap)


def listed_counts(frames: list[DataFrame], products: int) -> npt.NDArray[np.int64]:
    """Returns the number of lists that hold each product number, shape (products,)."""
    items = [frame.select(F.explode(C.ITEMS).alias(C.PRODUCT_NUMBER)) for frame in frames]
    counts = np.zeros(products, np.int64)
    for number, count in reduce(DataFrame.unionAll, items).groupBy(C.PRODUCT_NUMBER).count().collect():
        counts[number] = count
    return counts


def with_ordinals(lists: DataFrame, ordinals: npt.NDArray[np.int32]) -> DataFrame:
    """Returns the same lists with ordinals in place of product numbers; `ordinals`, shape (products,)."""
    shared = lists.sparkSession.sparkContext.broadcast(ordinals)

    def renumber(batches: Batches) -> Batches:
        for batch in batches:
            items = batch.column(C.ITEMS)
            ends = np.cumsum(items.value_lengths().to_numpy(zero_copy_only=False))
            offsets = pa.array(np.concatenate(([0], ends)), pa.int32())
            taken = pa.array(shared.value[items.flatten().to_numpy()], pa.int32())
            renumbered = pa.ListArray.from_arrays(offsets, taken)
            yield batch.set_column(batch.schema.names.index(C.ITEMS), C.ITEMS, renumbered)

    return lists.mapInArrow(renumber, lists.schema)


def _as_lists(
    batch: pa.RecordBatch, key: str, items: npt.NDArray[np.integer], scores: npt.NDArray[np.floating]
) -> pa.RecordBatch:
    item_lists, score_lists = lists_of(items, scores)
    return pa.record_batch([batch.column(key), item_lists, score_lists], names=[key, C.ITEMS, C.SCORES])
