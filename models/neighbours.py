"""Exact nearest neighbours by cosine, block by block, so that memory does not grow with the number of queries."""

from __future__ import annotations

from collections.abc import Callable

import numpy as np
import numpy.typing as npt

Floats = npt.NDArray[np.float32]
Ints = npt.NDArray[np.int32]

# One block of scores: 2^24 floats are 64 MiB.
BLOCK_SCORES = 1 << 24
BLOCK_COLUMNS = 64
NOBODY = -1


def nearest(
    queries: npt.NDArray[np.floating],
    vectors: npt.NDArray[np.floating],
    top: int,
    exclude_self_index: npt.NDArray[np.integer] | None = None,
    forbid: Callable[[slice, Floats], None] | None = None,
) -> tuple[Ints, Floats]:
    """The `top` vectors with the greatest dot product for each query; the cosine, where all have length 1.

    `queries` (m, d) and `vectors` (n, d), both in float32. `exclude_self_index` (m,) names for each query one row of
    `vectors` that it may not get: itself; -1 for none. `forbid` is handed some rows of queries and their scores
    (rows, n), to put -inf where a query may not get a vector. Returns indices (m, k) int32 and scores (m, k) float32,
    best first and equal scores by index, k = min(top, n); a place that nothing is left for has index -1 and score -inf.
    Raises ValueError where shapes do not fit or `top` < 1.
    """
    if queries.ndim != 2 or vectors.ndim != 2 or queries.shape[1] != vectors.shape[1]:
        raise ValueError(f"queries {queries.shape} and vectors {vectors.shape} are not (m, d) and (n, d)")
    if top < 1:
        raise ValueError(f"top is {top}, not a positive number")
    if exclude_self_index is not None and exclude_self_index.shape != (len(queries),):
        raise ValueError(f"exclude_self_index {exclude_self_index.shape} does not name one row a query")
    kept = min(top, len(vectors))
    indices = np.full((len(queries), kept), NOBODY, np.int32)
    scores = np.full((len(queries), kept), -np.inf, np.float32)
    if kept == 0:
        return indices, scores
    transposed = np.ascontiguousarray(vectors, np.float32).T
    block = max(1, BLOCK_SCORES // len(vectors))
    for start in range(0, len(queries), block):
        rows = slice(start, start + block)
        block_scores = np.ascontiguousarray(queries[rows], np.float32) @ transposed
        if exclude_self_index is not None:
            _exclude(block_scores, exclude_self_index[rows])
        if forbid is not None:
            forbid(rows, block_scores)
        indices[rows], scores[rows] = best_columns(block_scores, kept)
    indices[scores == -np.inf] = NOBODY
    return indices, scores


def unit_length(vectors: npt.NDArray[np.floating]) -> Floats:
    """Rows (n, d) scaled to length 1, in float32; a row of zeros stays one."""
    lengths = np.linalg.norm(vectors, axis=1, keepdims=True)
    return np.asarray(vectors / np.where(lengths > 0, lengths, 1), np.float32)


def _exclude(scores: Floats, own: npt.NDArray[np.integer]) -> None:
    named = np.flatnonzero(own != NOBODY)
    scores[named, own[named]] = -np.inf


def best_columns(scores: Floats, kept: int) -> tuple[Ints, Floats]:
    """Columns and values of the `kept` largest scores of each row, best first; equal scores by column.

    Only the blocks of columns with the greatest maxima are looked into: the k best values of a row are always among the
    k blocks whose maxima are greatest. That reads each score once, where a partition of the row moves it many times.
    """
    if kept == scores.shape[1]:
        found = np.broadcast_to(np.arange(kept), scores.shape)
    else:
        candidates, best_elsewhere = _candidates(scores, kept)
        values = np.take_along_axis(scores, candidates, 1)
        chosen = np.argpartition(-values, kept - 1, axis=1)[:, :kept]
        edge = np.take_along_axis(values, chosen, 1).min(axis=1)
        found = np.take_along_axis(candidates, chosen, 1)
        for row in np.flatnonzero((best_elsewhere >= edge) | ((values >= edge[:, None]).sum(axis=1) > kept)):
            found[row] = _lowest_columns(scores[row], edge[row], kept)
    found = np.sort(found, axis=1)
    values = np.take_along_axis(scores, found, 1)
    order = np.argsort(-values, axis=1, kind="stable")
    best = np.take_along_axis(found, order, 1).astype(np.int32)
    return best, np.take_along_axis(values, order, 1)


def _candidates(scores: Floats, kept: int) -> tuple[npt.NDArray[np.int64], Floats]:
    """Columns (m, c) among which are the `kept` best values of each row, and the best value elsewhere (m,)."""
    rows, columns = scores.shape
    blocks = columns // BLOCK_COLUMNS
    if blocks <= kept:
        return np.broadcast_to(np.arange(columns), scores.shape), np.full(rows, -np.inf, np.float32)
    whole = blocks * BLOCK_COLUMNS
    maxima = scores[:, :whole].reshape(rows, blocks, BLOCK_COLUMNS).max(axis=2)
    order = np.argpartition(-maxima, kept, axis=1)  # the first of the rest is the best of the rest
    inside = order[:, :kept, None] * BLOCK_COLUMNS + np.arange(BLOCK_COLUMNS)
    tail = np.broadcast_to(np.arange(whole, columns), (rows, columns - whole))
    best_elsewhere = np.take_along_axis(maxima, order[:, kept : kept + 1], 1)[:, 0]
    return np.concatenate([inside.reshape(rows, -1), tail], axis=1), best_elsewhere


def _lowest_columns(row: Floats, edge: np.float32, kept: int) -> npt.NDArray[np.int64]:
    """Of a row whose `kept`-th value `edge` comes again: all above it, and the first columns that have it."""
    above = np.flatnonzero(row > edge)
    return np.concatenate([above, np.flatnonzero(row == edge)[: kept - len(above)]])
