"""Whether cookies went to the arms of an experiment in the shares that it set."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass

from scipy.stats import chisquare

MISMATCH_BELOW = 0.001  # p-values; so a sound experiment is reported once in a thousand


@dataclass(frozen=True)
class SampleRatio:
    """The cookies of each arm beside the number that its share lets expect.

    With a mismatch, cookies were lost or counted wrongly in one arm more than in another, and no difference of the arms
    means anything before the cause is known (Fabijan et al.: Diagnosing Sample Ratio Mismatch, 2019).
    """

    counts: dict[str, int]
    expected: dict[str, float]
    p_value: float  # of a chi-square test of goodness of fit
    is_mismatch: bool


def sample_ratio(counts: Mapping[str, int], shares: Mapping[str, float]) -> SampleRatio:
    """Returns how well the cookies per arm fit the arms' shares, which need not add up to 1.

    An arm without a share that has cookies is a mismatch. Without any cookies there is none.
    """
    arms = sorted({*counts, *shares})
    found = {arm: counts.get(arm, 0) for arm in arms}
    total, whole = sum(found.values()), sum(shares.values())
    expected = {arm: total * shares.get(arm, 0.0) / whole for arm in arms}
    p_value = _p_value(found, expected) if total else 1.0
    return SampleRatio(found, expected, p_value, p_value < MISMATCH_BELOW)


def _p_value(found: dict[str, int], expected: dict[str, float]) -> float:
    open_arms = [arm for arm, cookies in expected.items() if cookies > 0]
    if any(cookies and arm not in open_arms for arm, cookies in found.items()):
        return 0.0
    if len(open_arms) < 2:
        return 1.0
    return float(chisquare([found[arm] for arm in open_arms], [expected[arm] for arm in open_arms]).pvalue)
