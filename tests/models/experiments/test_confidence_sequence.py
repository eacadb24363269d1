"""The bound of the confidence sequence holds at all looks together, and is least where it was planned to be."""

from __future__ import annotations

import math

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from larder.models.experiments.confidence_sequence import FEWEST_INFORMATION, ConfidenceSequence

PLANNED = ConfidenceSequence(10_000.0, 0.95)


def test_the_bound_is_least_near_the_planned_information() -> None:
    sizes = PLANNED.planned_information * np.geomspace(0.02, 50, 2001)
    least = min(PLANNED.bound(size) for size in sizes)
    assert PLANNED.bound(PLANNED.planned_information) == pytest.approx(least, rel=0.002)
    assert least == pytest.approx(3.03, abs=0.01)  # beside 1.96 for one look


def test_it_costs_little_to_be_wrong_about_the_size() -> None:
    at_plan = PLANNED.bound(10_000)
    assert PLANNED.bound(1_000) / at_plan == pytest.approx(1.27, abs=0.005)
    assert PLANNED.bound(100_000) / at_plan == pytest.approx(1.07, abs=0.005)


def test_it_says_nothing_of_little_information() -> None:
    assert PLANNED.bound(FEWEST_INFORMATION - 1) == math.inf
    assert PLANNED.p_value(100.0, FEWEST_INFORMATION - 1) == 1.0
    assert PLANNED.bound(FEWEST_INFORMATION) < math.inf


@given(st.floats(-8, 8), st.floats(100, 1e7), st.floats(0.5, 0.999))
def test_the_p_value_is_below_exactly_where_the_bound_is_passed(z: float, information: float, level: float) -> None:
    sequence = ConfidenceSequence(10_000.0, level)
    bound = sequence.bound(information)
    if abs(abs(z) - bound) > 1e-9:
        assert (sequence.p_value(z, information) < 1 - level) == (abs(z) > bound)


@pytest.mark.parametrize("level", [0.8, 0.95])
def test_sums_of_noise_pass_the_bound_as_seldom_as_promised(level: float) -> None:
    paths, looks = 4000, np.geomspace(FEWEST_INFORMATION, 1e6, 600)
    sequence = ConfidenceSequence(10_000.0, level)
    bounds = np.array([sequence.bound(look) for look in looks])
    steps = np.sqrt(np.diff(looks, prepend=0.0)) * np.random.default_rng(0).standard_normal((paths, len(looks)))
    scores = np.cumsum(steps, axis=1) / np.sqrt(looks)
    passed = (np.abs(scores) > bounds).any(axis=1).mean()
    promised = 1 - level
    margin = 3 * math.sqrt(promised * level / paths)
    assert promised / 4 < passed <= promised + margin
