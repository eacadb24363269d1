"""Methods compared over windows."""

from __future__ import annotations

import math

import pytest
from hypothesis import given
from hypothesis import strategies as st

from larder.models.evaluation.windows import compared

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
