"""Encodes ranked lists and the dictionary as bytes, and decodes them. The byte format is docs/redis_format.md.

Encoding works on whole columns and has no Python loop over rows. Decoding takes one record. Standard library and numpy
only.
"""

from __future__ import annotations

import struct
from collections.abc import Sequence
from itertools import pairwise
from typing import Any, Final

import numpy as np
import numpy.typing as npt

Bytes = npt.NDArray[np.uint8]
Offsets = npt.NDArray[np.int64]

MAX_ITEMS: Final = 1 << 13
DICTIONARY_CHUNK = 4096
SCORE_STEPS: Final = 255
VARINT_LIMITS = (1 << 7, 1 << 14, 1 << 21, 1 << 28)
HALF = struct.Struct("<e")


class CorruptRecordError(ValueError):
    """The bytes are not a record of this format."""


def varint_lengths(values: npt.NDArray[np.integer]) -> Bytes:
    """Returns the bytes that each value takes as an unsigned LEB128 varint (1 to 5 for values below 2^35)."""
    lengths = np.ones(len(values), np.uint8)
    for limit in VARINT_LIMITS:
        lengths += (values >= limit).view(np.uint8)
    return lengths


def encode_varints(values: npt.NDArray[np.integer]) -> tuple[Bytes, Offsets]:
    """Encodes all values as LEB128 varints, one after the other.

    Args: values, shape (n,), 0 <= value < 2^32. Returns the bytes, and offsets of shape (n + 1,).
    """
    longest = 1 + int(np.searchsorted(VARINT_LIMITS, values.max(initial=0), side="right"))
    word = np.dtype(np.uint32 if longest <= 4 else np.uint64)
    words: npt.NDArray[Any] = values.astype(word)
    lengths, packed = np.ones(len(values), np.uint8), words & 0x7F
    for byte in range(1, longest):
        more = values >= VARINT_LIMITS[byte - 1]
        continued: npt.NDArray[Any] = more.astype(word)
        lengths += more.view(np.uint8)
        packed |= (words << byte) & (0x7F << 8 * byte)
        packed |= continued << (8 * byte - 1)
    ends = np.concatenate(([0], np.cumsum(lengths, dtype=np.int64)))
    # Whole words are written; each overwrites what the one before has written beyond its own bytes.
    data = np.empty(ends[-1] + packed.itemsize, np.uint8)
    _overlapping(data, word)[ends[:-1]] = packed
    return data[: ends[-1]], ends


def encode_lists(
    offsets: npt.NDArray[np.integer],
    ordinals: npt.NDArray[np.integer],
    scores: npt.NDArray[np.floating] | None = None,
) -> tuple[Bytes, Offsets]:
    """Encodes n lists as records.

    Args:
        offsets: shape (n + 1,); list i is ordinals[offsets[i]:offsets[i + 1]], as in an Arrow list array.
        ordinals: shape (m,), 0 <= ordinal < 2^32, best first.
        scores: shape (m,), not negative, highest first in each list; None publishes no scores.
    Returns:
        The records one after the other, and their offsets of shape (n + 1,).
    Raises:
        ValueError where a list is longer than MAX_ITEMS or a score is negative or not finite.
    """
    counts = np.diff(offsets)
    if counts.max(initial=0) > MAX_ITEMS:
        raise ValueError(f"a list has {counts.max()} items; the format holds {MAX_ITEMS}")
    heads, head_offsets = encode_varints(counts * 2 + (scores is not None))
    items, item_offsets = encode_varints(ordinals[offsets[0] : offsets[-1]])
    item_starts = item_offsets[offsets - offsets[0]]
    parts = [(heads, head_offsets), (items, item_starts)]
    if scores is not None:
        parts.append(_encode_scores(offsets, counts, scores))
    return interleave(parts)


def _encode_scores(
    offsets: npt.NDArray[np.integer], counts: npt.NDArray[np.integer], scores: npt.NDArray[np.floating]
) -> tuple[Bytes, Offsets]:
    """Encodes the first score as float16, then each score as its share of the first, in 255ths, one byte per item."""
    used = scores[offsets[0] : offsets[-1]].astype(np.float64)
    if len(used) and not (np.isfinite(used).all() and used.min() >= 0):
        raise ValueError("scores must be finite and not negative")
    filled = counts > 0
    starts = (offsets[:-1] - offsets[0])[filled]
    tops = np.zeros(len(counts), np.float64)
    tops[filled] = used[starts]
    halves = np.minimum(tops, np.finfo(np.float16).max).astype("<f2")
    share = used / np.repeat(np.where(tops > 0, tops, 1.0), counts)
    steps = np.clip(np.rint(share * SCORE_STEPS), 0, SCORE_STEPS).astype(np.uint8)
    half_offsets = np.concatenate(([0], np.cumsum(np.where(filled, HALF.size, 0))))
    half_bytes = halves[filled].view(np.uint8)
    return interleave([(half_bytes, half_offsets), (steps, offsets - offsets[0])])


def interleave(parts: Sequence[tuple[Bytes, Offsets]]) -> tuple[Bytes, Offsets]:
    """Concatenates record i of all parts, for each i. A part, like the result, is bytes and (n + 1,) offsets."""
    lengths = [np.diff(offsets) for _, offsets in parts]
    ends = np.concatenate(([0], np.cumsum(np.sum(lengths, axis=0)))).astype(np.int64)
    out, to = np.empty(ends[-1], np.uint8), ends[:-1].copy()
    for (data, offsets), length in zip(parts, lengths, strict=True):
        _copy(np.ascontiguousarray(data), offsets[:-1], length, out, to)
        to += length
    return out, ends


