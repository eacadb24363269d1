"""The choice among orders, simple before rich."""

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from larder.models.evaluation.order_choice import choose_order

WINDOWS = st.lists(st.lists(st.floats(0, 1), min_size=1, max_size=20), min_size=1, max_size=4)


def by_user(mean: float, seed: int, users: int = 1000) -> list[np.ndarray]:
    draw = np.random.default_rng(seed)
    return [mean + draw.normal(0, 0.1, users), mean + draw.normal(0, 0.1, users)]


def test_a_rich_order_that_is_clearly_better_is_chosen() -> None:
    found = choose_order({"simple": by_user(0.10, 1), "rich": by_user(0.15, 2)})
    assert (found.chosen, found.best, found.behind) == ("rich", "rich", 0.0)


def test_a_rich_order_that_is_better_by_chance_is_not_chosen() -> None:
    simple = by_user(0.10, 1)
    noise = [np.where(np.arange(1000) < 500, 0.101, -0.1) for _ in simple]  # better by 0.0005, error 0.0022
    found = choose_order({"simple": simple, "rich": [a + b for a, b in zip(simple, noise, strict=True)]})
    assert (found.chosen, found.best) == ("simple", "rich")
    assert found.behind == pytest.approx(0.0005)
    assert found.error == pytest.approx(0.1005 / (1000 * 2) ** 0.5, rel=1e-3)


def test_differences_are_those_of_the_same_users() -> None:
    """Users differ much, and the rich order is a little better for every one of them."""
    simple = by_user(0.5, 3)
    assert choose_order({"simple": simple, "rich": [users + 0.001 for users in simple]}).chosen == "rich"


def test_every_window_counts_alike() -> None:
    few, many = np.full(10, 0.9), np.full(1000, 0.1)
    found = choose_order({"simple": [np.full(10, 0.1), many], "rich": [few, many]})
    assert (found.chosen, found.behind) == ("rich", 0.0)


def test_the_simplest_of_several_that_are_good_enough() -> None:
    best = by_user(0.3, 4)
    orders = {"poor": by_user(0.1, 5), "first": [b.copy() for b in best], "second": best, "third": best}
    assert choose_order(orders).chosen == "first"


@given(WINDOWS, st.floats(-0.5, 0.5))
def test_the_chosen_is_never_behind_by_more_than_an_error(windows: list[list[float]], shift: float) -> None:
    simple = [np.array(users) for users in windows]
    rich = [np.array(users)[::-1] + shift for users in windows]
    found = choose_order({"simple": simple, "rich": rich})
    assert 0 <= found.behind <= found.error or found.behind == 0
    assert found.chosen == found.best or found.chosen == "simple"


@pytest.mark.parametrize("figures", [{}, {"simple": []}])
def test_nothing_to_choose_from(figures: dict[str, list[np.ndarray]]) -> None:
    with pytest.raises(ValueError, match="nothing to choose from"):
        choose_order(figures)


def test_a_window_in_which_nobody_bought_says_nothing() -> None:
    nobody = np.zeros(0)
    found = choose_order({"simple": [nobody, np.full(9, 0.1)], "rich": [nobody, np.linspace(0.1, 0.3, 9)]})
    assert found == choose_order({"simple": [np.full(9, 0.1)], "rich": [np.linspace(0.1, 0.3, 9)]})
    assert choose_order({"simple": [nobody], "rich": [nobody]}).chosen == "simple"


def test_a_single_user_decides_nothing() -> None:
    assert choose_order({"simple": [np.full(1, 0.1)], "rich": [np.full(1, 0.9)]}).chosen == "simple"
