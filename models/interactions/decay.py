"""Exponentially decayed counts that can be added to, and corrected, exactly.

Forward decay (Cormode, Shkapenyuk, Srivastava, Xu: Forward Decay, ICDE 2009): an event at hour h weighs
2^((h - landmark) / half_life) for ever, and a sum of such weights is turned into the decayed count of any later hour by
one factor. So nothing needs touching as time goes by. Terms are rounded to fixed point, so that sums are of integers:
the same in any order, and a term once added can be taken out again without a trace.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from pyspark.sql import Column
from pyspark.sql import functions as F

UNIT = 1 << 12  # fixed point: this is a weight of 1 at the landmark
HALF_LIVES_A_LANDMARK = 16
HOURS_A_DAY = 24


class OtherHalfLifeError(ValueError):
    """Sums can't be turned into those of another half-life."""


@dataclass(frozen=True)
class Decay:
    """Decay with a half-life in hours, relative to a landmark (an hour number)."""

    half_life: float
    landmark: float

    @staticmethod
    def at(hour: int, half_life_days: float) -> Decay:
        """The decay in force at `hour`. Landmarks lie 16 half-lives apart, so that terms fit 64 bits for ever."""
        half_life = half_life_days * HOURS_A_DAY
        stride = half_life * HALF_LIVES_A_LANDMARK
        return Decay(half_life, (hour // stride) * stride)

    def terms(self, weights: np.ndarray, hours: np.ndarray) -> np.ndarray:
        """What events of these weights at these hours add to a sum, int64 [n]."""
        growth = np.exp2((hours - self.landmark) / self.half_life)
        return np.rint(weights * growth * UNIT).astype(np.int64)

    def value(self, total: Column, hour: int) -> Column:
        """The decayed count at `hour` of a sum of terms, as a double; an event in that hour counts its weight."""
        return total * F.lit(self.factor(hour))

    def factor(self, hour: int) -> float:
        return 2.0 ** ((self.landmark - hour) / self.half_life) / UNIT

    def moved(self, totals: np.ndarray, older: Decay) -> np.ndarray:
        """Sums relative to an older landmark, relative to this one; half a unit at most is lost in rounding."""
        if older == self:
            return totals
        self.check_goes_on_from(older)
        return np.rint(totals * 2.0 ** ((older.landmark - self.landmark) / self.half_life)).astype(np.int64)

    def check_goes_on_from(self, older: Decay) -> None:
        """Raises OtherHalfLifeError for sums of another half-life, which can't be turned into this one's."""
        if older.half_life != self.half_life:
            raise OtherHalfLifeError(
                f"a state with a half-life of {older.half_life} h can't go on with {self.half_life} h; "
                "roll up again from the start with --from-empty"
            )
