"""Personal lists: factors for what a user may like, and the user's own history for what is bought again."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
import numpy.typing as npt

from larder.models.search.mips import LEFT_OUT, BestItems

Floats = npt.NDArray[np.float32]
Ints = npt.NDArray[np.int32]

NO_ITEM = -1


@dataclass(frozen=True)
class Owned:
    """What users bought before, user i's at offsets[i]:offsets[i + 1] (as in an Arrow list array).

    items, shape (k,): item numbers; strengths, shape (k,): decayed counts, positive.
    """

    offsets: npt.NDArray[np.integer]
    items: npt.NDArray[np.integer]
    strengths: Floats

    def rows(self, start: int, end: int) -> Owned:
        """The same for users start to end alone."""
        low, high = self.offsets[start], self.offsets[end]
        offsets = self.offsets[start : end + 1] - low
        return Owned(offsets, self.items[low:high], self.strengths[low:high])

    @property
    def users(self) -> npt.NDArray[np.int64]:
        """The user of each item, shape (k,)."""
        return np.repeat(np.arange(len(self.offsets) - 1), np.diff(self.offsets))


@dataclass(frozen=True)
class History:
    """What users own and, of each of those items, shape (k,): how often it was bought, and days since it last was."""

    owned: Owned
    purchases: Floats
    days: Floats

    def rows(self, start: int, end: int) -> History:
        """The same for users start to end alone."""
        low, high = self.owned.offsets[start], self.owned.offsets[end]
        return History(self.owned.rows(start, end), self.purchases[low:high], self.days[low:high])


def top_items(
    user_factors: Floats,
    item_factors: Floats,
    owned: Owned,
    n: int,
    rebuy_weight: float | None,
    allowed: npt.NDArray[np.bool_] | None = None,
) -> tuple[Ints, Floats]:
    """The n best items of every user, exactly, best first; ties go to the lower item number.

    Args:
        user_factors: shape (m, d). item_factors: shape (i, d).
        rebuy_weight: None leaves out what a user bought before. Otherwise w: the score of item i is
            (1 - w) x affinity(i) + w x strength(i) / (the user's largest strength).
        allowed: shape (i,); items not allowed are left out.
    Returns:
        Items (m, n), NO_ITEM where there are fewer than n; scores (m, n), 0 there.
    """
    n = min(n, len(item_factors))
    if n == 0:
        return np.zeros((len(user_factors), 0), np.int32), np.zeros((len(user_factors), 0), np.float32)
    return top_items_of(BestItems(item_factors, allowed), user_factors, owned, n, rebuy_weight)


def top_items_of(
    best: BestItems,
    user_factors: Floats,
    owned: Owned,
    n: int,
    rebuy_weight: float | None,
    masked: npt.NDArray[np.bool_] | None = None,
) -> tuple[Ints, Floats]:
    """`top_items` for items that are prepared already, n of them at most, less what is `masked` (k,) of the owned."""
    if rebuy_weight is None:
        items, scores = best.of(user_factors, owned.offsets, owned.items, None, n)
    else:
        largest = np.zeros(len(user_factors), np.float32)
        np.maximum.at(largest, owned.users, owned.strengths)
        extra = rebuy_weight * owned.strengths / np.maximum(largest[owned.users], 1e-30)
        if masked is not None:
            extra = np.where(masked, LEFT_OUT, extra)
        weighed = user_factors * np.float32(1 - rebuy_weight)
        items, scores = best.of(weighed, owned.offsets, owned.items, extra, n)
    return items, np.where(items == NO_ITEM, np.float32(0), scores)
