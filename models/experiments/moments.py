"""The sums over an arm's cookies from which every figure of an experiment follows."""

from __future__ import annotations

import math
from dataclasses import dataclass

import numpy as np
import numpy.typing as npt

# A metric's numerator and denominator of a cookie in the experiment; the same before its start (0 where unknown).
QUANTITIES = ("y", "d", "x", "e")

ROUNDING = 1e-12  # of the terms of a sum: what is smaller than this share of them is taken to be rounding

Floats = npt.NDArray[np.float64]


@dataclass(frozen=True, eq=False)
class Moments:
    """The sums over an arm's cookies of the four QUANTITIES and of their products, which may be added in any parts.

    The products are not centred. A variance from them has a relative error of about 1e-16 times 1 + (mean / standard
    deviation)^2, which is harmless for counts and revenue, whose deviations are not small beside their means. Sums of
    integers (cents rather than euros) up to 2^63 lose nothing before they come here.
    """

    n: int  # cookies
    sums: Floats  # (4,)
    products: Floats  # (4, 4), symmetric: the sum of the products of two quantities

    def __add__(self, other: Moments) -> Moments:
        """Returns the moments of the cookies of both; no cookie may be in both."""
        return Moments(self.n + other.n, self.sums + other.sums, self.products + other.products)

    def ratio(self) -> float:
        """Returns the metric, sum(y) / sum(d); nan where sum(d) is 0."""
        return _ratio(*self.sums[:2].tolist())

    def ratio_before(self) -> float:
        """Returns the same from before the start, sum(x) / sum(e); nan where sum(e) is 0."""
        return _ratio(*self.sums[2:].tolist())

    def ratio_covariance(self) -> Floats:
        """Returns the covariance (2, 2) of the ratios sum(y) / sum(d) and sum(x) / sum(e), by the delta method.

        Cookies are independent; a cookie's visits need not be (Deng, Knoblich and Lu: Applying the Delta Method in
        Metric Analytics, 2018). It is 0 where a denominator is 0, and where rounding leaves no digit. n is at least 2.
        """
        y, d, x, e = self.sums.tolist()
        gradients = np.zeros((2, 4))
        if d:
            gradients[0, :2] = 1 / d, -y / d / d
        if e:
            gradients[1, 2:] = 1 / e, -x / e / e
        small_sample = self.n / (self.n - 1)
        covariance = gradients @ self.products @ gradients.T * small_sample
        terms = np.abs(gradients) @ np.abs(self.products) @ np.abs(gradients.T)
        covariance[np.abs(covariance) < ROUNDING * terms] = 0.0
        return np.asarray(covariance)


def moments_of(values: npt.NDArray[np.generic]) -> Moments:
    """Returns the moments of cookies given as rows (n, 4), in the order of QUANTITIES."""
    rows = np.asarray(values, np.float64)
    return Moments(len(rows), rows.sum(axis=0), rows.T @ rows)


def _ratio(numerator: float, denominator: float) -> float:
    return numerator / denominator if denominator else math.nan
