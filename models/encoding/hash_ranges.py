"""Partitioning by ranges of hashes: equal ranges of 64-bit keys, in the order of the keys."""

from __future__ import annotations

import numpy as np

from larder.kernels import kernel


def range_of(hashed: np.ndarray, ranges: int) -> np.ndarray:
    """Returns which of `ranges` equal ranges of all 64-bit keys each key (n,) falls in, int64 (n,).

    `ranges` is a power of two.
    """
    if ranges == 1:
        return np.zeros(len(hashed), np.int64)
    bits = ranges.bit_length() - 1
    return (hashed >> (64 - bits)) + (ranges >> 1)


@kernel
def rows_by_range(number: np.ndarray, ranges: int) -> tuple[np.ndarray, np.ndarray]:
    """Returns row numbers by range, in their order within each, and where each range starts, int64 (ranges + 1,).

    `number` (n,) is the range of each row: a counting sort.
    """
    starts = np.zeros(ranges + 1, np.int64)
    for i in range(len(number)):
        starts[number[i] + 1] += 1
    for r in range(ranges):
        starts[r + 1] += starts[r]
    order, at = np.empty(len(number), np.int64), np.empty(ranges, np.int64)
    for r in range(ranges):
        at[r] = starts[r]
    for i in range(len(number)):
        order[at[number[i]]] = i
        at[number[i]] += 1
    return order, starts
