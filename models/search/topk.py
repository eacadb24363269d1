"""The best of what was offered so far, a heap for each user or query: compiled, and the same in any order of offers."""

from __future__ import annotations

from dataclasses import dataclass

import numba
import numpy as np
import numpy.typing as npt

Floats = npt.NDArray[np.float32]
Ints = npt.NDArray[np.int32]

# How many scores are compared with the worst that is kept at once.
STRIDE = 64


@numba.njit(cache=True, inline="always")
def _is_worse(score: float, item: int, than_score: float, than_item: int) -> bool:
    return score < than_score or (score == than_score and item > than_item)


@numba.njit(cache=True, nogil=True)
def push(scores: Floats, items: Ints, size: int, score: float, item: int) -> int:
    """Puts an item into a heap whose root is the worst; returns the heap's size."""
    at = size
    if size < len(scores):
        while at > 0 and _is_worse(score, item, scores[(at - 1) >> 1], items[(at - 1) >> 1]):
            parent = (at - 1) >> 1
            scores[at], items[at] = scores[parent], items[parent]
            at = parent
        scores[at], items[at] = score, item
        return size + 1
    if not _is_worse(scores[0], items[0], score, item):
        return size
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
    return size


@numba.njit(cache=True, nogil=True, fastmath={"nnan", "nsz", "reassoc"})
def _mark(row: Floats, least: np.float32, marked: npt.NDArray[np.bool_]) -> None:
    """Which strides of a row have a score of at least so much. A loop of its own, and of this form, to be compiled to
    vector instructions."""
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


@numba.njit(cache=True, nogil=True)
def _offer_tile(tile: Floats, rows: Ints, numbers: Ints, scores: Floats, items: Ints, sizes: Ints) -> None:
    columns, kept = tile.shape[1], scores.shape[1]
    marked = np.ones(columns // STRIDE + 1, np.bool_)
    for r in range(len(rows)):
        heap, row = rows[r], tile[r]
        size = sizes[heap]
        _mark(row, scores[heap, 0] if size == kept else np.float32(-np.inf), marked)
        for stride in range(len(marked)):
            if marked[stride]:
                for column in range(stride * STRIDE, min((stride + 1) * STRIDE, columns)):
                    score = row[column]
                    if score > -np.inf and (size < kept or score >= scores[heap, 0]):
                        size = push(scores[heap], items[heap], size, score, numbers[column])
        sizes[heap] = size


@dataclass(frozen=True)
class TopKHeaps:
    """One a row: scores (m, k) and items (m, k), -inf and -1 where there is none yet; sizes (m,)."""

    scores: Floats
    items: Ints
    sizes: Ints

    @classmethod
    def empty(cls, count: int, kept: int) -> TopKHeaps:
        scores, items = np.full((count, kept), -np.inf, np.float32), np.full((count, kept), -1, np.int32)
        return cls(scores, items, np.zeros(count, np.int32))

    def of(self, rows: slice) -> TopKHeaps:
        """Some of them, as views."""
        return TopKHeaps(self.scores[rows], self.items[rows], self.sizes[rows])

    def push_tile(self, tile: Floats, rows: Ints, items: int | Ints) -> None:
        """Scores (r, c) to heaps `rows` (r,), of items (c,) or of those numbered from one on; -inf is none."""
        numbers = np.arange(items, items + tile.shape[1], dtype=np.int32) if isinstance(items, int) else items
        if self.scores.shape[1]:
            _offer_tile(tile, rows, numbers, self.scores, self.items, self.sizes)

    def lists(self) -> tuple[Ints, Floats]:
        """Items and scores, best first, ties to the lower number."""
        order = np.lexsort((self.items, -self.scores), axis=1)
        return np.take_along_axis(self.items, order, 1), np.take_along_axis(self.scores, order, 1)
