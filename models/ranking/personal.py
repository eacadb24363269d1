"""Personal lists from the factors, for what a user may like, and the purchase history, for what is bought again."""

from __future__ import annotations

import numpy as np
import numpy.typing as npt

from larder.models.interactions.purchase_history import UserItems
from larder.models.search.mips import EXCLUDED, InnerProductIndex

Floats = npt.NDArray[np.float32]
Ints = npt.NDArray[np.int32]

NO_ITEM = -1


def top_items(
    user_factors: Floats,
    item_factors: Floats,
    owned: UserItems,
    n: int,
    rebuy_weight: float | None,
    allowed: npt.NDArray[np.bool_] | None = None,
) -> tuple[Ints, Floats]:
    """Returns the n best items of every user, exactly, best first; ties go to the lower item number.

    Args:
        user_factors: shape (m, d). item_factors: shape (i, d).
        rebuy_weight: None leaves out what a user bought before. With a weight w the score of item i is
            (1 - w) * affinity(i) + w * strength(i) / (the user's largest strength).
        allowed: shape (i,); items not allowed are left out.
    Returns:
        Items (m, n), NO_ITEM where there are fewer than n; scores (m, n), 0 there.
    """
    n = min(n, len(item_factors))
    if n == 0:
        return np.zeros((len(user_factors), 0), np.int32), np.zeros((len(user_factors), 0), np.float32)
    return search_top_items(InnerProductIndex(item_factors, allowed), user_factors, owned, n, rebuy_weight)


def search_top_items(
    index: InnerProductIndex,
    user_factors: Floats,
    owned: UserItems,
    n: int,
    rebuy_weight: float | None,
    masked: npt.NDArray[np.bool_] | None = None,
) -> tuple[Ints, Floats]:
    """Returns `top_items` of an index, at most n of them, without the owned items that are `masked` (k,)."""
    if rebuy_weight is None:
        items, scores = index.search(user_factors, owned.offsets, owned.items, None, n)
    else:
        largest = np.zeros(len(user_factors), np.float32)
        np.maximum.at(largest, owned.users, owned.strengths)
        extra = rebuy_weight * owned.strengths / np.maximum(largest[owned.users], 1e-30)
        if masked is not None:
            extra = np.where(masked, EXCLUDED, extra)
        weighed = user_factors * np.float32(1 - rebuy_weight)
        items, scores = index.search(weighed, owned.offsets, owned.items, extra, n)
    return items, np.where(items == NO_ITEM, np.float32(0), scores)
