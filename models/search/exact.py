"""Exact nearest neighbours by cosine, tile by tile, so that memory does not grow with queries times vectors."""

from __future__ import annotations

from collections.abc import Callable

import numpy as np
import numpy.typing as npt

from larder.models.search.topk import TopKHeaps

Floats = npt.NDArray[np.float32]
Ints = npt.NDArray[np.int32]
Forbid = Callable[[slice, slice, Floats], None]

# A tile of scores is one matrix product, small enough to stay in the cache.
TILE_QUERIES, TILE_VECTORS = 256, 512
NO_NEIGHBOUR = -1


def nearest(
    queries: npt.NDArray[np.floating],
    vectors: npt.NDArray[np.floating],
    top: int,
    exclude_self_index: npt.NDArray[np.integer] | None = None,
    forbid: Forbid | None = None,
) -> tuple[Ints, Floats]:
    """The `top` vectors with the greatest dot product for each query; the cosine, where all have length 1.

    `queries` (m, d) and `vectors` (n, d), both in float32. `exclude_self_index` (m,) names for each query one row of
    `vectors` that it may not get: itself; -1 for none. `forbid` is handed some rows of queries, some of vectors and
    their scores (rows, columns), to put -inf where a query may not get a vector. Returns indices (m, k) int32 and
    scores (m, k) float32, best first and equal scores by index, k = min(top, n); a place that nothing is left for has
    index -1 and score -inf. Raises ValueError where shapes do not fit or `top` < 1.
    """
    if queries.ndim != 2 or vectors.ndim != 2 or queries.shape[1] != vectors.shape[1]:
        raise ValueError(f"queries {queries.shape} and vectors {vectors.shape} are not (m, d) and (n, d)")
    if top < 1:
        raise ValueError(f"top is {top}, not a positive number")
    if exclude_self_index is not None and exclude_self_index.shape != (len(queries),):
        raise ValueError(f"exclude_self_index {exclude_self_index.shape} does not name one row a query")
    queries, vectors = np.ascontiguousarray(queries, np.float32), np.ascontiguousarray(vectors, np.float32)
    best = TopKHeaps.empty(len(queries), min(top, len(vectors)))
    for start in range(0, len(queries), TILE_QUERIES):
        rows = slice(start, min(start + TILE_QUERIES, len(queries)))
        for first in range(0, len(vectors), TILE_VECTORS):
            columns = slice(first, min(first + TILE_VECTORS, len(vectors)))
            tile = queries[rows] @ vectors[columns].T
            if exclude_self_index is not None:
                exclude(tile, exclude_self_index[rows] - first)
            if forbid is not None:
                forbid(rows, columns, tile)
            best.push_tile(tile, np.arange(rows.start, rows.stop, dtype=np.int32), first)
    return best.lists()


def unit_length(vectors: npt.NDArray[np.floating]) -> Floats:
    """Rows (n, d) scaled to length 1, in float32; a row of zeros stays one."""
    lengths = np.linalg.norm(vectors, axis=1, keepdims=True)
    return np.asarray(vectors / np.where(lengths > 0, lengths, 1), np.float32)


def exclude(scores: Floats, columns: npt.NDArray[np.integer]) -> None:
    """Puts -inf in one column of each row, columns (rows,); nowhere where there is no such column."""
    named = np.flatnonzero((columns >= 0) & (columns < scores.shape[1]))
    scores[named, columns[named]] = -np.inf


def top_k_columns(scores: Floats, kept: int) -> tuple[Ints, Floats]:
    """Columns and values of the `kept` largest scores of each row, best first; equal scores by column."""
    best = TopKHeaps.empty(len(scores), kept)
    best.push_tile(scores, np.arange(len(scores), dtype=np.int32), 0)
    return best.lists()
