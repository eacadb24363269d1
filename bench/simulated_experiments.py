"""Simulated experiments: cookies that come back, with tastes of their own, and an arm's sums after every hour."""

from __future__ import annotations

import math
from dataclasses import dataclass
from itertools import combinations_with_replacement

import numpy as np
import numpy.typing as npt

from larder.models.experiments.moments import QUANTITIES, Moments

HOURS = 14 * 24
ACTIVITY_SIGMA = 1.2  # of the logarithm of a cookie's visits: one in a hundred comes 16 times as often as the median
VISITS_PER_ACTIVITY = 2.0
LIKING = (2.0, 6.0)  # the beta distribution of a cookie's probability to click at a visit: 0.25 on average
BUYERS = 0.1  # of those who click
PRICE, PRICE_SIGMA = 2_000, 1.0  # cents of a purchase: median, and sigma of the logarithm

Floats = npt.NDArray[np.float64]
Ints = npt.NDArray[np.int64]


@dataclass(frozen=True)
class Scenario:
    """What is measured, clicks per visit or cents per visitor, and during which part of the time cookies arrive."""

    name: str
    is_revenue: bool = False
    arrival_share: float = 1.0


CLICKS = Scenario("clicks per visit")
CLICKS_OF_EARLY_COOKIES = Scenario("clicks, no new cookies after a day", arrival_share=1 / 14)
REVENUE = Scenario("revenue per visitor", is_revenue=True)


@dataclass(frozen=True)
class Visits:
    """The visits (v,) of an experiment, in order of cookie and time, and of each cookie (c,) its arm and its past."""

    cookies: Ints  # (v,)
    hours: Ints  # (v,)
    values: Floats  # (v,), clicks or cents
    is_treated: npt.NDArray[np.bool_]  # (c,)
    values_before: Floats  # (c,), before the start
    visits_before: Floats  # (c,)

    @property
    def is_first(self) -> npt.NDArray[np.bool_]:
        """Which visits are their cookie's first, shape (v,)."""
        return np.diff(self.cookies, prepend=-1) != 0


def simulated_visits(draw: np.random.Generator, cookies: int, scenario: Scenario, lift: float = 0.0) -> Visits:
    """Returns visits whose probability of a click is 1 + `lift` times as high in the treatment, which has half of them.

    Cookies arrive at a constant rate; one that has come comes back as often as its activity says, until the end.
    """
    arrival, liking = scenario.arrival_share * draw.random(cookies), draw.beta(*LIKING, cookies)
    if scenario.is_revenue:
        liking *= BUYERS
    activity = VISITS_PER_ACTIVITY * draw.lognormal(0.0, ACTIVITY_SIGMA, cookies)
    is_treated = draw.random(cookies) < 0.5
    visits = 1 + draw.poisson(activity * (1 - arrival))
    of_visit = np.repeat(np.arange(cookies), visits)
    waited = draw.random(len(of_visit))  # the part of the time since arrival
    waited[np.cumsum(visits) - visits] = 0.0
    waited = np.sort(of_visit + waited) - of_visit
    times = arrival[of_visit] + (1 - arrival[of_visit]) * waited
    chance = liking * np.where(is_treated, 1 + lift, 1.0)
    values = (draw.random(len(of_visit)) < chance[of_visit]).astype(np.float64)
    before = draw.poisson(activity)
    values_before = draw.binomial(before, liking).astype(np.float64)
    if scenario.is_revenue:
        values *= np.rint(draw.lognormal(math.log(PRICE), PRICE_SIGMA, len(values)))
        values_before *= PRICE
    hours = np.minimum((times * HOURS).astype(np.int64), HOURS - 1)
    return Visits(of_visit, hours, values, is_treated, values_before, before.astype(np.float64))


def hourly_moments(visits: Visits, scenario: Scenario) -> tuple[list[Moments], list[Moments]]:
    """Returns what has been summed up in control and treatment after each hour, HOURS each."""
    cookies, is_first = visits.cookies, visits.is_first
    first = np.flatnonzero(is_first)
    gained = {
        "y": visits.values,
        "d": is_first.astype(np.float64) if scenario.is_revenue else np.ones(len(cookies)),
        "x": np.where(is_first, visits.values_before[cookies], 0.0),
        "e": is_first * (1.0 if scenario.is_revenue else visits.visits_before[cookies]),
    }
    had = {name: _had(values, first[cookies]) for name, values in gained.items()}
    slots = visits.is_treated[cookies] * HOURS + visits.hours

    def summed(values: Floats) -> Floats:
        """The running sum of both arms after each hour, shape (2, HOURS)."""
        return np.asarray(np.bincount(slots, values, 2 * HOURS).reshape(2, HOURS).cumsum(axis=1))

    counts = summed(is_first.astype(np.float64))
    sums = np.stack([summed(gained[name]) for name in QUANTITIES], axis=-1)
    products = np.zeros((2, HOURS, len(QUANTITIES), len(QUANTITIES)))
    for (i, one), (j, other) in combinations_with_replacement(enumerate(QUANTITIES), 2):
        grown = had[one] * gained[other] + gained[one] * (had[other] + gained[other])
        products[:, :, i, j] = products[:, :, j, i] = summed(grown)
    control, treatment = (
        [Moments(int(counts[arm, hour]), sums[arm, hour], products[arm, hour]) for hour in range(HOURS)]
        for arm in range(2)
    )
    return control, treatment


def _had(gained: Floats, first: Ints) -> Floats:
    """What a visit's cookie had before the visit; `first` is the position of the cookie's first visit, shape (v,)."""
    before = np.cumsum(gained) - gained
    return np.asarray(before - before[first])
