"""Shops with a known structure: the order that is made for it is chosen."""

from __future__ import annotations

import numpy as np
import pytest

from bench.planted_shops import DAYS, SHOPS, USERS, data_as_of, purchases_of, tried


@pytest.mark.parametrize("name", ["popular", "seasonal", "habits"])
def test_the_order_that_is_made_for_a_shop_is_chosen(name: str) -> None:
    found = tried(name, seed=100)
    assert found.chosen in SHOPS[name][1]
    assert found.to_best_simple >= 0.99


def test_the_data_of_an_instant_know_nothing_of_later_days() -> None:
    draw = np.random.default_rng(1)
    shop = purchases_of(SHOPS["habits"][0](draw), True, draw)
    data = data_as_of(shop, 3 * DAYS)
    assert data.history.purchases.sum() == (shop.days < 3 * DAYS).sum()
    assert data.history.days.min() >= 1
    assert len(data.factors) <= USERS
    bought = data.history.bought
    assert data.statistics.buyers.sum() == len(bought.items)
    pairs = set(zip(data.truth.users.tolist(), data.truth.items.tolist(), strict=True))
    assert len(pairs) == len(data.truth.users)
    in_window = (shop.days >= 3 * DAYS) & (shop.days < 4 * DAYS)
    known = np.unique(shop.users[shop.days < 3 * DAYS])
    expected = {
        (user, item) for user, item in zip(shop.users[in_window].tolist(), shop.items[in_window].tolist(), strict=True)
    }
    assert len(pairs) == sum(user in set(known.tolist()) for user, _ in expected)


def test_a_shop_without_repeats_has_none() -> None:
    draw = np.random.default_rng(2)
    shop = purchases_of(SHOPS["tastes"][0](draw), False, draw)
    pairs = shop.users * 1000 + shop.items
    assert len(np.unique(pairs)) == len(pairs)
