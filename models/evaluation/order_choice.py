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
    are the same for all orders, and every window counts alike. Raises ValueError without an order or a window.
    """
    if not figures or not all(figures.values()):
        raise ValueError("nothing to choose from: no order, or an order without a window")
    means = {name: float(np.mean([_mean(users) for users in windows])) for name, windows in figures.items()}
    best = max(means, key=lambda name: means[name])  # of equals the simplest
    for name, windows in figures.items():
        behind, error = means[best] - means[name], _error(figures[best], windows)
        if behind <= error:
            return OrderChoice(name, best, behind, error)
    raise AssertionError("the best is not behind itself")


def _mean(users: Floats) -> float:
    return float(users.mean()) if len(users) else 0.0


def _error(best: Sequence[Floats], others: Sequence[Floats]) -> float:
    """Returns the standard error of the mean over windows of the mean paired differences."""
    differences = [np.subtract(left, right) for left, right in zip(best, others, strict=True)]
    return float(np.sqrt(sum(map(_variance, differences)))) / len(differences)


def _variance(differences: Floats) -> float:
    """Returns the variance of their mean; of a single difference, which has none, the most that metrics can have."""
    if len(differences) < 2:
        return float(len(differences))
    return float(differences.var(ddof=1)) / len(differences)
