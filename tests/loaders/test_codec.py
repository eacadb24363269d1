"""The packed records: what is encoded is decoded, and what is not a record is refused."""

from __future__ import annotations

import itertools
import math
import struct

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from larder.loaders.codec import (
    DICTIONARY_CHUNK,
    MAX_ITEMS,
    CorruptRecordError,
    bucket_and_field,
    buckets_and_fields,
    count_ids,
    decode_dictionary,
    decode_list,
    encode_dictionary,
    encode_lists,
    encode_varints,
    field_width,
    varint_lengths,
)

LARGEST_HALF = float(np.finfo(np.float16).max)
ordinals = st.one_of(st.integers(0, 300), st.integers(0, 2**32 - 1))
lists = st.lists(st.lists(ordinals, max_size=20), max_size=12)
score_lists = st.lists(st.floats(0, 1e6, width=32), max_size=20).map(lambda scores: sorted(scores, reverse=True))
keys = st.integers(0, 2**64 - 1)


def packed(values: list[list[int]], scores: list[list[float]] | None = None) -> list[bytes]:
    """The records of whole columns, cut apart."""
    offsets = np.cumsum([0, *map(len, values)])
    flat_scores = None if scores is None else np.array([score for some in scores for score in some], np.float32)
    data, ends = encode_lists(offsets, np.array([item for some in values for item in some], np.int64), flat_scores)
    return [data[start:end].tobytes() for start, end in itertools.pairwise(ends)]


def varint(value: int) -> bytes:
    """One value at a time, as the contract's words say."""
    out = bytearray()
    while value >= 0x80:
        out.append(value & 0x7F | 0x80)
        value >>= 7
    return bytes([*out, value])


def record(items: list[int], scores: list[float] | None) -> bytes:
    head = varint(2 * len(items) + (scores is not None)) + b"".join(map(varint, items))
    if not scores:
        return head
    shares = [score / scores[0] if scores[0] else 0 for score in scores]
    return head + struct.pack("<e", min(scores[0], LARGEST_HALF)) + bytes(round(255 * share) for share in shares)


@given(st.lists(ordinals, max_size=50))
def test_varints_are_those_of_one_value_at_a_time(values: list[int]) -> None:
    data, offsets = encode_varints(np.array(values, np.int64))
    found = [data[start:end].tobytes() for start, end in itertools.pairwise(offsets)]
    assert found == [varint(value) for value in values]


def test_a_varint_grows_with_every_seven_bits() -> None:
    edges = np.array([0, 2**7 - 1, 2**7, 2**14 - 1, 2**14, 2**21 - 1, 2**21, 2**28 - 1, 2**28, 2**32 - 1])
    assert varint_lengths(edges).tolist() == [1, 1, 2, 2, 3, 3, 4, 4, 5, 5]


@given(lists)
def test_lists_come_back(values: list[list[int]]) -> None:
    records = packed(values)
    assert [decode_list(each) for each in records] == [(items, None) for items in values]
    assert records == [record(items, None) for items in values]


@given(st.lists(score_lists, max_size=12))
def test_lists_with_scores_come_back_to_a_255th_of_the_best(scores: list[list[float]]) -> None:
    values = [list(range(len(some))) for some in scores]
    for record_, items, expected in zip(packed(values, scores), values, scores, strict=True):
        found_items, found = decode_list(record_)
        assert found_items == items
        assert found is not None
        top = min(expected[0], LARGEST_HALF) if expected else 0.0
        # Half a step of the share, and what a 16-bit float of 11 bits loses (2^-24 at least) of the top.
        assert found == pytest.approx(
            [top * s / (expected[0] or 1) for s in expected], abs=top * (1 / 510 + 2**-11) + 2**-24
        )
        assert found == sorted(found, reverse=True)


@given(st.lists(score_lists, max_size=6))
def test_records_with_scores_are_those_of_one_list_at_a_time(scores: list[list[float]]) -> None:
    values = [list(range(len(some))) for some in scores]
    for found, items, some in zip(packed(values, scores), values, scores, strict=True):
        expected = record(items, some)
        assert found[: len(found) - len(some)] == expected[: len(expected) - len(some)]
        # Shares at the middle of a step may go either way with the last bit of a division.
        assert all(abs(a - b) <= 1 for a, b in zip(found, expected, strict=True))


def test_a_part_of_a_column_is_encoded_as_if_it_were_whole() -> None:
    items, scores = np.arange(10), np.linspace(1, 0, 10)
    part = encode_lists(np.array([3, 5, 9]), items, scores)
    whole = encode_lists(np.array([0, 2, 6]), items[3:9], scores[3:9])
    assert part[0].tobytes() == whole[0].tobytes()
    assert part[1].tolist() == whole[1].tolist()


def test_no_lists_are_no_bytes() -> None:
    assert packed([]) == []
    assert packed([], []) == []


def test_the_first_score_decides_even_if_it_is_zero() -> None:
    [only] = packed([[1, 2]], [[0.0, 0.0]])
    assert decode_list(only) == ([1, 2], [0.0, 0.0])


def test_a_score_above_the_largest_half_is_the_largest() -> None:
    [only] = packed([[1]], [[1e9]])
    assert decode_list(only) == ([1], [pytest.approx(LARGEST_HALF)])


