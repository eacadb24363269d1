"""Methods compared over windows."""

from __future__ import annotations

import math

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from larder.models.evaluation.windows import compared, mean_of_windows

FIGURES = st.lists(st.floats(0.01, 1), min_size=2, max_size=40)


def test_differences_are_paired() -> None:
    """Windows differ much, the methods always by the same: the interval has no width."""
    told = compared([0.12, 0.32, 0.52], [0.10, 0.30, 0.50])
    assert told.difference == pytest.approx(0.02)
    assert (told.low, told.high) == pytest.approx((0.02, 0.02))
    assert told.share == pytest.approx(0.02 / 0.3)
    assert told.above == 3


def test_the_interval_is_students() -> None:
    """Differences 1 and 3: mean 2, standard error 1, and t of one degree of freedom."""
    told = compared([1.0, 3.0], [0.0, 0.0])
    assert (told.low, told.high) == pytest.approx((2 - 12.706, 2 + 12.706))
    assert math.isnan(told.share)


def test_one_window_has_no_interval() -> None:
    told = compared([0.2], [0.1])
    assert math.isnan(told.low)
    assert math.isnan(told.high)
    assert told.above == 1


@given(FIGURES)
def test_a_method_is_no_better_than_itself(figures: list[float]) -> None:
    assert compared(figures, figures) == (0.0, 0.0, 0.0, 0.0, 0)


@pytest.mark.parametrize(("ours", "others"), [([], []), ([1.0], [1.0, 2.0])])
def test_windows_that_are_not_the_same_are_refused(ours: list[float], others: list[float]) -> None:
    with pytest.raises(ValueError, match="can't be compared"):
        compared(ours, others)


def test_every_window_counts_alike_however_many_users_it_has() -> None:
    told = mean_of_windows("hits", [np.full(2, 0.4), np.full(100, 0.2), np.zeros(0)], 20, 1)
    assert told == {"hits": pytest.approx(0.3), "users": 102, "hits interval": pytest.approx([0.3, 0.3])}


def test_the_interval_of_windows_is_that_of_their_users() -> None:
    """Of 400 users half have 1: standard error 0.025 in each window, and 0.025 / sqrt(2) for the mean of two."""
    users = np.repeat([0.0, 1.0], 200)
    low, high = mean_of_windows("hits", [users, users], 2000, 1)["hits interval"]
    assert (low, high) == pytest.approx((0.5 - 1.96 * 0.0177, 0.5 + 1.96 * 0.0177), abs=0.003)


def test_no_users_have_no_interval() -> None:
    assert mean_of_windows("hits", [np.zeros(0)], 20, 1) == {"hits": 0.0, "users": 0}
