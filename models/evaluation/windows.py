"""Figures of several windows as one: their mean, and how much better one method is than another."""

from __future__ import annotations

from collections.abc import Sequence
from typing import NamedTuple

import numpy as np
import numpy.typing as npt

from larder.models.evaluation.ranking_metrics import Means

# The 97.5% quantile of Student's t by degrees of freedom, from 1; beyond, that of the normal distribution.
# https://www.itl.nist.gov/div898/handbook/eda/section3/eda3672.htm
T_QUANTILES = (
    *(12.706, 4.303, 3.182, 2.776, 2.571, 2.447, 2.365, 2.306, 2.262, 2.228),
    *(2.201, 2.179, 2.160, 2.145, 2.131, 2.120, 2.110, 2.101, 2.093, 2.086),
    *(2.080, 2.074, 2.069, 2.064, 2.060, 2.056, 2.052, 2.048, 2.045, 2.042),
)
NORMAL_QUANTILE = 1.960


class Compared(NamedTuple):
    """One method beside another over the same windows.

    `difference` is the mean of the paired differences, between `low` and `high` with 95% confidence; `share` is it
    relative to the other's mean (NaN if that is 0); `above` is the number of windows in which it is greater.
    """

    difference: float
    low: float
    high: float
    share: float
    above: int


def compared(ours: Sequence[float], others: Sequence[float]) -> Compared:
    """Compares figures of the same windows, in the same order, by a paired t interval.

    With a single window there is no interval: `low` and `high` are NaN. Raises ValueError without windows, or if the
    numbers of windows differ.
    """
    if not len(ours) or len(ours) != len(others):
        raise ValueError(f"{len(ours)} and {len(others)} windows can't be compared")
    differences = np.subtract(ours, others, dtype=np.float64)
    mean, windows = float(differences.mean()), len(differences)
    half = float("nan")
    if windows > 1:
        quantile = T_QUANTILES[windows - 2] if windows - 2 < len(T_QUANTILES) else NORMAL_QUANTILE
        half = quantile * float(differences.std(ddof=1)) / windows**0.5
    other = float(np.mean(others))
    share = mean / other if other else float("nan")
    return Compared(mean, mean - half, mean + half, share, int((differences > 0).sum()))


def mean_of_windows(name: str, windows: Sequence[npt.NDArray[np.floating]], resamples: int, seed: int) -> Means:
    """Returns the mean over windows of a figure that users (u,) of each have, its interval if there are resamples > 0,
    and the number of users.

    A window without users is left out. The interval has 95%, by a bootstrap that draws users within each window.
    """
    some = [users for users in windows if len(users)]
    out: Means = {name: float(np.mean([users.mean() for users in some])) if some else 0.0}
    out["users"] = sum(map(len, some))
    if resamples and some:
        draw = np.random.default_rng(seed)
        drawn = [users[draw.integers(0, len(users), (resamples, len(users)))].mean(axis=1) for users in some]
        out[f"{name} interval"] = np.percentile(np.mean(drawn, axis=0), [2.5, 97.5]).tolist()
    return out
