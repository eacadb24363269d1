"""A list a product of those whose pictures are most alike, as far as the rules let them in."""

from __future__ import annotations

from collections.abc import Iterable

import numpy as np
import numpy.typing as npt
import pyarrow as pa
from pyspark.sql import DataFrame
from threadpoolctl import threadpool_limits

from models import columns as C
from models.embeddings import unpacked
from models.histories import lists_of
from models.neighbour_rules import Pictures, Rules, nearest_by_rules, traits_of
from models.neighbours import NOBODY

Batches = Iterable[pa.RecordBatch]
LISTS_DDL = f"{C.PRODUCT_ID} string, {C.ITEMS} array<int>, {C.SCORES} array<float>"


def similar_lists(embedded: DataFrame, allowed: npt.NDArray[np.bool_], n: int, rules: Rules) -> DataFrame:
    """A list a product: PRODUCT_ID, ITEMS, SCORES (cosines, 0 for a negative one).

    Args: `embedded` of PRODUCT_ID, PRODUCT_NUMBER, EMBEDDING and, null where unknown, CATEGORY, PRICE, SAME_PRODUCT;
    `allowed`, shape (products,), says which may be listed.
    """
    table = embedded.orderBy(C.PRODUCT_NUMBER).toArrow()
    numbers = table[C.PRODUCT_NUMBER].to_numpy()
    columns = (table[name].to_pylist() for name in (C.CATEGORY, C.PRICE, C.SAME_PRODUCT))
    pictures = Pictures(unpacked(table[C.EMBEDDING]), traits_of(*columns))
    shared = embedded.sparkSession.sparkContext.broadcast((numbers, pictures, np.flatnonzero(allowed[numbers])))

    def rank(batches: Batches) -> Batches:
        numbers, pictures, listed = shared.value
        candidates = pictures.of(listed)
        with threadpool_limits(1, "blas"):  # Spark gives a task one core
            for batch in batches:
                rows = np.searchsorted(numbers, batch.column(C.PRODUCT_NUMBER).to_numpy())
                found, scores = nearest_by_rules(pictures.of(rows), _places(rows, listed), candidates, n, rules)
                items = numbers[listed][found] if len(listed) else found
                lists = lists_of(np.where(found == NOBODY, NOBODY, items), np.maximum(scores, 0))
                yield pa.record_batch([batch.column(C.PRODUCT_ID), *lists], names=[C.PRODUCT_ID, C.ITEMS, C.SCORES])

    return embedded.select(C.PRODUCT_ID, C.PRODUCT_NUMBER).mapInArrow(rank, LISTS_DDL)


def _places(rows: npt.NDArray[np.integer], listed: npt.NDArray[np.integer]) -> npt.NDArray[np.integer]:
    """Where each row stands in `listed`, which is sorted; NOBODY where it does not."""
    if not len(listed):
        return np.full(len(rows), NOBODY)
    at = np.minimum(np.searchsorted(listed, rows), len(listed) - 1)
    return np.where(listed[at] == rows, at, NOBODY)
