"""Popularity at the place that a user visits: a baseline of personal lists. A newcomer there gets such a list."""

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
MOST = 2_000  # ranked items of a place, so that a list is still full when what its user owns is left out
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
) -> PlacePopularity | None:
    """Returns the popularity at the place that each of `cookies` visits first, or None if no visit has a location.

    Args: `contexts` has the columns of CONTEXTS, `numbers` those of PRODUCT_NUMBERS, `visits` COOKIE_KEY, LOCATION and
    HOUR; `cookies` (users,) are cookie keys in ascending order. A place's counts are its own, not smoothed by others.
    """
    known = visits.where(F.col(C.LOCATION) != "")
    first = known.groupBy(C.COOKIE_KEY).agg(F.min(F.struct(C.HOUR, C.LOCATION))[C.LOCATION].alias(C.LOCATION))
    visited = to_arrow(first)
    names = visited[C.LOCATION].to_pylist()
    number_of = {name: number for number, name in enumerate(sorted(set(names)))}
    if not number_of:
        return None
    of_user = np.full(len(cookies), NO_PLACE, np.int64)
    of_user[np.searchsorted(cookies, visited[C.COOKIE_KEY].to_numpy())] = [number_of[name] for name in names]
    places = contexts.sparkSession.createDataFrame(list(number_of.items()), f"{C.LOCATION} string, _place int")
    summed = (
        contexts.join(F.broadcast(places), C.LOCATION)
        .join(F.broadcast(numbers), C.PRODUCT_ID)
        .groupBy("_place", C.PRODUCT_NUMBER)
        .agg(F.sum(C.STRENGTH).alias("_sum"))
    )
    best = Window.partitionBy("_place").orderBy(F.desc("_sum"), C.PRODUCT_NUMBER)
    ranked = summed.withColumn("_rank", F.row_number().over(best)).where(F.col("_rank") <= MOST)
    table = to_arrow(ranked.orderBy("_place", "_rank").select("_place", C.PRODUCT_NUMBER))
    offsets = np.searchsorted(table["_place"].to_numpy(), np.arange(len(number_of) + 1))
    return PlacePopularity(offsets, table[C.PRODUCT_NUMBER].to_numpy(), of_user)
