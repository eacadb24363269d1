"""What the bench adds as unknowable is taken from the weeks after the instant, without the pair that it predicts."""

from __future__ import annotations

import numpy as np
import pytest

pytest.importorskip("implicit")  # of the extra bench, which has no wheel for every Python

from bench.order_limits import (
    KNOWN,
    NOTHING,
    Log,
    Seen,
    category_needed,
    ndcg,
    other_buyers,
    other_buyers_of_category,
    seen_at,
)

AT, DAY = np.datetime64("2017-09-11"), np.timedelta64(1, "D")


def log_of(*purchases: tuple[int, int, int]) -> Log:
    """Returns a log from household, product and days after AT; two products per category."""
    households, products, days = (np.array(some) for some in zip(*purchases, strict=True))
    return Log(households, products, AT + days * DAY, np.array([0, 0, 1, 1], np.int32))


def small() -> Seen:
    before = [(0, 0, -40), (0, 0, -3), (0, 2, -9), (1, 0, -2), (1, 3, -50), (2, 2, -30)]
    after = [(0, 1, 2), (0, 2, 27), (1, 0, 0), (2, 2, 5), (0, 0, 28), (1, 3, 40)]
    return seen_at(log_of(*before, *after), AT)


def test_pairs_are_what_was_bought_before_and_weeks_end_after_28_days() -> None:
    seen = small()
    assert list(zip(seen.pairs.users.tolist(), seen.pairs.items.tolist(), strict=True)) == [
        (0, 0), (0, 2), (1, 0), (1, 3), (2, 2),
    ]  # fmt: skip
    assert seen.bought.tolist() == [False, True, True, False, True]
    assert seen.truth.sizes.tolist() == [1, 1, 1]  # product 1 was never sold before


def test_a_household_s_own_purchase_is_not_given_away() -> None:
    seen = small()
    np.testing.assert_allclose(np.expm1(other_buyers(seen)), [1, 1, 0, 0, 1], atol=1e-12)
    np.testing.assert_allclose(np.expm1(other_buyers_of_category(seen)), [1, 1, 0, 2, 1], atol=1e-12)


def test_what_a_category_is_needed_for_is_given_away() -> None:
    assert category_needed(small()).tolist() == [0, 1, 1, 0, 1]


def test_to_know_more_puts_more_first() -> None:
    draw = np.random.default_rng(0)
    rows = [(int(u), int(i), int(d)) for u, i, d in zip(draw.integers(0, 40, 900), draw.integers(0, 4, 900),
                                                        draw.integers(-84, 28, 900), strict=True)]  # fmt: skip
    log = log_of(*rows)
    seen, *older = (seen_at(log, AT - n * 28 * DAY) for n in range(2))
    figures = {name: ndcg(seen, older, known) for name, known in KNOWN.items()}
    assert figures["which categories the household will buy of"].mean() > figures[NOTHING].mean()
