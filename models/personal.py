"""Personal lists: factors for what a user may like, and the user's own history for what is bought again."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
import numpy.typing as npt

from models.neighbours import best_columns

Floats = npt.NDArray[np.float32]
Ints = npt.NDArray[np.int32]

BLOCK_BYTES = 64 << 20
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
    items = np.full((len(user_factors), n), NO_ITEM, np.int32)
    scores = np.zeros((len(user_factors), n), np.float32)
    rows = max(1, BLOCK_BYTES // (4 * max(1, len(item_factors))))
    for start in range(0, len(user_factors), rows):
        end = min(start + rows, len(user_factors))
        block = user_factors[start:end] @ item_factors.T
        _weigh(block, owned.rows(start, end), rebuy_weight)
        if allowed is not None:
            block[:, ~allowed] = -np.inf
        items[start:end], scores[start:end] = best_columns(block, n)
    missing = np.isneginf(scores)
    items[missing], scores[missing] = NO_ITEM, 0
    return items, scores


def _weigh(affinity: Floats, owned: Owned, rebuy_weight: float | None) -> None:
    """Turns affinities into scores, in place."""
    users = owned.users
    if rebuy_weight is None:
        affinity[users, owned.items] = -np.inf
        return
    largest = np.zeros(len(affinity), np.float32)
    np.maximum.at(largest, users, owned.strengths)
    affinity *= 1 - rebuy_weight
    affinity[users, owned.items] += rebuy_weight * owned.strengths / np.maximum(largest[users], 1e-30)
