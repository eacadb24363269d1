"""The probability that a user buys a candidate next: logistic regressions on a few features and their products.

There is one regression for items that the user bought before and one for all others. Their log-odds are comparable, so
one list can hold both.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
import numpy.typing as npt

from larder.kernels import kernel
from larder.models.ranking.candidates import FEATURES, OF_NEW

Doubles = npt.NDArray[np.float64]


class WeightsError(ValueError):
    """Weights of a purchase model that can't be used; the message says why."""


@dataclass(frozen=True)
class PurchaseRegression:
    """A logistic regression with second-order terms.

    The log-odds of features x (k,) are constant + linear . z + z' quadratic z, with z = (x - means) / scales.
    `quadratic` (k, k) is zero below its diagonal.
    """

    features: tuple[str, ...]
    means: Doubles
    scales: Doubles
    constant: float
    linear: Doubles
    quadratic: Doubles

    def log_odds(self, features: Doubles) -> Doubles:
        """Returns the log-odds of rows of features (c, k), shape (c,). A row's are the same to the bit in any batch."""
        odds = np.empty(len(features))
        weights = (np.asarray(array, np.float64) for array in (self.means, self.scales, self.linear, self.quadratic))
        _log_odds(np.ascontiguousarray(features, np.float64), float(self.constant), *weights, odds)
        return odds

    def as_json(self) -> dict[str, Any]:
        """Returns the regression as JSON objects that people can read, with six digits."""
        weights: dict[str, float] = {"": self.constant}
        for i, name in enumerate(self.features):
            weights[name] = float(self.linear[i])
            for j in range(i, len(self.features)):
                weights[f"{name} * {self.features[j]}"] = float(self.quadratic[i, j])
        pairs = zip(self.features, self.means.tolist(), self.scales.tolist(), strict=True)
        return {
            "features": {name: {"mean": _short(mean), "scale": _short(scale)} for name, mean, scale in pairs},
            "weights": {name: _short(weight) for name, weight in weights.items()},
        }

    @staticmethod
    def from_json(written: Mapping[str, Any], known: Sequence[str]) -> PurchaseRegression:
        """Returns the regression that `as_json` wrote, on features among `known`. Raises WeightsError."""
        try:
            names = tuple(written["features"])
            weights = dict(written["weights"])
            z = [
                (float(written["features"][name]["mean"]), float(written["features"][name]["scale"])) for name in names
            ]
            constant, linear = float(weights.pop("")), np.array([float(weights.pop(name)) for name in names])
            quadratic = np.zeros((len(names), len(names)))
            for i, name in enumerate(names):
                for j in range(i, len(names)):
                    quadratic[i, j] = float(weights.pop(f"{name} * {names[j]}"))
        except (KeyError, TypeError, ValueError, AttributeError) as error:
            raise WeightsError(f"not the weights of a purchase model: {error!r}") from None
        strange = sorted((set(names) - set(known)) | set(weights))
        if strange:
            raise WeightsError(f"weights of unknown features: {', '.join(strange)}; features are {', '.join(known)}")
        means, scales = np.array(z).reshape(-1, 2).T
        return PurchaseRegression(names, means, scales, constant, linear, quadratic)


@dataclass(frozen=True)
class PurchaseModel:
    """Two regressions: `owned` for items that a user bought before, `fresh` for others, on the features OF_NEW only."""

    owned: PurchaseRegression
    fresh: PurchaseRegression

    def as_json(self) -> dict[str, Any]:
        """Returns the model as JSON objects."""
        return {"owned": self.owned.as_json(), "new": self.fresh.as_json()}

    @staticmethod
    def from_json(written: Mapping[str, Any]) -> PurchaseModel:
        """Returns the purchase model that `as_json` wrote. Raises WeightsError."""
        try:
            owned, fresh = written["owned"], written["new"]
        except (KeyError, TypeError):
            raise WeightsError("not the weights of a purchase model: `owned` or `new` is missing") from None
        return PurchaseModel(PurchaseRegression.from_json(owned, FEATURES), PurchaseRegression.from_json(fresh, OF_NEW))


def probability(log_odds: npt.NDArray[np.floating]) -> npt.NDArray[np.float32]:
    """Returns the probabilities for log-odds of any shape."""
    return (1 / (1 + np.exp(-np.clip(log_odds, -60, 60)))).astype(np.float32)


@kernel
def _log_odds(
    features: Doubles,
    constant: float,
    means: Doubles,
    scales: Doubles,
    linear: Doubles,
    quadratic: Doubles,
    odds: Doubles,
) -> None:
    """A loop instead of matrix products, whose order of sums depends on where in a batch a row stands."""
    count = len(means)
    z = np.empty(count)
    for row in range(len(features)):
        total = constant
        for i in range(count):
            z[i] = (features[row, i] - means[i]) / scales[i]
            total += linear[i] * z[i]
        for i in range(count):
            for j in range(i, count):
                total += quadratic[i, j] * z[i] * z[j]
        odds[row] = total


def _short(value: float) -> float:
    """Returns a value rounded to six digits, which changes no list that matters and can be read."""
    return float(f"{value:.6g}")
