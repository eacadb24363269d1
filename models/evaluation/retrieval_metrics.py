"""Precision of nearest-neighbour retrieval: the quality of an embedding for lists of similar products."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
import numpy.typing as npt

from larder.models.search.exact import nearest, unit_length

CONFIDENCE = 0.95


def leaf_precision_at_k(
    vectors: npt.NDArray[np.floating],
    leaves: Sequence[str | None],
    held_out_mask: npt.NDArray[np.bool_],
    k: int = 10,
    bootstrap: int = 200,
    seed: int = 42,
) -> dict[str, float]:
    """Returns precision@k over held-out products: the share of the `k` nearest products with the query's category.

    Args: `vectors` (n, d), of any length; `leaves`, n full category paths, None or "" if unknown; `held_out_mask` (n,).
    Neighbours are searched among all products but the query itself. Products without another of their category are no
    queries. Returns `precision`; `low` and `high`, its 95% percentile bootstrap interval over queries (Efron 1979), NaN
    without resamples; `ceiling`, the precision of a perfect ranking, below 1 if categories have fewer than `k` others;
    and `queries`, their number. All but the last are NaN if there is no query.
    """
    codes, counts = _codes(leaves)
    queries = np.flatnonzero(held_out_mask & (codes >= 0) & (counts >= 2))
    if len(queries) == 0:
        return {"precision": np.nan, "low": np.nan, "high": np.nan, "ceiling": np.nan, "queries": 0}
    unit = unit_length(vectors)
    found, _ = nearest(unit[queries], unit, k, exclude_self_index=queries)
    same = (codes[found] == codes[queries][:, None]) & (found >= 0)
    shares = same.sum(axis=1) / k
    low, high = _interval(shares, bootstrap, seed)
    ceiling = np.minimum(counts[queries] - 1, k).mean() / k
    return {
        "precision": float(shares.mean()),
        "low": low,
        "high": high,
        "ceiling": float(ceiling),
        "queries": len(queries),
    }


def _codes(leaves: Sequence[str | None]) -> tuple[npt.NDArray[np.int64], npt.NDArray[np.int64]]:
    """Returns each product's category as a number, -1 for none, and the number of products of that category."""
    known = np.array([bool(leaf) for leaf in leaves], bool)
    _, codes, counts = np.unique(
        np.array([leaf or "" for leaf in leaves], str), return_inverse=True, return_counts=True
    )
    return np.where(known, codes, -1), np.where(known, counts[codes], 0)


def _interval(shares: npt.NDArray[np.float64], bootstrap: int, seed: int) -> tuple[float, float]:
    if bootstrap < 1:
        return np.nan, np.nan
    random = np.random.default_rng(seed)
    means = [shares[random.integers(0, len(shares), len(shares))].mean() for _ in range(bootstrap)]
    tail = (1 - CONFIDENCE) / 2
    low, high = np.quantile(means, [tail, 1 - tail])
    return float(low), float(high)
