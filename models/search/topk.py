"""The k best of all scores, or of all inner products, a heap a query: compiled, and the same in any order of pushes."""

from __future__ import annotations

from typing import Any, NamedTuple

import numba
import numpy as np
import numpy.typing as npt

from larder.kernels import kernel
from larder.models.search.dot_product import dot_product, most_rounding

Floats = npt.NDArray[np.float32]
Ints = npt.NDArray[np.int32]

# So many scores at once are compared with the worst one in the heap.
STRIDE = 64
CHUNK = 32 * STRIDE
# Products that may yet be among the best, beside those in the heap. With more, a query's products are made one by one.
SPARES = 16
# In place of the number of spares: the scores in this heap are final.
FINAL = -1
# Rounding may lift a product above the product of lengths by less than this share.
SLACK = np.float32(1 + 1e-4)


@numba.njit(inline="always")
def _is_worse(score: float, item: int, than_score: float, than_item: int) -> bool:
    return score < than_score or (score == than_score and item > than_item)


@kernel
def _sift_down(scores: Floats, items: Ints, size: int, score: float, item: int) -> None:
    """Puts an entry into the place of the root, which it replaces."""
    at = 0
    while 2 * at + 1 < size:
        child = 2 * at + 1
        if child + 1 < size and _is_worse(scores[child + 1], items[child + 1], scores[child], items[child]):
            child += 1
        if not _is_worse(scores[child], items[child], score, item):
            break
        scores[at], items[at] = scores[child], items[child]
        at = child
    scores[at], items[at] = score, item


@kernel
def push(scores: Floats, items: Ints, size: int, score: float, item: int) -> int:
    """Pushes an item onto a heap whose root is the worst entry, and returns the heap's size.

    A heap that is full keeps the better of the item and its root.
    """
    if size == len(scores):
        if _is_worse(scores[0], items[0], score, item):
            _sift_down(scores, items, size, score, item)
        return size
    at = size
    while at > 0 and _is_worse(score, item, scores[(at - 1) >> 1], items[(at - 1) >> 1]):
        parent = (at - 1) >> 1
        scores[at], items[at] = scores[parent], items[parent]
        at = parent
    scores[at], items[at] = score, item
    return size + 1


@kernel(fastmath={"nnan", "nsz", "reassoc"})
def _mark(row: Floats, least: np.float32, marked: npt.NDArray[np.bool_]) -> None:
    """Marks the strides of a row that hold a score of at least `least`.

    A loop of its own, and of this form, so that it is compiled to vector instructions.
    """
    whole = len(row) // STRIDE
    for stride in range(whole):
        first, reached = stride * STRIDE, np.int32(0)
        for k in range(STRIDE):
            reached += np.int32(row[first + k] >= least)
        marked[stride] = reached > 0
    reached = np.int32(0)
    for column in range(whole * STRIDE, len(row)):
        reached += np.int32(row[column] >= least)
    marked[whole] = reached > 0


class Entitled(NamedTuple):
    """Items whose score is their inner product and an extra: query q's are items[offsets[q]:offsets[q + 1]].

    `entry_of` (n,) is room for where an item stands among those of one query.
    """

    offsets: npt.NDArray[np.int64]
    items: Ints
    extra: Floats
    entry_of: Ints

    @classmethod
    def to(cls, offsets: npt.NDArray[np.int64], items: Ints, extra: Floats, n: int) -> Entitled:
        """Returns items (k,) with their extra (k,), of n items."""
        return cls(offsets, items, extra, np.zeros(n, np.int32))

    @classmethod
    def nobody(cls, queries: int) -> Entitled:
        """Returns no items for so many queries."""
        return cls.to(np.zeros(queries + 1, np.int64), np.zeros(0, np.int32), np.zeros(0, np.float32), 0)


@kernel
def _spared(scores: Floats, items: Ints, spares: int, least: float) -> int:
    """Drops the spares whose score is below `least`, and returns how many are left."""
    left = 0
    for spare in range(spares):
        if scores[spare] >= least:
            scores[left], items[left] = scores[spare], items[spare]
            left += 1
    return left


@kernel
def _score(
    query: int, queries: Floats, vectors: Floats, entitled: Entitled, scores: Floats, items: Ints, count: int
) -> None:
    """Puts final scores of some items in place of those of a matrix product."""
    vector = queries[query]
    for at in range(count):
        scores[at] = dot_product(vector, vectors[items[at]])
    first, end = entitled.offsets[query], entitled.offsets[query + 1]
    if first == end:
        return
    for entry in range(first, end):
        entitled.entry_of[entitled.items[entry]] = entry
    for at in range(count):
        entry = entitled.entry_of[items[at]]
        if first <= entry < end and entitled.items[entry] == items[at]:
            scores[at] += entitled.extra[entry]


