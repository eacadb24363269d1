"""The ladder of generic lists, and what is kept of it in process."""

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from larder.loaders.codec import encode_lists
from larder.loaders.keys import CONTEXT_SEPARATOR, context_key64
from larder.lookup.release.generic_lists import EVERYBODY, LEVELS, GenericLists, ladder

PRODUCTS = 10


def record(*ordinals: int) -> bytes:
    return encode_lists(np.array([0, len(ordinals)]), np.array(ordinals, np.int64))[0].tobytes()


def test_the_ladder_goes_from_special_to_all() -> None:
    assert [level for level, _ in ladder("zone", "phone")] == list(LEVELS)
    assert [key for _, key in ladder("zone", "phone")] == [
        context_key64(*context) for context in [("zone", "phone"), ("zone", ""), ("", "phone"), ("", "")]
    ]


# One name that holds the separator has the key of another pair of names.
names = st.text(st.characters(exclude_characters=CONTEXT_SEPARATOR, codec="utf-8"), max_size=3)


@given(names, names)
def test_no_rung_twice(location: str, device: str) -> None:
    steps = ladder(location, device)
    assert len({key for _, key in steps}) == len(steps)
    assert steps[-1] == ("all", EVERYBODY)


def test_where_all_lists_are_here_redis_is_never_asked() -> None:
    lists = GenericLists({EVERYBODY: record(1)}, PRODUCTS, complete=True, bound=5)
    assert lists.missing("zone", "phone") == []
    assert lists.offer("zone", "phone").level == "all"


def test_what_was_learned_is_not_asked_again() -> None:
    lists = GenericLists({EVERYBODY: record(1)}, PRODUCTS, complete=False, bound=5)
    asked = lists.missing("zone", "phone")
    assert asked == [key for _, key in ladder("zone", "phone")[:3]]
    for key, found in zip(asked, [None, record(2, 3), None], strict=True):
        lists.learn(key, found)
    assert lists.missing("zone", "phone") == []
    offer = lists.offer("zone", "phone")
    assert (offer.level, list(offer.ranked.head(9).ordinals if offer.ranked else ())) == ("location", [2, 3])


def test_what_could_not_be_read_is_asked_again() -> None:
    lists = GenericLists({EVERYBODY: record(1)}, PRODUCTS, complete=False, bound=5)
    assert lists.offer("zone", "", "redis_down").reason == "redis_down"
    assert lists.missing("zone", "") == [context_key64("zone", "")]


@given(st.lists(st.tuples(st.integers(0, 50), st.booleans()), max_size=80))
def test_callers_cannot_make_it_grow_nor_lose_the_list_of_everybody(asked: list[tuple[int, bool]]) -> None:
    bound = 4
    lists = GenericLists({EVERYBODY: record(1)}, PRODUCTS, complete=False, bound=bound)
    for place, there in asked:
        for key in lists.missing(f"zone{place}", ""):
            lists.learn(key, record(2) if there else None)
        assert lists.offer(f"zone{place}", "").ranked is not None
    assert len(lists) <= bound + 1
    assert len(lists._absent) <= bound


@pytest.mark.parametrize("broken", [b"", b"\x07", record(PRODUCTS)])
def test_a_broken_list_gives_way_to_the_next(broken: bytes) -> None:
    records = {context_key64("zone", ""): broken, EVERYBODY: record(1)}
    offer = GenericLists(records, PRODUCTS, complete=True, bound=5).offer("zone", "")
    assert (offer.level, offer.reason) == ("all", "corrupt_record")


def test_a_release_without_lists_says_so() -> None:
    assert GenericLists({}, PRODUCTS, complete=True, bound=5).offer("", "").reason == "no_generic_list"
