"""How large an effect must be to be found with so many cookies, and how many cookies find an effect."""

from __future__ import annotations

import math
from dataclasses import dataclass
from statistics import NormalDist

from larder.models.experiments.confidence_sequence import FEWEST_COOKIES, FEWEST_INFORMATION, ConfidenceSequence
from larder.models.experiments.moments import Moments


@dataclass(frozen=True)
class Design:
    """How two arms are to be compared: the treatment's share of their cookies, the power, the level, and the test.

    The power is the probability with which the effect in question is found. With `is_anytime` it is the confidence
    sequence that finds it, at the planned size. It may do so before, so its power is a little more than that.
    """

    treated_share: float = 0.5
    power: float = 0.8
    level: float = 0.95
    is_anytime: bool = False

    @property
    def evenness(self) -> float:
        """The information of a cookie beside that of a cookie in arms of equal size."""
        return 4 * self.treated_share * (1 - self.treated_share)

    @property
    def errors_apart(self) -> float:
        """The number of standard errors that an effect must be away from 0."""
        normal = NormalDist()
        bound = normal.inv_cdf((1 + self.level) / 2)
        if self.is_anytime:
            # Every sequence has the same bound at its planned size, so that of any size will do.
            bound = ConfidenceSequence(FEWEST_INFORMATION / self.evenness, self.level).bound(FEWEST_INFORMATION)
        return bound + normal.inv_cdf(self.power)


def squared_variation(moments: Moments) -> float:
    """Returns (standard deviation / mean)^2 of a cookie's part in the metric, after CUPED; nan where the metric is 0.

    The moments are those of one arm, or of all cookies of earlier weeks, as long as the experiment is to be.
    """
    if moments.n < 2 or not moments.ratio() ** 2 > 0:
        return math.nan
    (of_metric, shared), (_, before) = moments.ratio_covariance().tolist()
    return moments.n * (of_metric - (shared**2 / before if before else 0.0)) / moments.ratio() ** 2


def detectable_effect(variation: float, cookies: float, design: Design = Design()) -> float:
    """Returns the smallest relative effect that is found with so many cookies in both arms; inf if none would be.

    `variation` is the metric's squared_variation.
    """
    if cookies < _fewest(variation, design):
        return math.inf
    return design.errors_apart * 2 * math.sqrt(variation / (cookies * design.evenness))


def cookies_needed(variation: float, effect: float, design: Design = Design()) -> float:
    """Returns how many cookies in both arms together find a relative effect."""
    needed = variation / design.evenness * (2 * design.errors_apart / effect) ** 2
    return max(needed, _fewest(variation, design))


def days_needed(needed: float, cookies: float, cookies_per_day: float) -> float:
    """Returns the days until `needed` cookies are there, of which there are `cookies` now; inf if no more come.

    `cookies_per_day` are new ones. There are fewer every day, as more of those who come have been there before.
    """
    if cookies >= needed:
        return 0.0
    return (needed - cookies) / cookies_per_day if cookies_per_day > 0 else math.inf


def _fewest(variation: float, design: Design) -> float:
    """The cookies below which the confidence sequence says nothing."""
    if not design.is_anytime:
        return 0.0
    smaller_share = min(design.treated_share, 1 - design.treated_share)
    return max(FEWEST_INFORMATION * variation / design.evenness, FEWEST_COOKIES / smaller_share)
