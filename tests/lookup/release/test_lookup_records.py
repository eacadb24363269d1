"""The endpoint's own reading of a record agrees with the codec's."""

from __future__ import annotations

import math
import struct

import numpy as np
import pytest
from hypothesis import example, given
from hypothesis import strategies as st

from larder.loaders.codec import CorruptRecordError, decode_list, encode_lists
from larder.lookup.release.record_decoding import decode_head, half_at

MANY = 1 << 32
ordinal_lists = st.lists(st.integers(0, 300) | st.integers(0, MANY - 1), max_size=40)


def encoded(ordinals: list[int], scored: bool) -> bytes:
    scores = 1 / np.arange(1, len(ordinals) + 1) if scored else None
    return encode_lists(np.array([0, len(ordinals)]), np.array(ordinals, np.int64), scores)[0].tobytes()


@given(ordinal_lists, st.booleans(), st.integers(1, 50))
def test_a_head_is_the_beginning_of_the_list(ordinals: list[int], scored: bool, limit: int) -> None:
    record = encoded(ordinals, scored)
    all_ordinals, all_scores = decode_list(record)
    head = decode_head(record, MANY, limit)
    assert head.ordinals == all_ordinals[:limit]
    assert head.scores == (None if all_scores is None else all_scores[:limit])


@given(ordinal_lists, st.booleans(), st.integers(1, 20), st.binary(min_size=1, max_size=8))
def test_a_record_cut_short_or_made_longer_is_corrupt(ordinals: list[int], scored: bool, cut: int, more: bytes) -> None:
    record = encoded(ordinals, scored)
    for broken in (record[: max(0, len(record) - cut)], record + more):
        with pytest.raises(CorruptRecordError):
            decode_head(broken, MANY, 1)


# Any bytes, and such as begin with the right count, since hardly any others are a list.
few_bytes = st.binary(max_size=30) | st.builds(
    lambda ordinals, scores: bytes([2 * len(ordinals) + bool(scores), *ordinals, *scores[: 2 + len(ordinals)]]),
    st.lists(st.integers(0, 127), max_size=10),
    st.just(b"") | st.binary(min_size=12, max_size=12),
)


@given(few_bytes)
@example(b"\x00")
@example(b"\x01")
def test_any_bytes_are_a_list_or_corrupt(record: bytes) -> None:
    try:
        expected = decode_list(record)
    except CorruptRecordError:
        return
    if max(expected[0], default=0) < MANY and np.isfinite(sum(expected[1] or [0])):
        head = decode_head(record, MANY, len(record))
        assert (head.ordinals, head.scores) == expected


@pytest.mark.parametrize("record", [b"", b"\x80", b"\x07\x00", b"\x03\x00\x00\x7c\xff", b"\x02\x05"])
def test_what_does_not_fit_the_release_is_corrupt(record: bytes) -> None:
    with pytest.raises(CorruptRecordError):
        decode_head(record, 5, 10)


def test_every_half_is_read_as_struct_reads_it() -> None:
    for bits in range(1 << 16):
        record = b"x" + bits.to_bytes(2, "little")
        [expected] = struct.unpack_from("<e", record, 1)
        if math.isfinite(expected):
            assert math.copysign(1, half_at(record, 1)) == math.copysign(1, expected)
            assert half_at(record, 1) == expected
        else:
            with pytest.raises(CorruptRecordError):
                half_at(record, 1)