@kernel
def _rescore(
    query: int,
    margin: float,
    queries: Floats,
    vectors: Floats,
    entitled: Entitled,
    scores: Floats,
    items: Ints,
    size: int,
    spare_scores: Floats,
    spare_items: Ints,
    spares: int,
) -> None:
    """Puts final scores in place of those of a matrix product; what is left is a heap if there was any spare."""
    if spares:
        spares = _spared(spare_scores, spare_items, spares, scores[0] - margin)
    _score(query, queries, vectors, entitled, scores, items, size)
    if spares:
        _score(query, queries, vectors, entitled, spare_scores, spare_items, spares)
        for at in range(size):
            push(scores, items, at, scores[at], items[at])
        for spare in range(spares):
            push(scores, items, size, spare_scores[spare], spare_items[spare])


@kernel
def _rescore_all(
    margins: Floats,
    queries: Floats,
    vectors: Floats,
    entitled: Entitled,
    scores: Floats,
    items: Ints,
    sizes: Ints,
    spare_scores: Floats,
    spare_items: Ints,
    spares: Ints,
) -> None:
    for q in range(len(queries)):
        if spares[q] != FINAL:
            _rescore(
                q,
                margins[q],
                queries,
                vectors,
                entitled,
                scores[q],
                items[q],
                sizes[q],
                spare_scores[q],
                spare_items[q],
                spares[q],
            )


@kernel
def _as_keys(bits: npt.NDArray[np.uint32], items: Ints, keys: npt.NDArray[np.uint64]) -> None:
    """Packs scores, as the bits of floats, and items into integers that are less the better the entry."""
    for row in range(len(keys)):
        for at in range(keys.shape[1]):
            bit = bits[row, at]
            falling = bit if bit >> np.uint32(31) else ~(bit | np.uint32(1 << 31))
            keys[row, at] = np.uint64(falling) << np.uint64(32) | np.uint64(np.uint32(items[row, at]))


@kernel
def _of_keys(keys: npt.NDArray[np.uint64], bits: npt.NDArray[np.uint32], items: Ints) -> None:
    """Unpacks what `_as_keys` packed."""
    for row in range(len(keys)):
        for at in range(keys.shape[1]):
            falling = np.uint32(keys[row, at] >> np.uint64(32))
            bits[row, at] = falling if falling >> np.uint32(31) else ~(falling | np.uint32(1 << 31))
            items[row, at] = np.int32(np.uint32(keys[row, at]))


def _sort_rows(scores: Floats, items: Ints) -> None:
    """Sorts each row of scores and items (m, k), best first, ties to the lower number, -1 last."""
    scores += np.float32(0)  # -0 becomes 0, whose bits differ
    keys = np.empty(scores.shape, np.uint64)
    _as_keys(scores.view(np.uint32), items, keys)
    keys.sort(axis=1)
    _of_keys(keys, scores.view(np.uint32), items)


