"""What users bought, as arrays: the items of all users one after the other, as in an Arrow list array."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
import numpy.typing as npt

Floats = npt.NDArray[np.float32]


@dataclass(frozen=True)
class UserItems:
    """The items of each user and their strengths; those of user i are at offsets[i]:offsets[i + 1].

    items, shape (k,): item numbers; strengths, shape (k,): decayed counts, positive.
    """

    offsets: npt.NDArray[np.integer]
    items: npt.NDArray[np.integer]
    strengths: Floats

    def rows(self, start: int, end: int) -> UserItems:
        """Returns the items of users start to end (exclusive) alone."""
        low, high = self.offsets[start], self.offsets[end]
        offsets = self.offsets[start : end + 1] - low
        return UserItems(offsets, self.items[low:high], self.strengths[low:high])

    @property
    def users(self) -> npt.NDArray[np.int64]:
        """The user of each item, shape (k,)."""
        return np.repeat(np.arange(len(self.offsets) - 1), np.diff(self.offsets))


@dataclass(frozen=True)
class PurchaseHistory:
    """The items that users bought and, for each, shape (k,), the number of purchases and the days since the last."""

    bought: UserItems
    purchases: Floats
    days: Floats

    def rows(self, start: int, end: int) -> PurchaseHistory:
        """Returns the history of users start to end (exclusive) alone."""
        low, high = self.bought.offsets[start], self.bought.offsets[end]
        return PurchaseHistory(self.bought.rows(start, end), self.purchases[low:high], self.days[low:high])
