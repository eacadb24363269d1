"""Exact nearest neighbours by cosine, tile by tile, so that memory does not grow with queries times vectors."""

from __future__ import annotations

from collections.abc import Callable

import numpy as np
import numpy.typing as npt

from larder.models.search.topk import TopKProducts

Floats = npt.NDArray[np.float32]
Ints = npt.NDArray[np.int32]
# Given some rows of queries, some rows of vectors and their scores, puts -inf where a query may not get a vector.
Mask = Callable[[slice, slice, Floats], None]

# A tile of scores is one matrix product, small enough to stay in the cache.
TILE_QUERIES, TILE_VECTORS = 256, 512
NO_NEIGHBOUR = -1


def nearest(
    queries: npt.NDArray[np.floating],
    vectors: npt.NDArray[np.floating],
    top: int,
    exclude_self_index: npt.NDArray[np.integer] | None = None,
    mask: Mask | None = None,
    longest: float | None = None,
) -> tuple[Ints, Floats]:
    """Returns the `top` vectors with the greatest inner product for each query; the cosine, where all have length 1.

    Args:
        queries: shape (m, d), taken as float32. vectors: shape (n, d), likewise.
        exclude_self_index: shape (m,); for each query the row of `vectors` that it may not get, itself, or -1.
        mask: puts -inf in a tile of scores where a query may not get a vector.
        longest: the length of the longest vector, if it is known.
    Returns:
        Indices (m, k) int32 and scores (m, k) float32, k = min(top, n), best first and equal scores by index. Where
        fewer than k are left, the rest have index NO_NEIGHBOUR and score -inf. A query's row is the same to the bit
        whoever else is asked for.
    Raises:
        ValueError: shapes do not fit, or `top` < 1.
    """
    if queries.ndim != 2 or vectors.ndim != 2 or queries.shape[1] != vectors.shape[1]:
        raise ValueError(f"queries {queries.shape} and vectors {vectors.shape} are not (m, d) and (n, d)")
    if top < 1:
        raise ValueError(f"top is {top}, not a positive number")
    if exclude_self_index is not None and exclude_self_index.shape != (len(queries),):
        raise ValueError(f"exclude_self_index {exclude_self_index.shape} does not name one row a query")
    queries, vectors = np.ascontiguousarray(queries, np.float32), np.ascontiguousarray(vectors, np.float32)
    numbers = np.arange(max(len(vectors), len(queries)), dtype=np.int32)
    best = TopKProducts(
        queries, vectors, min(top, len(vectors)), length_of_longest(vectors) if longest is None else longest
    )
    for start in range(0, len(queries), TILE_QUERIES):
        rows = slice(start, min(start + TILE_QUERIES, len(queries)))
        for first in range(0, len(vectors), TILE_VECTORS):
            columns = slice(first, min(first + TILE_VECTORS, len(vectors)))
            tile = queries[rows] @ vectors[columns].T
            if exclude_self_index is not None:
                exclude(tile, exclude_self_index[rows] - first)
            if mask is not None:
                mask(rows, columns, tile)
            best.push(tile, numbers[rows], numbers[columns])
    return best.sorted()


def unit_length(vectors: npt.NDArray[np.floating]) -> Floats:
    """Returns rows (n, d) scaled to length 1, in float32; a row of zeros stays one."""
    lengths = np.linalg.norm(vectors, axis=1, keepdims=True)
    return np.asarray(vectors / np.where(lengths > 0, lengths, 1), np.float32)


def length_of_longest(vectors: Floats) -> float:
    """Returns the length of the longest of the vectors (n, d), 0 for none."""
    return float(np.sqrt(np.einsum("ij,ij->i", vectors, vectors).max(initial=0)))


def exclude(scores: Floats, columns: npt.NDArray[np.integer]) -> None:
    """Puts -inf in one column of each row, columns (rows,); nowhere in a row whose column does not exist."""
    named = np.flatnonzero((columns >= 0) & (columns < scores.shape[1]))
    scores[named, columns[named]] = -np.inf
