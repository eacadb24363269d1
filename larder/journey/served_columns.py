"""Columns derived from served answers, for both Parquet and JSON."""

from __future__ import annotations

import numpy as np
import numpy.typing as npt

from larder.journey.served import HAS_PROPENSITIES, HAS_SCORES, NO_SCORE, ServedAnswers

INT32 = np.dtype("<i4")
FLOAT32 = np.dtype("<f4")
# The propensity of a product that no other one could have replaced.
CERTAIN = 1.0


def counts_of(served: ServedAnswers) -> npt.NDArray[np.int32]:
    """Returns the number of products of each answer, shape (answers,)."""
    return np.frombuffer(served.counts, INT32)


def moments_of(served: ServedAnswers) -> npt.NDArray[np.int64]:
    """Returns the time of each answer in microseconds since 1970 UTC, shape (answers,)."""
    return (np.frombuffer(served.times, "<f8") * 1e6).astype(np.int64)


def positions_of(counts: npt.NDArray[np.int32]) -> npt.NDArray[np.int64]:
    """Returns 0, 1, 2, ... within each answer, shape (products,)."""
    ends = np.cumsum(counts)
    return np.arange(counts.sum()) - np.repeat(ends - counts, counts)


def scores_of(served: ServedAnswers) -> npt.NDArray[np.float32]:
    """Returns the score of each product, shape (products,); NO_SCORE for those without one."""
    scores = _of_runs(served, HAS_SCORES, served.scores, NO_SCORE)
    # A score beyond float32 would be infinite, for which JSON has no number.
    return np.where(np.isfinite(scores), scores, np.float32(NO_SCORE))


def propensities_of(served: ServedAnswers) -> npt.NDArray[np.float32]:
    """Returns the probability of each product at its position, given those above it, shape (products,)."""
    return _of_runs(served, HAS_PROPENSITIES, served.propensities, CERTAIN)


def _of_runs(served: ServedAnswers, detail: int, numbers: bytes, otherwise: float) -> npt.NDArray[np.float32]:
    """Returns the numbers of the products in runs with this detail, and `otherwise` for the other products."""
    counts = np.frombuffer(served.route_counts, INT32)
    found = np.full(counts.sum(), otherwise, np.float32)
    if numbers:
        has_detail = (np.frombuffer(served.run_details, np.uint8) & detail) != 0
        found[np.repeat(has_detail, counts)] = np.frombuffer(numbers, FLOAT32)
    return found
