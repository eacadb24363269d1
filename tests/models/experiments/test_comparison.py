"""Two arms compared through their sums give what their cookies' rows give, and what was planted in them."""

from __future__ import annotations

import math
from dataclasses import asdict

import numpy as np
import numpy.typing as npt
import pytest
from hypothesis import given
from hypothesis import strategies as st
from scipy.stats import norm

from larder.models.experiments.comparison import Comparison, compared
from larder.models.experiments.confidence_sequence import FEWEST_COOKIES, ConfidenceSequence
from larder.models.experiments.moments import Moments, moments_of

Rows = npt.NDArray[np.float64]
PLANNED = 10_000.0


def arm(n: int, seed: int, rate: float = 0.2, tie: float = 1.0) -> Rows:
    """Rows of cookies with several visits each; `rate` is at most 0.2.

    With `tie` 0, clicks before the start say nothing of those after it.
    """
    draw = np.random.default_rng(seed)
    d, e = 1 + draw.poisson(2, n), 1 + draw.poisson(2, n)
    liking = draw.beta(1, 4, n)
    before = np.where(draw.random(n) < tie, liking, draw.beta(1, 4, n))
    return np.stack([draw.binomial(d, liking * rate / 0.2), d, draw.binomial(e, before), e], axis=1).astype(float)


def of_rows(control: Rows, treatment: Rows) -> tuple[float, float, float]:
    """The difference, its standard error and the reduction, from each cookie's parts in the ratios."""
    parts = [_parts(rows) for rows in (control, treatment)]
    together = sum(np.cov(some) / some.shape[1] for some in parts)
    theta = together[0, 1] / together[1, 1]
    without = together[0, 0]
    variance = sum(np.var(some[0] - theta * some[1], ddof=1) / some.shape[1] for some in parts)
    (y0, d0, x0, e0), (y1, d1, x1, e1) = control.sum(axis=0), treatment.sum(axis=0)
    difference = (y1 / d1 - y0 / d0) - theta * (x1 / e1 - x0 / e0)
    return difference, math.sqrt(variance), 1 - variance / without


def _parts(rows: Rows) -> Rows:
    y, d, x, e = rows.T
    return np.stack([(y - y.sum() / d.sum() * d) / d.mean(), (x - x.sum() / e.sum() * e) / e.mean()])


def without_before(rows: Rows) -> Rows:
    return rows * [1, 1, 0, 0]


def of(control: Rows, treatment: Rows, planned: float = PLANNED) -> Comparison:
    return compared(moments_of(control), moments_of(treatment), planned)


def test_it_is_what_the_rows_say() -> None:
    control, treatment = arm(3000, 0), arm(2000, 1, rate=0.18)
    found = of(control, treatment)
    difference, error, reduction = of_rows(control, treatment)
    z = difference / error
    control_ratio = control[:, 0].sum() / control[:, 1].sum()
    information = 4 * ((control[:, 0].sum() + treatment[:, 0].sum()) / (control[:, 1].sum() + treatment[:, 1].sum())
                       / error) ** 2  # fmt: skip
    sequence = ConfidenceSequence(PLANNED / 50, 0.95)
    reach, anytime = norm.ppf(0.975) * error, sequence.bound(information) * error
    expected = Comparison(
        control=control_ratio,
        treatment=treatment[:, 0].sum() / treatment[:, 1].sum(),
        difference=difference,
        relative=difference / control_ratio,
        standard_error=error,
        low=difference - reach,
        high=difference + reach,
        p_value=2 * norm.sf(abs(z)),
        anytime_low=difference - anytime,
        anytime_high=difference + anytime,
        anytime_p=sequence.p_value(z, information),
        reduction=reduction,
    )
    assert asdict(found) == pytest.approx(asdict(expected), rel=1e-9)
    assert 0.05 < found.reduction < 0.5


def test_a_mean_per_visitor_is_welch_s_test() -> None:
    control, treatment = (np.random.default_rng(seed).poisson(3.0, n) for seed, n in ((0, 500), (1, 800)))
    rows = [np.stack([y, np.ones(len(y)), 0 * y, 0 * y], axis=1) for y in (control, treatment)]
    found = of(*rows)
    assert found.standard_error == pytest.approx(math.sqrt(control.var(ddof=1) / 500 + treatment.var(ddof=1) / 800))
    assert found.difference == pytest.approx(treatment.mean() - control.mean())
    assert found.reduction == 0.0


@given(st.integers(0, 10_000), st.integers(2, 400), st.integers(2, 400))
def test_to_swap_the_arms_turns_the_sign_and_nothing_else(seed: int, n: int, m: int) -> None:
    control, treatment = arm(n, seed), arm(m, seed + 1)
    one, other = of(control, treatment), of(treatment, control)
    turned = (other.difference, other.low, other.high, other.anytime_low, other.anytime_high)
    assert (one.difference, one.high, one.low, one.anytime_high, one.anytime_low) == pytest.approx(
        tuple(-figure for figure in turned), rel=1e-9, abs=1e-12, nan_ok=True
    )
    same = ("standard_error", "p_value", "anytime_p", "reduction")
    assert [getattr(one, name) for name in same] == pytest.approx(
        [getattr(other, name) for name in same], rel=1e-9, abs=1e-12, nan_ok=True
    )


