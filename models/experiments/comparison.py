"""A metric in two arms of an experiment: the difference, its intervals, and what data from before the start adds."""

from __future__ import annotations

import math
from dataclasses import dataclass
from statistics import NormalDist

from larder.models.experiments.confidence_sequence import FEWEST_COOKIES, TYPICAL_VARIATION, ConfidenceSequence
from larder.models.experiments.moments import ROUNDING, Moments


@dataclass(frozen=True)
class Comparison:
    """A metric in the control and the treatment arm, and how sure their difference is.

    What can't be computed yet is nan, its interval goes from -inf to inf, and its p-value is 1.
    """

    control: float  # sum(y) / sum(d), as it was counted
    treatment: float
    difference: float  # treatment - control, after what both arms differed by before the start (CUPED)
    relative: float  # difference / control, nan where control is 0
    standard_error: float  # of the difference
    low: float  # the interval of the difference at `level`, for one look at a size that was fixed beforehand
    high: float
    p_value: float  # two-sided, for the same one look
    anytime_low: float  # the interval that holds at all looks together (a confidence sequence)
    anytime_high: float
    anytime_p: float  # it may be looked at at any time, and the experiment stopped on it
    reduction: float  # 1 - variance with CUPED / variance without; 0 where there are no data from before


def compared(
    control: Moments,
    treatment: Moments,
    planned_cookies: float,
    level: float = 0.95,
    variation: float = TYPICAL_VARIATION,
) -> Comparison:
    """Returns the metric sum(y) / sum(d) of two arms compared.

    The variance is that of a ratio over independent cookies (Moments.ratio_covariance). The same ratio from before the
    start is the covariate of CUPED (Deng, Xu, Kohavi and Walker 2013); its coefficient is the one with the least
    variance of the difference. The anytime interval is tightest near `planned_cookies`, of both arms together, if the
    metric then has this `variation` (power.squared_variation); it holds whatever both are (ConfidenceSequence).
    """
    ratios = control.ratio(), treatment.ratio()
    estimate = _adjusted_difference(control, treatment)
    if estimate is None:
        return _unknown(*ratios)
    difference, variance, reduction = estimate
    error = math.sqrt(variance)
    z = difference / error
    reach = NormalDist().inv_cdf((1 + level) / 2) * error
    sequence = ConfidenceSequence(planned_cookies / variation, level)
    enough = min(control.n, treatment.n) >= FEWEST_COOKIES
    information = 4 * (control + treatment).ratio() ** 2 / variance if enough else 0.0
    anytime_reach = sequence.bound(information) * error
    return Comparison(
        control=ratios[0],
        treatment=ratios[1],
        difference=difference,
        relative=difference / ratios[0] if ratios[0] else math.nan,
        standard_error=error,
        low=difference - reach,
        high=difference + reach,
        p_value=math.erfc(abs(z) / math.sqrt(2)),
        anytime_low=difference - anytime_reach,
        anytime_high=difference + anytime_reach,
        anytime_p=sequence.p_value(z, information),
        reduction=reduction,
    )


def _adjusted_difference(control: Moments, treatment: Moments) -> tuple[float, float, float] | None:
    """The difference after CUPED, its variance, and the share of variance that CUPED took off; None if unknown."""
    difference = treatment.ratio() - control.ratio()
    if min(control.n, treatment.n) < 2 or math.isnan(difference):
        return None
    covariances = control.ratio_covariance() + treatment.ratio_covariance()
    without, shared, before = float(covariances[0, 0]), float(covariances[0, 1]), float(covariances[1, 1])
    difference_before = treatment.ratio_before() - control.ratio_before()
    theta = 0.0 if before <= 0 or math.isnan(difference_before) else shared / before
    variance = without - theta * shared
    if variance <= ROUNDING * without:
        return None
    return difference - (theta * difference_before if theta else 0.0), variance, theta * shared / without


def _unknown(control: float, treatment: float) -> Comparison:
    """A comparison of arms whose difference has no variance yet."""
    difference = treatment - control
    return Comparison(
        control=control,
        treatment=treatment,
        difference=difference,
        relative=difference / control if control else math.nan,
        standard_error=math.nan,
        low=-math.inf,
        high=math.inf,
        p_value=1.0,
        anytime_low=-math.inf,
        anytime_high=math.inf,
        anytime_p=1.0,
        reduction=0.0,
    )
