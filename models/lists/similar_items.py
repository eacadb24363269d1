"""Lists of similar products: for each product, those with the nearest picture embeddings that the rules allow."""

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
from larder.models.arrow_frames import to_arrow
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
SAMPLE = 500  # queries by which recall is estimated
LISTS_DDL = f"{C.PRODUCT_ID} string, {C.ITEMS} array<int>, {C.SCORES} array<float>"


@dataclass(frozen=True)
class NeighbourSearch:
    """A nearest-neighbour search over picture embeddings: exact, or approximate over the cells of an inverted file.

    numbers, shape (n,): the product number of each embedding, rising. listed, shape (k,): rows that may be listed, in
    the order of the cells if there are any. cells: None for an exact search.
    """

    numbers: npt.NDArray[np.integer]
    pictures: ProductVectors
    listed: npt.NDArray[np.integer]
    cells: InvertedFile | None

    def lists(self, rows: npt.NDArray[np.integer], n: int, rules: NeighbourConstraints) -> tuple[Ints, Floats]:
        """Returns the product numbers nearest to `rows` (m,), shape (m, n), and their cosines.

        Where fewer than n are found, the rest are NOBODY and -inf.
        """
        found, scores = self._found(rows, n, rules, self.cells)
        items = self.numbers[self.listed][found] if len(self.listed) else found
        return np.where(found == NO_NEIGHBOUR, NO_NEIGHBOUR, items), scores

    def widened_to_recall(self, share: float, n: int, rules: NeighbourConstraints, seed: int) -> NeighbourSearch:
        """Returns a search that looks into enough cells to reach a recall of `share` on a sample of queries."""
        if self.cells is None:
            return self
        rows = self._drawn([seed])
        exact, _ = self._found(rows, n, rules, None)
        return replace(self, cells=widened_to_recall(self.cells, share, self.pictures.vectors[rows], exact))

    def recall(self, n: int, rules: NeighbourConstraints, seed: int) -> float:
        """Returns the recall of the cells against exact search, on queries other than those of `with_recall`."""
        rows = self._drawn([seed, 1])
        return recall(self._found(rows, n, rules, self.cells)[0], self._found(rows, n, rules, None)[0])

    def _drawn(self, seed: list[int]) -> npt.NDArray[np.integer]:
        return np.sort(np.random.default_rng(seed).permutation(len(self.numbers))[:SAMPLE])

    def _found(
        self, rows: npt.NDArray[np.integer], n: int, rules: NeighbourConstraints, cells: InvertedFile | None
    ) -> tuple[Ints, Floats]:
        """Returns indices into `listed`, shape (m, n), and cosines."""
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
    """Returns the search over these embeddings: exact for up to `exact_up_to` listed products, else over cells.

    Args: `embedded` has PRODUCT_ID, PRODUCT_NUMBER, EMBEDDING and, null if unknown, CATEGORY, PRICE and SAME_PRODUCT;
    `allowed`, shape (products,), says which products may be listed; a query looks into `probes` cells in the mean.
    """
    table = to_arrow(embedded.orderBy(C.PRODUCT_NUMBER))
    numbers, vectors = table[C.PRODUCT_NUMBER].to_numpy(), unpacked(table[C.EMBEDDING])
    traits = product_traits(*(table[name].to_pylist() for name in (C.CATEGORY, C.PRICE, C.SAME_PRODUCT)))
    listed = np.flatnonzero(allowed[numbers])
    cells = build_inverted_file(vectors[listed], probes, seed) if len(listed) > exact_up_to else None
    return NeighbourSearch(
        numbers, ProductVectors(vectors, traits), listed if cells is None else listed[cells.order], cells
    )


def similar_lists(embedded: DataFrame, search: NeighbourSearch, n: int, rules: NeighbourConstraints) -> DataFrame:
    """Returns PRODUCT_ID, ITEMS and SCORES (cosines, negative ones as 0): a list for each embedding of `search`."""
    shared = embedded.sparkSession.sparkContext.broadcast(replace(search))  # without what it has cached

    def rank(batches: Batches) -> Batches:
        # A whole partition at once, because all queries of a cell share one matrix product.
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
