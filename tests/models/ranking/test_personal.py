"""Personal lists against brute force."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from larder.models.interactions.purchase_history import UserItems
from larder.models.ranking.personal import NO_ITEM, top_items
from larder.models.search import mips

RANK = 2


@st.composite
def shops(draw: st.DrawFn) -> dict[str, Any]:
    """Small shops with whole-number factors, so that every sum is exact and ties are many."""
    users, items = draw(st.integers(0, 5)), draw(st.integers(1, 8))
    factor = st.integers(-3, 3)
    owned = draw(
        st.lists(
            st.dictionaries(st.integers(0, items - 1), st.sampled_from([0.5, 1.0, 2.0, 4.0]), max_size=items),
            min_size=users,
            max_size=users,
        )
    )
    matrix = lambda rows: draw(st.lists(st.lists(factor, min_size=RANK, max_size=RANK), min_size=rows, max_size=rows))  # noqa: E731
    return {
        "users": np.array(matrix(users), np.float32).reshape(users, RANK),
        "items": np.array(matrix(items), np.float32).reshape(items, RANK),
        "owned": owned,
        "n": draw(st.integers(1, 10)),
        "rebuy": draw(st.sampled_from([None, 0.0, 0.25, 0.5, 1.0])),
        "allowed": draw(st.none() | st.lists(st.booleans(), min_size=items, max_size=items)),
    }


def as_owned(histories: list[dict[int, float]]) -> UserItems:
    return UserItems(
        np.cumsum([0, *map(len, histories)]),
        np.array([item for history in histories for item in history], np.int32),
        np.array([strength for history in histories for strength in history.values()], np.float32),
    )


def brute_force(shop: dict[str, Any], user: int) -> list[tuple[int, float]]:
    history, rebuy, allowed = shop["owned"][user], shop["rebuy"], shop["allowed"]
    scored = []
    for item, factors in enumerate(shop["items"]):
        affinity = float(sum(shop["users"][user] * factors))
        if allowed is not None and not allowed[item]:
            continue
        if rebuy is None:
            if item not in history:
                scored.append((item, affinity))
        else:
            strength = history.get(item, 0.0) / max(history.values(), default=1.0)
            scored.append((item, (1 - rebuy) * affinity + rebuy * strength))
    return sorted(scored, key=lambda pair: (-pair[1], pair[0]))[: shop["n"]]


@settings(deadline=None)  # the first call compiles
@given(shops())
def test_the_best_items_are_those_of_brute_force(shop: dict[str, Any]) -> None:
    allowed = None if shop["allowed"] is None else np.array(shop["allowed"])
    found, scores = top_items(shop["users"], shop["items"], as_owned(shop["owned"]), shop["n"], shop["rebuy"], allowed)
    width = min(shop["n"], len(shop["items"]))
    assert found.shape == scores.shape == (len(shop["users"]), width)
    for user in range(len(shop["users"])):
        expected = brute_force(shop, user)
        padding = width - len(expected)
        assert found[user].tolist() == [item for item, _ in expected] + [NO_ITEM] * padding
        assert scores[user].tolist() == pytest.approx([score for _, score in expected] + [0.0] * padding)


def test_many_blocks_are_as_one(monkeypatch: pytest.MonkeyPatch) -> None:
    draw = np.random.default_rng(3)
    users, items = draw.normal(size=(40, 4)).astype(np.float32), draw.normal(size=(30, 4)).astype(np.float32)
    owned = as_owned([{int(item): 1.0 for item in draw.choice(30, 3, replace=False)} for _ in range(40)])
    whole = top_items(users, items, owned, 5, 0.5)
    monkeypatch.setattr(mips, "TILE_USERS", 7)
    monkeypatch.setattr(mips, "TILE_ITEMS", 4)
    parts = top_items(users, items, owned, 5, 0.5)
    assert np.array_equal(whole[0], parts[0])
    assert np.allclose(whole[1], parts[1])


FACTORS = np.array([[1.0], [2.0], [3.0]], np.float32)
ONE_USER = np.array([[1.0]], np.float32)


def test_what_was_bought_is_masked_where_the_shop_says_so() -> None:
    items, scores = top_items(ONE_USER, FACTORS, as_owned([{2: 5.0}]), 3, None)
    assert items.tolist() == [[1, 0, NO_ITEM]]
    assert scores.tolist() == [[2, 1, 0]]


def test_what_was_bought_is_weighed_in_where_the_shop_allows_it() -> None:
    items, scores = top_items(ONE_USER, FACTORS, as_owned([{0: 8.0, 1: 4.0}]), 3, 0.75)
    assert items.tolist() == [[0, 1, 2]]
    assert scores.tolist() == [[0.25 * 1 + 0.75 * 8 / 8, 0.25 * 2 + 0.75 * 4 / 8, 0.25 * 3]]


def test_what_is_not_allowed_is_not_listed_even_if_bought() -> None:
    items, _ = top_items(ONE_USER, FACTORS, as_owned([{2: 1.0}]), 3, 1.0, np.array([True, True, False]))
    assert items.tolist() == [[0, 1, NO_ITEM]]


def test_a_part_of_the_histories_is_that_of_its_users() -> None:
    part = as_owned([{1: 1.0}, {2: 2.0, 3: 3.0}, {}, {4: 4.0}]).rows(1, 4)
    assert part.offsets.tolist() == [0, 2, 2, 3]
    assert part.items.tolist() == [2, 3, 4]
    assert part.users.tolist() == [0, 0, 2]
