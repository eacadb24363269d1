"""Popularity at the place that a user visits, which is the list of a newcomer there: a baseline of personal lists."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
import numpy.typing as npt
from pyspark.sql import DataFrame, Window
from pyspark.sql import functions as F

from larder.models import columns as C
from larder.models.arrow_frames import to_arrow
from larder.models.interactions.purchase_history import UserItems

Ints = npt.NDArray[np.integer]
MOST = 2_000  # ranked items of a place: enough for a full list when what a user owns is left out
NO_PLACE = -1


@dataclass(frozen=True)
class PlacePopularity:
    """The items of each place, most popular first, and the place of each user.

    offsets (places + 1,) and items (k,): those of place p are items[offsets[p]:offsets[p + 1]]. of_user (users,): the
    number of a place, NO_PLACE for none.
    """

    offsets: Ints
    items: Ints
    of_user: Ints

    def lists(self, n: int, left_out: UserItems | None = None) -> npt.NDArray[np.int32]:
        """Returns the n most popular items of each user's place, shape (users, n), -1 where there are no more.

        left_out: items of each user that its list may not hold.
        """
        found = np.full((len(self.of_user), n), -1, np.int32)
        for user, place in enumerate(self.of_user.tolist()):
            if place == NO_PLACE:
                continue
            items = self.items[self.offsets[place] : self.offsets[place + 1]]
            if left_out is not None:
                owned = left_out.items[left_out.offsets[user] : left_out.offsets[user + 1]]
                items = items[~np.isin(items, owned)]
            found[user, : len(items[:n])] = items[:n]
        return found


def place_popularity(
    contexts: DataFrame, numbers: DataFrame, visits: DataFrame, cookies: npt.NDArray[np.int64]
) -> PlacePopularity:
    """Returns the popularity at the place of the first visit of each of `cookies`, whose keys rise.

    Args: `contexts` has the columns of CONTEXTS, `numbers` those of PRODUCT_NUMBERS; `visits` has COOKIE_KEY, LOCATION
    and HOUR. A visit without a location does not count.
    """
    known = visits.where(F.col(C.LOCATION) != "")
    first = known.groupBy(C.COOKIE_KEY).agg(F.min(F.struct(C.HOUR, C.LOCATION))[C.LOCATION].alias(C.LOCATION))
    place_of = to_arrow(first)
    places, numbered = np.unique(place_of[C.LOCATION].to_numpy(zero_copy_only=False).astype(str), return_inverse=True)
    of_user = np.full(len(cookies), NO_PLACE, np.int64)
    of_user[np.searchsorted(cookies, place_of[C.COOKIE_KEY].to_numpy())] = numbered
    some = contexts.sparkSession.createDataFrame([(place,) for place in places.tolist()], f"{C.LOCATION} string")
    summed = (
        contexts.join(F.broadcast(some), C.LOCATION, "left_semi")
        .join(F.broadcast(numbers), C.PRODUCT_ID)
        .groupBy(C.LOCATION, C.PRODUCT_NUMBER)
        .agg(F.sum(C.STRENGTH).alias("_sum"))
    )
    best = Window.partitionBy(C.LOCATION).orderBy(F.desc("_sum"), C.PRODUCT_NUMBER)
    ranked = summed.withColumn("_rank", F.row_number().over(best)).where(F.col("_rank") <= MOST)
    table = to_arrow(ranked.orderBy(C.LOCATION, "_rank"))
    # Spark orders texts by their UTF-8 bytes, Python by code points: the same order.
    at = np.searchsorted(places, table[C.LOCATION].to_numpy(zero_copy_only=False).astype(str))
    offsets = np.searchsorted(at, np.arange(len(places) + 1))
    return PlacePopularity(offsets, table[C.PRODUCT_NUMBER].to_numpy(), of_user)
