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

from larder.models import columns as C
from larder.models.encoding.arrow_lists import lists_of
from larder.models.search.constraints import NeighbourConstraints, ProductVectors, nearest_allowed, product_traits
from larder.models.search.exact import NO_NEIGHBOUR, Floats, Ints
from larder.models.search.ivf import (
    InvertedFile,
    build_inverted_file,
    nearest_allowed_in_cells,
    recall,
    widened_to_recall,
)
from larder.models.vision.embeddings import unpacked

Batches = Iterable[pa.RecordBatch]
SAMPLE = 500  # products by which recall is told
LISTS_DDL = f"{C.PRODUCT_ID} string, {C.ITEMS} array<int>, {C.SCORES} array<float>"


@dataclass(frozen=True)
class NeighbourSearch:
    """Pictures by product number, rows of them that may be listed, and the cells that those lie in if not all are seen.

    numbers (n,) rising; listed (k,) in the order of the cells where there are some.
    """

    numbers: npt.NDArray[np.integer]
    pictures: ProductVectors
    listed: npt.NDArray[np.integer]
    cells: InvertedFile | None

    def lists(self, rows: npt.NDArray[np.integer], n: int, rules: NeighbourConstraints) -> tuple[Ints, Floats]:
        """Product numbers (m, n) nearest to rows (m,), and cosines; NOBODY and -inf where there are fewer."""
        found, scores = self._found(rows, n, rules, self.cells)
        items = self.numbers[self.listed][found] if len(self.listed) else found
        return np.where(found == NO_NEIGHBOUR, NO_NEIGHBOUR, items), scores

    def widened_to_recall(self, share: float, n: int, rules: NeighbourConstraints, seed: int) -> NeighbourSearch:
        """With as many cells more as it takes to find such a share of the exact neighbours of a sample."""
        if self.cells is None:
            return self
        rows = self._drawn([seed])
        exact, _ = self._found(rows, n, rules, None)
        return replace(self, cells=widened_to_recall(self.cells, share, self.pictures.vectors[rows], exact))

    def recall(self, n: int, rules: NeighbourConstraints, seed: int) -> float:
        """The share of the exact neighbours that the cells find, on another sample."""
        rows = self._drawn([seed, 1])
        return recall(self._found(rows, n, rules, self.cells)[0], self._found(rows, n, rules, None)[0])

    def _drawn(self, seed: list[int]) -> npt.NDArray[np.integer]:
        return np.sort(np.random.default_rng(seed).permutation(len(self.numbers))[:SAMPLE])

    def _found(
        self, rows: npt.NDArray[np.integer], n: int, rules: NeighbourConstraints, cells: InvertedFile | None
    ) -> tuple[Ints, Floats]:
        """Places in `listed`, and cosines."""
        places = np.full(len(self.numbers), NO_NEIGHBOUR)
        places[self.listed] = np.arange(len(self.listed))
        asked, own, listed = self.pictures.of(rows), places[rows], self._candidates
        if cells is None:
            return nearest_allowed(asked, own, listed, n, rules)
        return nearest_allowed_in_cells(asked, own, listed, n, rules, cells)

    @cached_property
    def _candidates(self) -> ProductVectors:
        return self.pictures.of(self.listed)


def neighbour_search(
    embedded: DataFrame, allowed: npt.NDArray[np.bool_], exact_up_to: int, probes: int, seed: int
) -> NeighbourSearch:
    """The search over some embeddings. More than `exact_up_to` are filed in cells, of which a query sees
    `probes` in the mean.

    Args: `embedded` of PRODUCT_ID, PRODUCT_NUMBER, EMBEDDING and, null where unknown, CATEGORY, PRICE, SAME_PRODUCT;
    `allowed`, shape (products,), says which may be listed.
    """
    table = embedded.orderBy(C.PRODUCT_NUMBER).toArrow()
    numbers, vectors = table[C.PRODUCT_NUMBER].to_numpy(), unpacked(table[C.EMBEDDING])
    traits = product_traits(*(table[name].to_pylist() for name in (C.CATEGORY, C.PRICE, C.SAME_PRODUCT)))
    listed = np.flatnonzero(allowed[numbers])
    cells = build_inverted_file(vectors[listed], probes, seed) if len(listed) > exact_up_to else None
    return NeighbourSearch(
        numbers, ProductVectors(vectors, traits), listed if cells is None else listed[cells.order], cells
    )


def similar_lists(embedded: DataFrame, search: NeighbourSearch, n: int, rules: NeighbourConstraints) -> DataFrame:
    """A list a product: PRODUCT_ID, ITEMS, SCORES (cosines, 0 for a negative one), for what `search` was made of."""
    shared = embedded.sparkSession.sparkContext.broadcast(replace(search))  # without what it has cached

    def rank(batches: Batches) -> Batches:
        # All of a partition at once, since a cell's scores are one product for whoever asks; and in one order, as
        # rounding may depend on who is asked for beside whom.
        some, found_by = list(batches), shared.value
        if not some:
            return
        asked = pa.Table.from_batches(some).sort_by(C.PRODUCT_NUMBER)
        rows = np.searchsorted(found_by.numbers, asked[C.PRODUCT_NUMBER].to_numpy())
        with threadpool_limits(1, "blas"):  # Spark gives a task one core
            items, scores = found_by.lists(rows, n, rules)
        ids, lists = pa.concat_arrays(asked[C.PRODUCT_ID].chunks), lists_of(items, np.maximum(scores, 0))
        yield pa.record_batch([ids, *lists], names=[C.PRODUCT_ID, C.ITEMS, C.SCORES])

    return embedded.select(C.PRODUCT_ID, C.PRODUCT_NUMBER).mapInArrow(rank, LISTS_DDL)
