"""Simulated experiments have the sums of their cookies, and figures out of their range are told from those in it."""

from __future__ import annotations

import math

import numpy as np
import numpy.typing as npt
import pytest

from bench.experiment_statistics import (
    Experiment,
    Figure,
    false_alarms,
    figures_of_cuped,
    figures_of_mismatches,
    finds,
    margin,
)
from bench.simulated_experiments import (
    CLICKS,
    CLICKS_OF_EARLY_COOKIES,
    HOURS,
    LIKING,
    REVENUE,
    Scenario,
    Visits,
    hourly_moments,
    simulated_visits,
)
from larder.models.experiments.moments import moments_of

SCENARIOS = (CLICKS, CLICKS_OF_EARLY_COOKIES, REVENUE)


def run(experiment: Experiment, runs: int) -> npt.NDArray[np.float64]:
    return np.array([experiment(seed) for seed in range(runs)], np.float64)


def rows_after(visits: Visits, scenario: Scenario, hour: int) -> npt.NDArray[np.float64]:
    """The rows of all cookies that have come by the end of an hour, without regard to the order of visits."""
    seen = visits.hours <= hour
    n = len(visits.is_treated)
    counts = np.bincount(visits.cookies[seen], minlength=n).astype(float)
    values = np.bincount(visits.cookies[seen], visits.values[seen], n)
    ones = np.ones(n)
    d, e = (ones, ones) if scenario.is_revenue else (counts, visits.visits_before)
    rows = np.stack([values, d, visits.values_before, e], axis=1)
    rows[counts == 0] = np.nan
    return rows


@pytest.mark.parametrize("scenario", SCENARIOS)
@pytest.mark.parametrize("hour", [0, 30, HOURS - 1])
def test_sums_after_an_hour_are_those_of_the_cookies_so_far(scenario: Scenario, hour: int) -> None:
    visits = simulated_visits(np.random.default_rng(0), 2000, scenario)
    rows = rows_after(visits, scenario, hour)
    for is_treated, arm in enumerate(hourly_moments(visits, scenario)):
        expected = moments_of(rows[(visits.is_treated == is_treated) & ~np.isnan(rows[:, 0])])
        assert arm[hour].n == expected.n
        np.testing.assert_allclose(arm[hour].sums, expected.sums)
        np.testing.assert_allclose(arm[hour].products, expected.products)


def test_clicks_are_as_many_as_planted() -> None:
    visits = simulated_visits(np.random.default_rng(1), 100_000, CLICKS, lift=0.2)
    control, treatment = (arm[-1] for arm in hourly_moments(visits, CLICKS))
    liking = LIKING[0] / sum(LIKING)
    error = math.sqrt(control.ratio_covariance()[0, 0])
    assert control.ratio() == pytest.approx(liking, abs=3 * error)
    assert treatment.ratio() == pytest.approx(1.2 * liking, abs=5 * error)


def test_without_new_cookies_only_visits_grow() -> None:
    visits = simulated_visits(np.random.default_rng(2), 2000, CLICKS_OF_EARLY_COOKIES)
    control, _ = hourly_moments(visits, CLICKS_OF_EARLY_COOKIES)
    assert control[24].n == control[-1].n
    assert control[-1].sums[1] > 2 * control[24].sums[1]


def test_who_looks_hourly_at_a_fixed_test_is_alarmed_and_who_looks_at_the_sequence_is_not() -> None:
    planned, typical, at_end, any_hour = run(lambda seed: false_alarms(CLICKS, 2000, 1.5, seed), 15).mean(axis=0)
    assert typical <= planned <= 0.05 + margin(0.05, 15)
    assert at_end <= 0.05 + margin(0.05, 15) < any_hour


def test_a_large_effect_is_found_before_the_end() -> None:
    fixed, anytime, when = run(lambda seed: finds(150_000, 1.5, seed), 4).mean(axis=0)
    assert (fixed, anytime) == (1.0, 1.0)
    assert when < 1.0


def test_figures_of_a_few_experiments_are_right() -> None:
    found = [*figures_of_mismatches(run, 30), *figures_of_cuped(run, 200)]
    assert [str(each) for each in found if not each.is_right] == []
    assert len(found) == 2 + 3 * 2


@pytest.mark.parametrize(
    ("figure", "is_right", "printed"),
    [
        (Figure("a share", 0.5), True, "0.5000"),
        (Figure("a share", 0.06, high=0.05), False, "0.0600  at most 0.0500     WRONG"),
        (Figure("a share", 0.05, low=0.04), True, "0.0500  at least 0.0400"),
        (Figure("a share", 0.03, 0.04, 0.06), False, "0.0300  0.0400 to 0.0600   WRONG"),
        (Figure("a share", math.nan, 0.04, 0.06), False, "nan  0.0400 to 0.0600   WRONG"),
    ],
)
def test_a_figure_says_whether_it_is_in_its_range(figure: Figure, is_right: bool, printed: str) -> None:
    assert figure.is_right == is_right
    assert str(figure).split(maxsplit=2)[2] == printed
