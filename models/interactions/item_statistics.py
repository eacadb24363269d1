"""Statistics of each product over all cookies: its buyers, repeat buyers and recent buyers."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
import numpy.typing as npt
from pyspark.sql import DataFrame
from pyspark.sql import functions as F

from larder.models import columns as C
from larder.models.arrow_frames import to_arrow
from larder.models.hours import HOURS_A_DAY
from larder.models.interactions.repeat_purchases import RepeatPurchases

Floats = npt.NDArray[np.float32]
MONTH_DAYS, WEEK_DAYS = 28, 7


@dataclass(frozen=True)
class ItemStatistics:
    """Counts of cookies by product number, each of shape (products,).

    buyers: ever bought the product. again: bought it more than once. month, week: bought it last within 28 or 7 days.
    """

    buyers: Floats
    again: Floats
    month: Floats
    week: Floats

    @property
    def repeat_purchases(self) -> RepeatPurchases:
        """The repeat purchases of all products together."""
        return RepeatPurchases(int(self.buyers.sum(dtype=np.float64)), int(self.again.sum(dtype=np.float64)))


def item_statistics(interactions: DataFrame, numbers: DataFrame, products: int, as_of: int) -> ItemStatistics:
    """Returns the statistics as of hour `as_of`.

    Args: `interactions` has the columns of INTERACTIONS, `numbers` those of PRODUCT_NUMBERS, all below `products`.
    """
    bought, last = F.col(C.PURCHASES) > 0, F.col(C.LAST_PURCHASE_HOUR)
    counted = {
        "buyers": bought,
        "again": F.col(C.PURCHASES) > 1,
        "month": bought & (last >= as_of - MONTH_DAYS * HOURS_A_DAY),
        "week": bought & (last >= as_of - WEEK_DAYS * HOURS_A_DAY),
    }
    sums = [F.count_if(condition).alias(name) for name, condition in counted.items()]
    table = to_arrow(interactions.groupBy(C.PRODUCT_ID).agg(*sums).join(F.broadcast(numbers), C.PRODUCT_ID))
    at = table[C.PRODUCT_NUMBER].to_numpy()
    figures = {name: np.zeros(products, np.float32) for name in counted}
    for name, values in figures.items():
        values[at] = table[name].to_numpy()
    return ItemStatistics(**figures)