def _copy(data: Bytes, at: Offsets, lengths: Offsets, out: Bytes, to: Offsets) -> None:
    """Copies many pieces. All pieces of one length are copied at once, because there are few different lengths."""
    order = np.argsort(lengths, kind="stable")
    starts = np.flatnonzero(np.diff(lengths[order], prepend=-1)).tolist()
    for start, end in pairwise([*starts, len(order)]):
        if length := int(lengths[order[start]]):
            some = order[start:end]
            _overlapping(out, f"V{length}")[to[some]] = _overlapping(data, f"V{length}")[at[some]]


def _overlapping(data: Bytes, kind: npt.DTypeLike) -> npt.NDArray[np.generic]:
    """Returns a view with a value of that type at every byte of `data`; neighbouring values overlap."""
    size = np.dtype(kind).itemsize
    return np.ndarray((len(data) - size + 1,), kind, data, strides=(1,))


def decode_list(record: bytes) -> tuple[list[int], list[float] | None]:
    """Returns the ordinals of one record, and its scores or None. Raises CorruptRecordError."""
    try:
        head, at = _varint(record, 0)
        count = head >> 1
        ordinals = []
        for _ in range(count):
            byte = record[at]
            at += 1
            if byte >= 0x80:
                byte, at = _varint(record, at - 1)
            ordinals.append(byte)
        if not head & 1 or not count:
            scores: list[float] | None = [] if head & 1 else None
        else:
            step = HALF.unpack_from(record, at)[0] / SCORE_STEPS
            at += HALF.size
            scores = [value * step for value in record[at : at + count]]
            at += count
    except (IndexError, struct.error):
        raise CorruptRecordError(f"record of {len(record)} bytes ends too early") from None
    if at != len(record):
        raise CorruptRecordError(f"record of {len(record)} bytes, but its list ends after {at}")
    return ordinals, scores


def _varint(data: bytes, at: int) -> tuple[int, int]:
    value = shift = 0
    while True:
        byte = data[at]
        value |= (byte & 0x7F) << shift
        at += 1
        if byte < 0x80:
            return value, at
        shift += 7
        if shift > 28:
            raise CorruptRecordError("a varint of more than five bytes")


def field_width(buckets: int) -> int:
    """Returns the bytes of a record's field: the part of a 64-bit key that does not follow from its bucket."""
    return (((1 << 64) - 1) // buckets).bit_length() + 7 >> 3


def bucket_and_field(key: int, buckets: int) -> tuple[int, bytes]:
    """Returns the bucket (key mod buckets) and field (key div buckets, big-endian) of an unsigned 64-bit key."""
    quotient, bucket = divmod(key, buckets)
    return bucket, quotient.to_bytes(field_width(buckets), "big")


def buckets_and_fields(keys: npt.NDArray[np.uint64], buckets: int) -> tuple[npt.NDArray[np.int64], Bytes]:
    """Returns `bucket_and_field` of many keys: buckets of shape (n,), fields of shape (n, field_width)."""
    quotients, remainders = np.divmod(keys, np.uint64(buckets))
    fields = quotients.astype(">u8").view(np.uint8).reshape(-1, 8)
    return remainders.astype(np.int64), fields[:, 8 - field_width(buckets) :]


def encode_dictionary(ids: Sequence[str]) -> list[bytes]:
    """Encodes product ids in chunks of DICTIONARY_CHUNK: for each id a varint of its UTF-8 length, then its bytes."""
    chunks = []
    for start in range(0, len(ids), DICTIONARY_CHUNK):
        texts = ids[start : start + DICTIONARY_CHUNK]
        joined = "".join(texts)
        sizes = map(len, texts) if joined.isascii() else (len(text.encode()) for text in texts)
        lengths = np.fromiter(sizes, np.int64, len(texts))
        text_offsets = np.concatenate(([0], np.cumsum(lengths)))
        heads = encode_varints(lengths)
        chunks.append(interleave([heads, (np.frombuffer(joined.encode(), np.uint8), text_offsets)])[0].tobytes())
    return chunks


def decode_dictionary(chunk: bytes) -> list[str]:
    """Returns the ids of one chunk. Raises CorruptRecordError."""
    ids, at = [], 0
    try:
        while at < len(chunk):
            length, at = _varint(chunk, at)
            if at + length > len(chunk):
                raise CorruptRecordError("a product id runs past the end of its chunk")
            ids.append(chunk[at : at + length].decode())
            at += length
    except (IndexError, UnicodeDecodeError) as error:
        raise CorruptRecordError(f"not a dictionary chunk: {error}") from None
    return ids


def count_ids(chunk: bytes) -> int:
    """Returns the number of ids in one chunk, without decoding them. Raises CorruptRecordError."""
    at = count = 0
    end = len(chunk)
    try:
        while at < end:
            length = chunk[at]
            if length < 0x80:
                at += 1 + length
            else:
                length, at = _varint(chunk, at)
                at += length
            count += 1
    except IndexError:
        at = -1
    if at != end:
        raise CorruptRecordError("the last product id runs past the end of its chunk")
    return count