@kernel
def _push_tile(
    tile: Floats,
    rows: Ints,
    numbers: Ints,
    margins: Floats,
    queries: Floats,
    vectors: Floats,
    entitled: Entitled,
    scores: Floats,
    items: Ints,
    sizes: Ints,
    spare_scores: Floats,
    spare_items: Ints,
    spares: Ints,
) -> None:
    columns, kept = tile.shape[1], scores.shape[1]
    marked = np.ones(columns // STRIDE + 1, np.bool_)
    for r in range(len(rows)):
        q, row = rows[r], tile[r]
        margin, heap, held, size = margins[q], scores[q], items[q], sizes[q]
        least = heap[0] - margin if size == kept else np.float32(-np.inf)
        _mark(row, least, marked)
        for stride in range(len(marked)):
            if not marked[stride]:
                continue
            for column in range(stride * STRIDE, min((stride + 1) * STRIDE, columns)):
                score = row[column]
                if not (score > -np.inf and score >= least):
                    continue
                item = numbers[column]
                if spares[q] == FINAL:
                    size = push(heap, held, size, dot_product(queries[q], vectors[item]), item)
                elif size < kept:
                    size = push(heap, held, size, score, item)
                else:
                    if _is_worse(heap[0], held[0], score, item):
                        worst, worst_item = heap[0], held[0]
                        _sift_down(heap, held, size, score, item)
                        score, item = worst, worst_item
                    if score >= heap[0] - margin:
                        if spares[q] == SPARES:
                            spares[q] = _spared(spare_scores[q], spare_items[q], SPARES, heap[0] - margin)
                        if spares[q] < SPARES:
                            spare_scores[q, spares[q]], spare_items[q, spares[q]] = score, item
                            spares[q] += 1
                        else:
                            _rescore(
                                q,
                                margin,
                                queries,
                                vectors,
                                entitled,
                                heap,
                                held,
                                size,
                                spare_scores[q],
                                spare_items[q],
                                SPARES,
                            )
                            push(heap, held, size, dot_product(queries[q], vectors[item]), item)
                            spares[q] = FINAL
                if size == kept:
                    least = heap[0] - margin
        sizes[q] = size


class TopKProducts:
    """The k vectors with the greatest `dot_product` for each query, found by tiles of a matrix product.

    Scores of a matrix product are off by what rounding changes, and by how much depends on the shapes multiplied. So
    they only select: entries of a heap, and the few others whose score is so near to the worst entry's that rounding
    decides, are scored again by `dot_product`. A query's list thus depends on the query and the vectors alone.
    """

    def __init__(self, queries: Floats, vectors: Floats, kept: int, longest: float, entitled: Entitled | None = None):
        """Empty heaps of `kept` entries for queries (m, d).

        Vectors (n, d), by item number, have length `longest` at most; both are contiguous float32. Items that a query
        is entitled to score more; `push_entitled` pushes them.
        """
        self.queries, self.vectors = queries, vectors
        self.entitled = Entitled.nobody(len(queries)) if entitled is None else entitled
        self.lengths = np.linalg.norm(queries, axis=1)
        self.margins = 2 * most_rounding(queries, self.lengths, longest)
        self.scores = np.full((len(queries), kept), -np.inf, np.float32)
        self.items = np.full((len(queries), kept), -1, np.int32)
        self.sizes, self.spares = np.zeros(len(queries), np.int32), np.zeros(len(queries), np.int32)
        self.spare_scores = np.empty((len(queries), SPARES), np.float32)
        self.spare_items = np.empty((len(queries), SPARES), np.int32)

    def may_gain(self, longest: float) -> Ints:
        """Returns the queries that vectors of length `longest` at most may still give an entry, by Cauchy, Schwarz."""
        bounds = self.lengths * np.float32(longest) * SLACK + self.margins
        return np.flatnonzero((self.sizes < self.scores.shape[1]) | (self.scores[:, 0] <= bounds)).astype(np.int32)

    def push(self, tile: Floats, rows: Ints, items: Ints) -> None:
        """Pushes what the matrix product (r, c) of queries `rows` (r,) and vectors `items` (c,) says; -inf is no score.

        No item is pushed twice for a query, and none that it is entitled to.
        """
        if self.scores.shape[1]:
            _push_tile(tile, rows, items, self.margins, *self._state)

    def push_entitled(self, allowed: npt.NDArray[np.bool_]) -> None:
        """Pushes the items that queries are entitled to, if they are allowed (n,) and their extra is not negative."""
        if self.scores.shape[1]:
            _push_entitled(allowed, self.queries, self.vectors, self.entitled, self.scores, self.items, self.sizes)

    def sorted(self) -> tuple[Ints, Floats]:
        """Returns items and scores (m, k), best first, ties to the lower number; -1 and -inf where fewer are left.

        The heaps can't be used afterwards.
        """
        if self.scores.shape[1]:
            _rescore_all(self.margins, *self._state)
            _sort_rows(self.scores, self.items)
        return self.items, self.scores

    @property
    def _state(self) -> tuple[Any, ...]:
        return (
            self.queries,
            self.vectors,
            self.entitled,
            self.scores,
            self.items,
            self.sizes,
            self.spare_scores,
            self.spare_items,
            self.spares,
        )


@kernel
def _push_entitled(
    allowed: npt.NDArray[np.bool_],
    queries: Floats,
    vectors: Floats,
    entitled: Entitled,
    scores: Floats,
    items: Ints,
    sizes: Ints,
) -> None:
    for q in range(len(queries)):
        for entry in range(entitled.offsets[q], entitled.offsets[q + 1]):
            item, extra = entitled.items[entry], entitled.extra[entry]
            if allowed[item] and extra >= 0:
                score = dot_product(queries[q], vectors[item]) + extra
                sizes[q] = push(scores[q], items[q], sizes[q], score, item)


@kernel
def _top_k_columns(tile: Floats, scores: Floats, items: Ints) -> None:
    kept, marked = scores.shape[1], np.ones(CHUNK // STRIDE + 1, np.bool_)
    for r in range(len(tile)):
        size = 0
        for start in range(0, tile.shape[1], CHUNK):
            row = tile[r, start : start + CHUNK]
            _mark(row, scores[r, 0] if size == kept else np.float32(-np.inf), marked)
            for stride in range(len(row) // STRIDE + 1):
                if marked[stride]:
                    for column in range(stride * STRIDE, min((stride + 1) * STRIDE, len(row))):
                        if row[column] > -np.inf and (size < kept or row[column] >= scores[r, 0]):
                            size = push(scores[r], items[r], size, row[column], start + column)


def top_k_columns(scores: Floats, kept: int) -> tuple[Ints, Floats]:
    """Returns columns and values of the `kept` largest scores of each row, best first; equal scores by column.

    Where fewer than `kept` scores are above -inf, the rest are -1 and -inf.
    """
    best, columns = np.full((len(scores), kept), -np.inf, np.float32), np.full((len(scores), kept), -1, np.int32)
    if kept:
        _top_k_columns(scores, best, columns)
        _sort_rows(best, columns)
    return columns, best
