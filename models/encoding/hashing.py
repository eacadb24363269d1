"""XXH64 of whole Arrow columns, compiled: the key of every cookie, and of other ids that are only compared."""

from __future__ import annotations

import numba
import numpy as np
import pyarrow as pa

from larder.kernels import kernel

COOKIE_SEED = 42  # as Spark's xxhash64

# XXH64: https://github.com/Cyan4973/xxHash/blob/dev/doc/xxhash_spec.md
_PRIME_1 = np.uint64(0x9E3779B185EBCA87)
_PRIME_2 = np.uint64(0xC2B2AE3D27D4EB4F)
_PRIME_3 = np.uint64(0x165667B19E3779F9)
_PRIME_4 = np.uint64(0x85EBCA77C2B2AE63)
_PRIME_5 = np.uint64(0x27D4EB2F165667C5)


def xxh64(texts: pa.StringArray) -> np.ndarray:
    """Returns XXH64 (seed 42) of each text's UTF-8 bytes, int64 (n,). A null is hashed as an empty text.

    Raises TypeError if `texts` is no array of type string.
    """
    offsets, data = text_buffers(texts)
    hashes = _hash_all(offsets, data, np.uint64(COOKIE_SEED)).view(np.int64)
    if texts.null_count:  # whose slots may hold any bytes
        hashes[np.asarray(texts.is_null())] = _hash_all(np.zeros(2, np.int32), data, np.uint64(COOKIE_SEED)).view(
            np.int64
        )
    return hashes


def text_buffers(texts: pa.StringArray) -> tuple[np.ndarray, np.ndarray]:
    """Returns the offsets, int32 (n + 1,), and the UTF-8 bytes, uint8, of a column of texts, without a copy.

    Raises TypeError if it is no array of type string: large_string, string_view and chunked arrays have other buffers.
    """
    if not isinstance(texts, pa.Array) or texts.type != pa.string():
        raise TypeError(f"texts are {texts.type}, in {type(texts).__name__}; cast them to an array of string first")
    _, offsets, data = texts.buffers()
    if offsets is None:
        return np.zeros(len(texts) + 1, np.int32), np.zeros(0, np.uint8)
    within = np.frombuffer(offsets, np.int32)[texts.offset : texts.offset + len(texts) + 1]
    return within, np.zeros(0, np.uint8) if data is None else np.frombuffer(data, np.uint8)


@numba.njit(inline="always")
def _rotated(value: np.uint64, bits: int) -> np.uint64:
    return (value << np.uint64(bits)) | (value >> np.uint64(64 - bits))


@numba.njit(inline="always")
def _round(lane: np.uint64, word: np.uint64) -> np.uint64:
    return _rotated(lane + word * _PRIME_2, 31) * _PRIME_1


@numba.njit(inline="always")
def _word(data: np.ndarray, at: int, size: int) -> np.uint64:
    """Returns `size` bytes as a number, little-endian."""
    value = np.uint64(0)
    for i in range(size):
        value |= np.uint64(data[at + i]) << np.uint64(8 * i)
    return value


@numba.njit(inline="always")
def _merged(total: np.uint64, lane: np.uint64) -> np.uint64:
    return (total ^ _round(np.uint64(0), lane)) * _PRIME_1 + _PRIME_4


@numba.njit
def _hash_one(data: np.ndarray, at: int, end: int, seed: np.uint64) -> np.uint64:
    length = np.uint64(end - at)
    if end - at >= 32:
        a, b, c, d = seed + _PRIME_1 + _PRIME_2, seed + _PRIME_2, seed, seed - _PRIME_1
        while end - at >= 32:
            a, b = _round(a, _word(data, at, 8)), _round(b, _word(data, at + 8, 8))
            c, d = _round(c, _word(data, at + 16, 8)), _round(d, _word(data, at + 24, 8))
            at += 32
        total = _rotated(a, 1) + _rotated(b, 7) + _rotated(c, 12) + _rotated(d, 18)
        total = _merged(_merged(_merged(_merged(total, a), b), c), d)
    else:
        total = seed + _PRIME_5
    total += length
    while end - at >= 8:
        total = _rotated(total ^ _round(np.uint64(0), _word(data, at, 8)), 27) * _PRIME_1 + _PRIME_4
        at += 8
    if end - at >= 4:
        total = _rotated(total ^ (_word(data, at, 4) * _PRIME_1), 23) * _PRIME_2 + _PRIME_3
        at += 4
    while at < end:
        total = _rotated(total ^ (np.uint64(data[at]) * _PRIME_5), 11) * _PRIME_1
        at += 1
    total = (total ^ (total >> np.uint64(33))) * _PRIME_2
    total = (total ^ (total >> np.uint64(29))) * _PRIME_3
    return total ^ (total >> np.uint64(32))


@kernel
def _hash_all(offsets: np.ndarray, data: np.ndarray, seed: np.uint64) -> np.ndarray:
    hashes = np.empty(len(offsets) - 1, np.uint64)
    for i in range(len(hashes)):
        hashes[i] = _hash_one(data, offsets[i], offsets[i + 1], seed)
    return hashes
