"""The choice among orders of lists, from simple to rich, by figures of several windows."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import NamedTuple

import numpy as np
import numpy.typing as npt

Floats = npt.NDArray[np.floating]


class OrderChoice(NamedTuple):
    """The order that was chosen, the one with the greatest mean, and the difference of the two.

    `behind` is how much lower the chosen order's mean is, and `error` the standard error of that difference.
    """

    chosen: str
    best: str
    behind: float
    error: float


def choose_order(figures: Mapping[str, Sequence[Floats]]) -> OrderChoice:
    """Returns the simplest order that is at most one standard error below the best.

    That is the one-standard-error rule (Breiman, Friedman, Olshen, Stone, Classification and Regression Trees, 1984,
    section 3.4.3), with the error of the paired difference of the same users.

    Args: `figures` holds, by order, the simplest first, a figure a user, shape (u,), for each window; users of a window
    are the same for all orders. Every window with users counts alike. Raises ValueError without an order or a window.
    """
    if not figures or not all(figures.values()):
        raise ValueError("nothing to choose from: no order, or an order without a window")
    some = {name: [users for users in windows if len(users)] for name, windows in figures.items()}
    means = {name: float(np.mean([users.mean() for users in windows] or [0])) for name, windows in some.items()}
    best = max(means, key=lambda name: means[name])  # of equals the simplest
    compared = [OrderChoice(name, best, means[best] - means[name], _error(some[best], some[name])) for name in some]
    return next(each for each in compared if each.behind <= each.error)


def _error(best: Sequence[Floats], others: Sequence[Floats]) -> float:
    """Returns the standard error of the mean over windows of the mean paired differences."""
    differences = [np.subtract(left, right) for left, right in zip(best, others, strict=True)]
    return float(np.sqrt(sum(map(_variance, differences)))) / max(len(differences), 1)


def _variance(differences: Floats) -> float:
    """Returns the variance of their mean; of a single difference, which has none, the most that metrics can have."""
    return float(differences.var(ddof=1)) / len(differences) if len(differences) > 1 else 1.0
