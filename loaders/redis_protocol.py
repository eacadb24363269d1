"""Encodes batches of records as the bytes of HSET commands, without a Python loop over records."""

from __future__ import annotations

import numpy as np
import numpy.typing as npt

from larder.loaders.codec import Bytes, Offsets, interleave

CRLF = b"\r\n"
LONGEST_RECORD = 1 << 16


def hset_commands(
    keys: list[bytes],
    key_of_record: npt.NDArray[np.integer],
    fields: Bytes,
    records: tuple[Bytes, Offsets],
) -> Bytes:
    """Returns the RESP bytes of one HSET per key, with all records of the key.

    Args:
        keys: k keys. key_of_record: shape (n,), the number of each record's key, never decreasing, every key used.
        fields: shape (n, width). records: bytes and (n + 1,) offsets.
    """
    count, width = fields.shape
    first = np.flatnonzero(np.r_[True, np.diff(key_of_record) > 0])
    fields_a_key = np.diff(np.r_[first, count])
    heads = [
        b"*%d\r\n$4\r\nHSET\r\n$%d\r\n%s\r\n" % (2 + 2 * int(many), len(key), key)
        for key, many in zip(keys, fields_a_key, strict=True)
    ]
    head_lengths = np.zeros(count, np.int64)
    head_lengths[first] = [len(head) for head in heads]
    lengths = np.diff(records[1])
    if lengths.max(initial=0) >= LONGEST_RECORD:
        raise ValueError(f"a record of {lengths.max()} bytes; the longest may have {LONGEST_RECORD - 1}")
    framed_fields = np.empty((count, width + len(CRLF) + len(b"$%d\r\n" % width)), np.uint8)
    framed_fields[:] = np.frombuffer(b"$%d\r\n" % width + bytes(width) + CRLF, np.uint8)
    framed_fields[:, -width - len(CRLF) : -len(CRLF)] = fields
    parts = [
        (np.frombuffer(b"".join(heads), np.uint8), _offsets(head_lengths)),
        (framed_fields.reshape(-1), np.arange(count + 1, dtype=np.int64) * framed_fields.shape[1]),
        _length_heads(lengths),
        records,
        (np.tile(np.frombuffer(CRLF, np.uint8), count), np.arange(count + 1, dtype=np.int64) * len(CRLF)),
    ]
    return interleave(parts)[0]


def _length_heads(lengths: npt.NDArray[np.int64]) -> tuple[Bytes, Offsets]:
    """Returns `$LENGTH\\r\\n` of each record, looked up in a table of all lengths that occur."""
    distinct, which = np.unique(lengths, return_inverse=True)
    texts = [b"$%d\r\n" % length for length in distinct]
    text_lengths = np.array([len(text) for text in texts], np.int64)
    longest = int(text_lengths.max())
    table = np.array([list(text.ljust(longest, b"\0")) for text in texts], np.uint8)
    kept = np.arange(longest) < text_lengths[:, None]
    return table[which][kept[which]], _offsets(text_lengths[which])


def _offsets(lengths: npt.NDArray[np.int64]) -> Offsets:
    return np.concatenate(([0], np.cumsum(lengths))).astype(np.int64)
