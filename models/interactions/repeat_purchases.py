"""Repeat purchases: whether the cookies of a shop buy the same product again, as in groceries and unlike in films."""

from __future__ import annotations

from dataclasses import dataclass

from pyspark.sql import DataFrame
from pyspark.sql import functions as F

from larder.models import columns as C

LEAST_SHARE = 0.05  # of pairs bought again, for repeats to matter in a list's first places
LEAST_PAIRS = 1000  # fewer pairs, as of a shop's first days, say nothing


@dataclass(frozen=True)
class RepeatPurchases:
    """The number of pairs of cookie and product that were bought, and of those that were bought again."""

    pairs: int
    again: int

    @property
    def percent(self) -> float:
        """The share of pairs that were bought again, in percent; 0 if nothing was bought."""
        return 100 * self.again / max(self.pairs, 1)

    @property
    def are_usual(self) -> bool:
        """False only if there are at least LEAST_PAIRS pairs and less than LEAST_SHARE of them were bought again."""
        return self.pairs < LEAST_PAIRS or self.again >= LEAST_SHARE * self.pairs


def repeat_purchases(interactions: DataFrame) -> RepeatPurchases:
    """Returns the repeat purchases in INTERACTIONS: one pass over one column, without a shuffle of rows."""
    counts = [F.count_if(F.col(C.PURCHASES) > least) for least in (0, 1)]
    pairs, again = interactions.agg(*counts).first() or (0, 0)
    return RepeatPurchases(pairs, again)
