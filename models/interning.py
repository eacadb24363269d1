"""Texts as dense codes: one code a distinct text, found by its hash."""

from __future__ import annotations

import numba
import numpy as np
import pyarrow as pa
import pyarrow.compute as pc

from models.hashing import xxh64

FEW = 1 << 12


def interned(texts: pa.StringArray) -> tuple[np.ndarray, pa.StringArray]:
    """Codes (int32 [n], -1 for a null) and the distinct texts in the order in which they first come.

    Texts of one XXH64 are taken for one: 3 in 10^8 catalogues of a million products have such a pair.
    """
    codes, firsts = _codes(xxh64(texts))
    if texts.null_count:
        return _without_nulls(codes, texts, firsts)
    return codes, texts.take(pa.array(firsts))


def interned_sorted(dictionary: pa.StringArray) -> tuple[np.ndarray, pa.StringArray]:
    """The same with the distinct texts sorted by their bytes, so that codes are in the order of the texts."""
    codes, distinct = interned(dictionary)
    order = pc.sort_indices(distinct).to_numpy()
    ranks = np.empty(len(order), np.int32)
    ranks[order] = np.arange(len(order), dtype=np.int32)
    return ranks[codes] if len(codes) else codes, distinct.take(pa.array(order))


def _without_nulls(codes: np.ndarray, texts: pa.StringArray, firsts: np.ndarray) -> tuple[np.ndarray, pa.StringArray]:
    """A null is hashed as an empty text; the two must be told apart."""
    valid = np.asarray(texts.is_valid())
    dense, firsts_of_valid = _codes(xxh64(texts.filter(pa.array(valid))))
    codes = np.full(len(texts), -1, np.int32)
    codes[valid] = dense
    return codes, texts.take(pa.array(np.flatnonzero(valid)[firsts_of_valid]))


@numba.njit(cache=True, nogil=True)
def _codes(hashes: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """Open addressing with linear probing; grows when half full."""
    size = FEW
    keys, values = np.empty(size, np.int64), np.full(size, -1, np.int32)
    codes, firsts = np.empty(len(hashes), np.int32), np.empty(FEW, np.int64)
    found = 0
    for i in range(len(hashes)):
        slot = hashes[i] & (size - 1)
        while values[slot] >= 0 and keys[slot] != hashes[i]:
            slot = (slot + 1) & (size - 1)
        if values[slot] < 0:
            if found == len(firsts):
                more = np.empty(2 * found, np.int64)
                more[:found] = firsts
                firsts = more
            keys[slot], values[slot], firsts[found] = hashes[i], found, i
            codes[i] = found
            found += 1
            if 2 * found > size:
                size *= 4
                keys, values = _grown(keys, values, size)
        else:
            codes[i] = values[slot]
    return codes, firsts[:found].copy()


@numba.njit(cache=True, nogil=True)
def _grown(keys: np.ndarray, values: np.ndarray, size: int) -> tuple[np.ndarray, np.ndarray]:
    new_keys, new_values = np.empty(size, np.int64), np.full(size, -1, np.int32)
    for old in range(len(keys)):
        if values[old] >= 0:
            slot = keys[old] & (size - 1)
            while new_values[slot] >= 0:
                slot = (slot + 1) & (size - 1)
            new_keys[slot], new_values[slot] = keys[old], values[old]
    return new_keys, new_values
