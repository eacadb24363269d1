"""Columns derived from served answers, for both Parquet and JSON."""

from __future__ import annotations

import numpy as np
import numpy.typing as npt

from larder.journey.served import ServedAnswers

INT32 = np.dtype("<i4")


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
