"""Sizes of experiments agree with the textbook, with each other, and with effects that are found."""

from __future__ import annotations

import math

import numpy as np
import numpy.typing as npt
import pytest
from hypothesis import given
from hypothesis import strategies as st
from scipy.stats import norm

from larder.models.experiments.comparison import compared
from larder.models.experiments.confidence_sequence import FEWEST_COOKIES, FEWEST_INFORMATION
from larder.models.experiments.moments import moments_of
from larder.models.experiments.power import Design, cookies_needed, days_needed, detectable_effect, squared_variation

designs = st.builds(
    Design,
    treated_share=st.floats(0.05, 0.95),
    power=st.floats(0.5, 0.99),
    level=st.floats(0.8, 0.99),
    is_anytime=st.booleans(),
)


def purchases(n: int, rate: float, seed: int = 0) -> npt.NDArray[np.float64]:
    y = np.random.default_rng(seed).binomial(1, rate, n).astype(float)
    return np.stack([y, np.ones(n), 0 * y, 0 * y], axis=1)


def test_two_proportions_as_in_the_textbook() -> None:
    variation = squared_variation(moments_of(np.repeat([[1, 1, 0, 0], [0, 1, 0, 0]], [30, 970], axis=0)))
    assert variation == pytest.approx(0.97 / 0.03 * 1000 / 999)
    per_arm = 2 * (norm.ppf(0.975) + norm.ppf(0.8)) ** 2 * 0.97 / 0.03 / 0.1**2
    assert cookies_needed(0.97 / 0.03, 0.1) == pytest.approx(2 * per_arm)
    assert detectable_effect(0.97 / 0.03, 2 * per_arm) == pytest.approx(0.1)


def test_data_from_before_take_off_what_they_explain() -> None:
    draw = np.random.default_rng(0)
    n, rho = 200_000, 0.6
    x = draw.standard_normal(n)
    y = 2 + rho * x + math.sqrt(1 - rho**2) * draw.standard_normal(n)
    moments = moments_of(np.stack([y, np.ones(n), 5 + x, np.ones(n)], axis=1))
    assert squared_variation(moments) == pytest.approx((1 - rho**2) / 2**2, rel=0.02)


@given(st.floats(0.01, 500), st.floats(0.001, 0.5), designs)
def test_what_a_number_of_cookies_finds_needs_that_number(variation: float, effect: float, design: Design) -> None:
    needed = cookies_needed(variation, effect, design)
    found = detectable_effect(variation, needed * (1 + 1e-9), design)
    assert found <= effect * (1 + 1e-6)
    assert cookies_needed(variation, found, design) == pytest.approx(needed, rel=1e-6)


@given(st.floats(0.01, 500), st.floats(0.001, 0.1), st.floats(0.05, 0.95))
def test_to_look_at_any_time_and_uneven_arms_cost_cookies(variation: float, effect: float, share: float) -> None:
    even = cookies_needed(variation, effect)
    uneven = cookies_needed(variation, effect, Design(treated_share=share))
    assert uneven == pytest.approx(even / (4 * share * (1 - share)))
    assert cookies_needed(variation, effect, Design(treated_share=share, is_anytime=True)) > 1.9 * uneven


def test_an_effect_at_any_time_is_that_of_its_bound() -> None:
    variation, cookies = 30.0, 200_000.0
    effect = detectable_effect(variation, cookies, Design(power=0.5, is_anytime=True))
    rate = 1 / (1 + variation)
    both = [moments_of(purchases(100_000, rate * (1 + lift), seed)) for seed, lift in ((0, 0.0), (1, effect))]
    found = compared(*both, cookies, variation=variation)
    # With a power of a half, an effect of just the expected size lies on the bound.
    assert (found.difference - found.anytime_low) / found.control == pytest.approx(effect, rel=0.05)


def test_too_few_cookies_find_nothing_at_any_time() -> None:
    design = Design(is_anytime=True)
    assert detectable_effect(50.0, 50 * FEWEST_INFORMATION - 1, design) == math.inf
    assert detectable_effect(0.1, 2 * FEWEST_COOKIES - 1, design) == math.inf
    assert cookies_needed(0.1, 100.0, design) == 2 * FEWEST_COOKIES
    assert cookies_needed(50.0, 100.0, design) == 50 * FEWEST_INFORMATION


@pytest.mark.parametrize("rows", [np.zeros((0, 4)), np.ones((1, 4)), np.zeros((9, 4)), purchases(9, 0.0)])
def test_a_metric_that_is_nothing_has_no_variation(rows: npt.NDArray[np.float64]) -> None:
    assert math.isnan(squared_variation(moments_of(rows)))


def test_days_until_enough_cookies() -> None:
    assert days_needed(1000, 400, 100) == 6.0
    assert days_needed(1000, 1000, 0) == 0.0
    assert days_needed(1000, 400, 0) == math.inf


def test_an_effect_is_found_as_often_as_planned() -> None:
    rate, effect, runs = 0.3, 0.1, 1000
    variation = (1 - rate) / rate
    n = round(cookies_needed(variation, effect) / 2)
    draw = np.random.default_rng(0)
    clicks = draw.binomial(n, [rate, rate * (1 + effect)], (runs, 2))
    p = clicks / n
    found = np.abs(p[:, 1] - p[:, 0]) / np.sqrt((p * (1 - p)).sum(axis=1) / (n - 1)) > norm.ppf(0.975)
    assert found.mean() == pytest.approx(
        0.8, abs=3 * math.sqrt(0.16 / runs) + 0.015
    )  # p(1 - p) of the treatment differs