@pytest.mark.parametrize("score", [-1.0, math.nan, math.inf])
def test_scores_that_are_none_are_refused(score: float) -> None:
    with pytest.raises(ValueError, match="finite and not negative"):
        packed([[1]], [[score]])


def test_a_list_too_long_is_refused() -> None:
    assert len(decode_list(packed([list(range(MAX_ITEMS))])[0])[0]) == MAX_ITEMS
    with pytest.raises(ValueError, match=str(MAX_ITEMS + 1)):
        packed([[0] * (MAX_ITEMS + 1)])


RECORDS = packed([[5, 300, 70_000], [], [2**32 - 1] * 3]) + packed(
    [[5, 300, 70_000], [], [2**32 - 1] * 3], [[3.0, 2.0, 1.0], [], [1.0, 1.0, 1.0]]
)


@pytest.mark.parametrize("whole", RECORDS, ids=bytes.hex)
def test_a_record_cut_short_anywhere_is_corrupt(whole: bytes) -> None:
    for length in range(len(whole)):
        with pytest.raises(CorruptRecordError):
            decode_list(whole[:length])


@pytest.mark.parametrize("whole", RECORDS, ids=bytes.hex)
def test_a_record_with_more_behind_it_is_corrupt(whole: bytes) -> None:
    with pytest.raises(CorruptRecordError):
        decode_list(whole + b"\0")


@pytest.mark.parametrize("head", [b"\x80" * 6, b"\x02" + b"\xff" * 5 + b"\x01"])
def test_a_varint_without_end_is_corrupt(head: bytes) -> None:
    with pytest.raises(CorruptRecordError, match="five bytes"):
        decode_list(head)


@given(st.binary(max_size=40))
@settings(max_examples=300)
def test_any_bytes_are_a_record_or_corrupt(data: bytes) -> None:
    try:
        items, scores = decode_list(data)
    except CorruptRecordError:
        return
    assert scores is None or len(scores) == len(items)


@given(keys, st.integers(1, 2**32))
def test_bucket_and_field_give_the_key_back(key: int, buckets: int) -> None:
    bucket, field = bucket_and_field(key, buckets)
    assert 0 <= bucket < buckets
    assert int.from_bytes(field, "big") * buckets + bucket == key
    assert len(field) == field_width(buckets) == math.ceil(((2**64 - 1) // buckets).bit_length() / 8)


@given(st.lists(keys, min_size=1, max_size=20), st.integers(1, 2**32))
def test_buckets_and_fields_of_many_keys_are_those_of_each(some: list[int], buckets: int) -> None:
    numbers, fields = buckets_and_fields(np.array(some, np.uint64), buckets)
    found = list(zip(numbers.tolist(), (field.tobytes() for field in fields), strict=True))
    assert found == [bucket_and_field(key, buckets) for key in some]


texts = st.text(st.characters(exclude_categories=["Cs"]), max_size=30)


@given(st.lists(texts, max_size=30))
def test_a_dictionary_comes_back(ids: list[str]) -> None:
    chunks = encode_dictionary(ids)
    assert [id_ for chunk in chunks for id_ in decode_dictionary(chunk)] == ids
    assert sum(map(count_ids, chunks)) == len(ids)
    assert b"".join(chunks) == b"".join(varint(len(id_.encode())) + id_.encode() for id_ in ids)


@pytest.mark.parametrize("products", [0, 1, DICTIONARY_CHUNK, DICTIONARY_CHUNK + 1])
def test_chunks_of_a_dictionary_are_full_but_for_the_last(products: int) -> None:
    chunks = encode_dictionary([f"p{number}" for number in range(products)])
    sizes = [len(decode_dictionary(chunk)) for chunk in chunks]
    assert sizes == [DICTIONARY_CHUNK] * (products // DICTIONARY_CHUNK) + [products % DICTIONARY_CHUNK] * (
        products % DICTIONARY_CHUNK > 0
    )


def test_a_chunk_cut_inside_an_id_is_corrupt() -> None:
    [chunk] = encode_dictionary(["p1", "é", "x" * 200])
    ends = {0, 3, 6, len(chunk)}
    for length in range(len(chunk)):
        if length in ends:
            decode_dictionary(chunk[:length])
        else:
            with pytest.raises(CorruptRecordError):
                decode_dictionary(chunk[:length])


def test_a_chunk_that_is_not_utf8_is_corrupt() -> None:
    with pytest.raises(CorruptRecordError):
        decode_dictionary(b"\x02\xff\xfe")


@given(st.lists(texts, min_size=1, max_size=30), st.data())
def test_ids_are_counted_as_they_are_decoded(ids: list[str], data: st.DataObject) -> None:
    """Of a chunk cut short anywhere, too: both find it corrupt, or both find fewer ids."""
    [chunk] = encode_dictionary(ids)
    cut = chunk[: data.draw(st.integers(0, len(chunk)))]
    try:
        found = len(decode_dictionary(cut))
    except CorruptRecordError:
        with pytest.raises(CorruptRecordError):
            count_ids(cut)
    else:
        assert count_ids(cut) == found
