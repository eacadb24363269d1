"""Whole batches of HSET commands are, byte for byte, what the client's own packer makes of them."""

from __future__ import annotations

import itertools

import numpy as np
import pytest
import redis
from hypothesis import given
from hypothesis import strategies as st

from larder.loaders.lists import RankedLists, select_lists
from larder.loaders.redis_protocol import LONGEST_RECORD, hset_commands

WIDTH = 7
fields = st.binary(min_size=WIDTH, max_size=WIDTH)
hashes = st.dictionaries(
    st.binary(min_size=1, max_size=20),
    st.lists(st.tuples(fields, st.binary(max_size=130)), min_size=1, max_size=12),
    min_size=1,
    max_size=12,
)


def packed_here(content: dict[bytes, list[tuple[bytes, bytes]]]) -> bytes:
    pairs = [pair for some in content.values() for pair in some]
    key_of_record = np.repeat(np.arange(len(content)), [len(some) for some in content.values()])
    fields = np.frombuffer(b"".join(field for field, _ in pairs), np.uint8).reshape(-1, WIDTH)
    data = np.frombuffer(b"".join(value for _, value in pairs), np.uint8)
    offsets = np.cumsum([0, *(len(value) for _, value in pairs)])
    return hset_commands(list(content), key_of_record, fields, (data, offsets)).tobytes()


def packed_by_client(content: dict[bytes, list[tuple[bytes, bytes]]]) -> bytes:
    connection = redis.Connection()
    commands = [("HSET", key, *(part for pair in some for part in pair)) for key, some in content.items()]
    return b"".join(part for command in commands for part in connection.pack_command(*command))


@given(hashes)
def test_commands_are_those_of_the_client(content: dict[bytes, list[tuple[bytes, bytes]]]) -> None:
    assert packed_here(content) == packed_by_client(content)


@pytest.mark.parametrize("length", [0, 9, 10, 99, 100, 999, 1000, 9999, 10_000, LONGEST_RECORD - 1])
def test_records_of_any_length_are_framed(length: int) -> None:
    content = {b"larder:R:c:0": [(b"1234567", b"x" * length), (b"7654321", b"y")]}
    assert packed_here(content) == packed_by_client(content)


def test_a_record_too_long_is_refused() -> None:
    with pytest.raises(ValueError, match=str(LONGEST_RECORD)):
        packed_here({b"key": [(b"1234567", b"x" * LONGEST_RECORD)]})


@given(st.lists(st.lists(st.integers(0, 300), max_size=4), min_size=1, max_size=6), st.data())
def test_lists_are_put_in_any_order(values: list[list[int]], data: st.DataObject) -> None:
    order = data.draw(st.permutations(range(len(values))))[: data.draw(st.integers(0, len(values)))]
    items = np.array([item for some in values for item in some], np.int64)
    lists = RankedLists(np.arange(len(values), dtype=np.uint64), np.cumsum([0, *map(len, values)]), items, items / 2)
    offsets, ordinals, scores = select_lists(lists, np.array(order, np.int64), True)
    assert scores is not None
    for found in (ordinals, scores * 2):
        parts = [found[start:end].tolist() for start, end in itertools.pairwise(offsets)]
        assert parts == [values[at] for at in order]