@given(st.integers(0, 10_000), st.floats(1e-3, 1e4))
def test_euros_and_cents_say_the_same(seed: int, factor: float) -> None:
    control, treatment = arm(300, seed), arm(300, seed + 1)
    one, other = of(control, treatment), of(control * [factor, 1, 1, 1], treatment * [factor, 1, 1, 1])
    assert other.difference == pytest.approx(factor * one.difference, rel=1e-6, abs=1e-9 * factor)
    assert (other.p_value, other.anytime_p, other.reduction) == pytest.approx(
        (one.p_value, one.anytime_p, one.reduction), rel=1e-6
    )


@given(st.integers(0, 10_000), st.sampled_from([0.0, 0.5, 1.0]))
def test_what_data_from_before_change_is_bounded_by_what_they_explain(seed: int, tie: float) -> None:
    """The estimate moves by sqrt(reduction) standard errors for each one by which the arms differed before."""
    control, treatment = arm(200, seed, tie=tie), arm(300, seed + 1, tie=tie)
    adjusted, plain = of(control, treatment), of(without_before(control), without_before(treatment))
    before = of(control[:, [2, 3, 0, 1]] * [1, 1, 0, 0], treatment[:, [2, 3, 0, 1]] * [1, 1, 0, 0])
    moved = (adjusted.difference - plain.difference) / plain.standard_error
    assert abs(moved) == pytest.approx(
        math.sqrt(max(adjusted.reduction, 0)) * abs(before.difference) / before.standard_error, abs=1e-6
    )
    assert adjusted.standard_error <= plain.standard_error * (1 + 1e-9)


def test_data_from_before_that_say_nothing_change_nothing_beyond_noise() -> None:
    pairs = [(arm(2000, seed, tie=0.0), arm(2000, seed + 1, tie=0.0)) for seed in range(0, 400, 2)]
    adjusted = [of(*pair) for pair in pairs]
    plain = [of(*map(without_before, pair)) for pair in pairs]
    moved = [(a.difference - p.difference) / p.standard_error for a, p in zip(adjusted, plain, strict=True)]
    # A coefficient from 4,000 cookies is noise of 1 / sqrt(4000), so the estimate moves by so many standard errors.
    assert np.std(moved) < 2 / math.sqrt(4000)
    assert np.mean([a.reduction for a in adjusted]) < 3 / 4000


def test_cuped_does_not_bias_a_planted_difference() -> None:
    found = [of(arm(1000, seed), arm(1000, seed + 1, rate=0.15)) for seed in range(0, 600, 2)]
    z = [(each.difference + 0.05) / each.standard_error for each in found]
    assert abs(np.mean(z)) < 3 / math.sqrt(len(z))
    assert np.std(z) == pytest.approx(1.0, abs=3 / math.sqrt(2 * len(z)))


def test_intervals_get_wider_with_the_level() -> None:
    arms = moments_of(arm(2000, 0)), moments_of(arm(2000, 1))
    narrow, wide = compared(*arms, PLANNED, level=0.8), compared(*arms, PLANNED, level=0.99)
    assert wide.low < narrow.low < narrow.high < wide.high
    assert wide.anytime_low < narrow.anytime_low < narrow.low


def test_a_plan_is_tightest_at_its_own_size() -> None:
    control, treatment = moments_of(arm(5000, 0)), moments_of(arm(5000, 1))
    variation = 10_000 * compared(control, treatment, 1.0).standard_error ** 2 / 4 / (control + treatment).ratio() ** 2

    def width(planned: float) -> float:
        return compared(control, treatment, planned, variation=variation).anytime_high

    assert width(10_000) < min(width(1_000), width(100_000))


def test_few_cookies_say_nothing_at_any_time() -> None:
    few, enough = FEWEST_COOKIES - 1, FEWEST_COOKIES
    found = of(arm(few, 0), arm(5000, 1))
    assert (found.anytime_low, found.anytime_high, found.anytime_p) == (-math.inf, math.inf, 1.0)
    assert math.isfinite(found.low)
    assert math.isfinite(of(arm(enough, 0), arm(5000, 1)).anytime_low)


NO_COOKIES = Moments(0, np.zeros(4), np.zeros((4, 4)))
IDLE = moments_of(np.tile([0.0, 1.0, 0.0, 0.0], (500, 1)))
BUSY = moments_of(arm(500, 0))


@pytest.mark.parametrize(
    ("control", "treatment", "difference"),
    [
        (NO_COOKIES, NO_COOKIES, math.nan),
        (BUSY, NO_COOKIES, math.nan),
        (moments_of(arm(1, 0)), BUSY, BUSY.ratio() - moments_of(arm(1, 0)).ratio()),
        (IDLE, IDLE, 0.0),
    ],
)
def test_what_cannot_be_known_yet_is_said_so(control: Moments, treatment: Moments, difference: float) -> None:
    found = compared(control, treatment, PLANNED)
    assert found.difference == pytest.approx(difference, nan_ok=True)
    assert math.isnan(found.standard_error)
    assert (found.low, found.high, found.anytime_low, found.anytime_high) == (-math.inf, math.inf) * 2
    assert (found.p_value, found.anytime_p, found.reduction) == (1.0, 1.0, 0.0)


def test_a_control_without_clicks_has_no_relative_difference() -> None:
    found = compared(IDLE, BUSY, PLANNED)
    assert math.isnan(found.relative) and found.difference == pytest.approx(BUSY.ratio()) and found.p_value < 1e-6


def test_one_arm_without_data_from_before_is_not_adjusted() -> None:
    control, treatment = arm(500, 0), without_before(arm(500, 1))
    assert of(control, treatment) == of(without_before(control), treatment)
