"""A list a product of those whose pictures are most alike, as far as the rules let them in."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass, replace
from functools import cached_property

import numpy as np
import numpy.typing as npt
import pyarrow as pa
from pyspark.sql import DataFrame
from threadpoolctl import threadpool_limits

from models import columns as C
from models.embeddings import unpacked
from models.histories import lists_of
from models.neighbour_cells import Cells, filed, nearest_in_cells, recall
from models.neighbour_rules import Pictures, Rules, nearest_by_rules, traits_of
from models.neighbours import NOBODY, Floats, Ints

Batches = Iterable[pa.RecordBatch]
RECALL_ROWS = 500
LISTS_DDL = f"{C.PRODUCT_ID} string, {C.ITEMS} array<int>, {C.SCORES} array<float>"


@dataclass(frozen=True)
class Search:
    """Pictures by product number, rows of them that may be listed, and the cells that those lie in if not all are seen.

    numbers (n,) rising; listed (k,) in the order of the cells where there are some.
    """

    numbers: npt.NDArray[np.integer]
    pictures: Pictures
    listed: npt.NDArray[np.integer]
    cells: Cells | None

    def lists(self, rows: npt.NDArray[np.integer], n: int, rules: Rules, exact: bool = False) -> tuple[Ints, Floats]:
        """Product numbers (m, n) that stand nearest to rows (m,), and cosines; NOBODY and -inf where there are fewer.

        exact: look at all, whatever the cells.
        """
        places = np.full(len(self.numbers), NOBODY)
        places[self.listed] = np.arange(len(self.listed))
        asked, listed = self.pictures.of(rows), self._candidates
        if self.cells is None or exact:
            found, scores = nearest_by_rules(asked, places[rows], listed, n, rules)
        else:
            found, scores = nearest_in_cells(asked, places[rows], listed, n, rules, self.cells)
        items = self.numbers[self.listed][found] if len(self.listed) else found
        return np.where(found == NOBODY, NOBODY, items), scores

    def recall(self, n: int, rules: Rules, seed: int) -> float:
        """The share of the exact neighbours that the cells find, on RECALL_ROWS products drawn at random."""
        rows = np.sort(np.random.default_rng(seed).permutation(len(self.numbers))[:RECALL_ROWS])
        return recall(self.lists(rows, n, rules)[0], self.lists(rows, n, rules, exact=True)[0])

    @cached_property
    def _candidates(self) -> Pictures:
        return self.pictures.of(self.listed)


def search_of(embedded: DataFrame, allowed: npt.NDArray[np.bool_], exact_up_to: int, probes: int, seed: int) -> Search:
    """The search over some embeddings. More than `exact_up_to` are filed in cells, of which a query sees `probes`.

    Args: `embedded` of PRODUCT_ID, PRODUCT_NUMBER, EMBEDDING and, null where unknown, CATEGORY, PRICE, SAME_PRODUCT;
    `allowed`, shape (products,), says which may be listed.
    """
    table = embedded.orderBy(C.PRODUCT_NUMBER).toArrow()
    numbers, vectors = table[C.PRODUCT_NUMBER].to_numpy(), unpacked(table[C.EMBEDDING])
    traits = traits_of(*(table[name].to_pylist() for name in (C.CATEGORY, C.PRICE, C.SAME_PRODUCT)))
    listed = np.flatnonzero(allowed[numbers])
    cells = filed(vectors[listed], probes, seed) if len(listed) > exact_up_to else None
    return Search(numbers, Pictures(vectors, traits), listed if cells is None else listed[cells.order], cells)


def similar_lists(embedded: DataFrame, search: Search, n: int, rules: Rules) -> DataFrame:
    """A list a product: PRODUCT_ID, ITEMS, SCORES (cosines, 0 for a negative one), for what `search` was made of."""
    shared = embedded.sparkSession.sparkContext.broadcast(replace(search))  # without what it has cached

    def rank(batches: Batches) -> Batches:
        # All of a partition at once: the more queries a cell has, the fewer times its vectors are copied.
        some, found_by = list(batches), shared.value
        if not some:
            return
        asked = pa.Table.from_batches(some)
        rows = np.searchsorted(found_by.numbers, asked[C.PRODUCT_NUMBER].to_numpy())
        with threadpool_limits(1, "blas"):  # Spark gives a task one core
            items, scores = found_by.lists(rows, n, rules)
        ids, lists = pa.concat_arrays(asked[C.PRODUCT_ID].chunks), lists_of(items, np.maximum(scores, 0))
        yield pa.record_batch([ids, *lists], names=[C.PRODUCT_ID, C.ITEMS, C.SCORES])

    return embedded.select(C.PRODUCT_ID, C.PRODUCT_NUMBER).mapInArrow(rank, LISTS_DDL)
