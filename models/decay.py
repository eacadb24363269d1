"""Exponentially decayed counts that can be added to, and corrected, exactly.

Forward decay (Cormode, Shkapenyuk, Srivastava, Xu: Forward Decay, ICDE 2009): an event at hour h weighs
2^((h - landmark) / half_life) for ever, and a sum of such weights is turned into the decayed count of any later hour by
one factor. So nothing needs touching as time goes by. Terms are rounded to fixed point, so that sums are of integers:
the same in any order, and a term once added can be taken out again without a trace.
"""

from __future__ import annotations

from dataclasses import dataclass

from pyspark.sql import Column
from pyspark.sql import functions as F

UNIT = 1 << 12  # fixed point: this is a weight of 1 at the landmark
HALF_LIVES_A_LANDMARK = 16
HOURS_A_DAY = 24


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

    def term(self, weight: Column, hour: Column) -> Column:
        """What an event (or several) of `weight` adds to a sum: a 64-bit integer."""
        growth = F.pow(F.lit(2.0), (hour - F.lit(self.landmark)) / F.lit(self.half_life))
        return F.round(weight * growth * F.lit(float(UNIT))).cast("long")

    def value(self, total: Column, hour: int) -> Column:
        """The decayed count at `hour` of a sum of terms, as a double; an event in that hour counts its weight."""
        return total * F.lit(self.factor(hour))

    def factor(self, hour: int) -> float:
        return 2.0 ** ((self.landmark - hour) / self.half_life) / UNIT

    def moved(self, total: Column, older: Decay) -> Column:
        """A sum relative to an older landmark, relative to this one; half a unit at most is lost in rounding."""
        if older == self:
            return total
        if older.half_life != self.half_life:
            raise ValueError(
                f"a state with a half-life of {older.half_life} h can't go on with {self.half_life} h; "
                "roll up again from the start with --from-empty"
            )
        shift = 2.0 ** ((older.landmark - self.landmark) / self.half_life)
        return F.round(total * F.lit(shift)).cast("long")
