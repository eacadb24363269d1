"""Sorting rows by several integer columns at once, in place and without Python."""

from __future__ import annotations

import numba
import numpy as np

from larder.kernels import kernel

SHORT = 24  # rows up to which insertion sort is faster than merge sort
LONG = 128  # rows up to which a slot is sorted by insertion
ROWS_A_SLOT = 12
LOW_32 = (1 << 32) - 1


@numba.njit(inline="always")
def _after(a: int, b: int, first: np.ndarray, second: np.ndarray, third: np.ndarray) -> bool:
    """Returns whether row a comes after row b."""
    if first[a] != first[b]:
        return first[a] > first[b]
    if second[a] != second[b]:
        return second[a] > second[b]
    return third[a] > third[b]


@kernel
def sort_range(
    order: np.ndarray, start: int, end: int, first: np.ndarray, second: np.ndarray, third: np.ndarray
) -> None:
    """Sorts the row numbers order[start:end] by (first, second, third), in place; a stable merge sort."""
    for run in range(start, end, SHORT):
        for i in range(run + 1, min(run + SHORT, end)):
            row, j = order[i], i
            while j > run and _after(order[j - 1], row, first, second, third):
                order[j] = order[j - 1]
                j -= 1
            order[j] = row
    width = SHORT
    if end - start <= width:
        return
    merged = np.empty(end - start, np.int64)
    while width < end - start:
        for left in range(start, end, 2 * width):
            middle, right = min(left + width, end), min(left + 2 * width, end)
            i, j = left, middle
            for k in range(left, right):
                if i < middle and (j >= right or not _after(order[i], order[j], first, second, third)):
                    merged[k - start] = order[i]
                    i += 1
                else:
                    merged[k - start] = order[j]
                    j += 1
        for k in range(start, end):
            order[k] = merged[k - start]
        width *= 2


@kernel
def slots_by_hash(hashed: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """Returns each row's position (n,) when rows are put into slots in the order of `hashed`, and the slots' bounds.

    The first pass of a bucket sort: slots are equal ranges between the least and the greatest of `hashed`, int64 (n,),
    so it must be spread evenly, as hashes are. Slot i holds positions bounds[i] to bounds[i + 1], in their old order.
    """
    n = len(hashed)
    least = greatest = hashed[0] if n else np.int64(0)
    for i in range(n):
        least, greatest = min(least, hashed[i]), max(greatest, hashed[i])
    spread = np.uint64(greatest - least)
    bits = 0
    while (spread >> np.uint64(bits)) > np.uint64(max(1, n // ROWS_A_SLOT)):
        bits += 1
    shift = np.uint64(bits)
    bounds = np.zeros(np.int64(spread >> shift) + 2, np.int64)
    for i in range(n):
        bounds[np.int64(np.uint64(hashed[i] - least) >> shift) + 1] += 1
    for slot in range(1, len(bounds)):
        bounds[slot] += bounds[slot - 1]
    positions, at = np.empty(n, np.int64), np.empty(len(bounds), np.int64)
    for slot in range(len(bounds)):
        at[slot] = bounds[slot]
    for i in range(n):
        here = np.int64(np.uint64(hashed[i] - least) >> shift)
        positions[i] = at[here]
        at[here] += 1
    return positions, bounds


@kernel
def sort_slots(records: np.ndarray, bounds: np.ndarray) -> None:
    """Sorts the records, int64 (n, columns), of each slot by their first two columns, in place; stable.

    The order of a slot is found first, over numbers that stay in the L1 cache; then each record is moved once.
    """
    order, spare = np.empty(LONG, np.int64), np.empty((LONG, records.shape[1]), np.int64)
    for slot in range(len(bounds) - 1):
        start, size = bounds[slot], bounds[slot + 1] - bounds[slot]
        if size < 2:
            continue
        if size > LONG:
            _sort_long_slot(records, start, size)
            continue
        for i in range(size):
            first, second, j = records[start + i, 0], records[start + i, 1], i
            while j > 0:
                before = start + order[j - 1]
                if records[before, 0] < first or (records[before, 0] == first and records[before, 1] <= second):
                    break
                order[j] = order[j - 1]
                j -= 1
            order[j] = i
        for i in range(size):
            for column in range(records.shape[1]):
                spare[i, column] = records[start + order[i], column]
        for i in range(size):
            for column in range(records.shape[1]):
                records[start + i, column] = spare[i, column]


@kernel
def _sort_long_slot(records: np.ndarray, start: int, size: int) -> None:
    order, spare = np.empty(size, np.int64), np.empty((size, records.shape[1]), np.int64)
    first, second = np.empty(size, np.int64), np.empty(size, np.int64)
    for i in range(size):
        order[i], first[i], second[i] = i, records[start + i, 0], records[start + i, 1]
        for column in range(records.shape[1]):
            spare[i, column] = records[start + i, column]
    sort_range(order, 0, size, first, second, second)
    for i in range(size):
        for column in range(records.shape[1]):
            records[start + i, column] = spare[order[i], column]
