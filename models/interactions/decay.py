"""Exponentially decayed counts as integer sums: exact in any order, and corrected by subtracting what was added.

Forward decay (Cormode, Shkapenyuk, Srivastava, Xu: Forward Decay, ICDE 2009): an event at hour h has the constant
weight 2^((h - landmark) / half_life). A sum of such weights times one factor is the decayed count at any later hour, so
stored sums need no update as time passes. Weights are rounded to fixed point (integers).
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from pyspark.sql import Column
from pyspark.sql import functions as F

from larder.models.hours import HOURS_A_DAY

UNIT = 1 << 12  # fixed point: the integer that stands for a weight of 1 at the landmark
HALF_LIVES_A_LANDMARK = 16


class OtherHalfLifeError(ValueError):
    """Stored sums have another half-life than the settings, and can't be converted."""


@dataclass(frozen=True)
class Decay:
    """Decay with a half-life in hours, relative to a landmark (an hour number)."""

    half_life: float
    landmark: float

    @staticmethod
    def at(hour: int, half_life_days: float) -> Decay:
        """Returns the decay in force at `hour`. Landmarks are 16 half-lives apart, so sums fit 64 bits."""
        half_life = half_life_days * HOURS_A_DAY
        stride = half_life * HALF_LIVES_A_LANDMARK
        return Decay(half_life, (hour // stride) * stride)

    def terms(self, weights: np.ndarray, hours: np.ndarray) -> np.ndarray:
        """Returns what events of these weights at these hours add to a sum, int64, shape (n,)."""
        growth = np.exp2((hours - self.landmark) / self.half_life)
        return np.rint(weights * growth * UNIT).astype(np.int64)

    def value(self, total: Column, hour: int) -> Column:
        """Returns the decayed count at `hour` of a sum of terms; an event of that hour counts undecayed."""
        return total * F.lit(self.factor(hour))

    def factor(self, hour: int) -> float:
        """Returns the factor that turns a sum of terms into the decayed count at `hour`."""
        return 2.0 ** ((self.landmark - hour) / self.half_life) / UNIT

    def moved(self, totals: np.ndarray, older: Decay) -> np.ndarray:
        """Returns sums that were relative to an older landmark relative to this one, off by at most half a unit."""
        if older == self:
            return totals
        self.check_goes_on_from(older)
        return np.rint(totals * 2.0 ** ((older.landmark - self.landmark) / self.half_life)).astype(np.int64)

    def check_goes_on_from(self, older: Decay) -> None:
        """Raises OtherHalfLifeError if `older` has another half-life: its sums can't be converted."""
        if older.half_life != self.half_life:
            raise OtherHalfLifeError(
                f"a state with a half-life of {older.half_life} h can't go on with {self.half_life} h; "
                "roll up again from the start with --from-empty"
            )
