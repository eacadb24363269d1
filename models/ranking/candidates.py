"""Candidate generation and candidate features: a row for each pair of a user and a product that its list may hold.

A user's candidates are what it bought before, and the best of all other products by the factors.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
import numpy.typing as npt

from larder.kernels import kernel
from larder.models.encoding.category_paths import CategoryLevels
from larder.models.interactions.item_statistics import ItemStatistics
from larder.models.interactions.purchase_history import PurchaseHistory, UserItems
from larder.models.search.mips import InnerProductIndex

Floats = npt.NDArray[np.float32]
Ints = npt.NDArray[np.int32]
Flags = npt.NDArray[np.bool_]

# Added to a share or a strength before its logarithm is taken, so that 0 has one.
LEAST_SHARE, LEAST_STRENGTH = 1e-4, 0.01
LEAST_AFFINITY = 1e-4  # an affinity may be negative, and then has no logarithm
# The prior of the share of buyers who buy again: one of five, worth five buyers.
PRIOR_AGAIN, PRIOR_BUYERS = 1.0, 5.0
USERS = 256  # users whose strengths by category are in memory at a time
OF_ITEMS = ("month", "week", "buyers", "repeat")
OF_TASTE = ("affinity", "log affinity", "category", "broader category", "breadth")
OF_HISTORY = ("strength", "purchases", "days")
# The features of items that are new to the user, and of those that it bought before.
OF_NEW = (*OF_TASTE, *OF_ITEMS)
OF_OWNED = (*OF_HISTORY, "affinity", "category", *OF_ITEMS)
FEATURES = (*OF_HISTORY, *OF_NEW)


@dataclass(frozen=True)
class ItemFeatures:
    """What is known of the items, the same for all users.

    index: their factors, and which may be listed. categories: their category paths. logs: the features OF_ITEMS, each
    of shape (products,).
    """

    index: InnerProductIndex
    categories: CategoryLevels
    logs: dict[str, Floats]


def item_features(index: InnerProductIndex, categories: CategoryLevels, figures: ItemStatistics) -> ItemFeatures:
    """Returns the features of the items: logarithms of their counts, and of the smoothed share who bought again."""
    logs = {
        "month": np.log1p(figures.month),
        "week": np.log1p(figures.week),
        "buyers": np.log1p(figures.buyers),
        "repeat": np.log((figures.again + PRIOR_AGAIN) / (figures.buyers + PRIOR_BUYERS)),
    }
    return ItemFeatures(index, categories, logs)


@dataclass(frozen=True)
class Candidates:
    """Pairs of user and item, each of shape (c,), sorted by user, then item.

    users: rows of a batch. items: item numbers. entries: where the pair stands in the users' history, -1 for an item
    that the user never bought.
    """

    users: npt.NDArray[np.int64]
    items: npt.NDArray[np.int64]
    entries: npt.NDArray[np.int64]

    @property
    def is_owned(self) -> Flags:
        return self.entries >= 0

    def where(self, some: Flags) -> Candidates:
        return Candidates(self.users[some], self.items[some], self.entries[some])


def generate_candidates(known: ItemFeatures, user_factors: Floats, history: PurchaseHistory, n: int) -> Candidates:
    """Returns the candidates of users with factors (m, d): what they bought, and the n best of all other items."""
    index, owned, products = known.index, history.bought, len(known.index.vectors)
    found, _ = index.search(user_factors, owned.offsets, owned.items, None, min(n, products))
    fresh = (np.arange(len(found))[:, None] * products + found)[found >= 0]
    entries = np.flatnonzero(index.allowed[owned.items])
    keys = np.concatenate([owned.users[entries] * products + owned.items[entries], fresh])
    entry = np.concatenate([entries, np.full(len(fresh), -1, np.int64)])
    order = np.argsort(keys, kind="stable")
    return Candidates(keys[order] // products, keys[order] % products, entry[order])


def candidate_features(
    known: ItemFeatures, user_factors: Floats, history: PurchaseHistory, candidates: Candidates, names: Sequence[str]
) -> npt.NDArray[np.float64]:
    """Returns the named features of candidates, shape (c, len(names)). Those OF_HISTORY are 0 if never bought."""
    return np.stack([_feature(known, user_factors, history, candidates, name) for name in names], axis=1)


def _feature(
    known: ItemFeatures, user_factors: Floats, history: PurchaseHistory, candidates: Candidates, name: str
) -> npt.NDArray[np.float64]:
    users, items, entries = candidates.users, candidates.items, candidates.entries
    if name in OF_ITEMS:
        return known.logs[name][items].astype(np.float64)
    if name in OF_HISTORY:
        of_entry = _of_entries(history, name)
        return np.where(entries >= 0, of_entry[entries], 0.0) if len(of_entry) else np.zeros(len(items))
    if name in ("affinity", "log affinity"):
        affinity = pair_dots(users, items, np.ascontiguousarray(user_factors, np.float32), known.index.vectors)
        return affinity if name == "affinity" else np.log(np.maximum(affinity, LEAST_AFFINITY))
    if name == "breadth":
        return np.log1p(np.diff(history.bought.offsets), dtype=np.float64)[users]
    codes = known.categories.whole if name == "category" else known.categories.broader
    return np.log(_shares(history, codes, users, items) + LEAST_SHARE)


def _of_entries(history: PurchaseHistory, name: str) -> npt.NDArray[np.float64]:
    if name == "strength":
        return np.log(history.bought.strengths + LEAST_STRENGTH, dtype=np.float64)
    values = history.purchases if name == "purchases" else np.maximum(history.days, 0)
    return np.log1p(values, dtype=np.float64)


def _shares(
    history: PurchaseHistory, codes: Ints, users: npt.NDArray[np.int64], items: npt.NDArray[np.int64]
) -> npt.NDArray[np.float64]:
    """Returns the share of a user's strengths that is in the item's category, for each pair, shape (c,).

    It is 0 for an item without a category. `users` rise, as in Candidates.
    """
    owned, found = history.bought, np.zeros(len(users))
    for start in range(0, len(owned.offsets) - 1, USERS):
        end = min(start + USERS, len(owned.offsets) - 1)
        low, high = np.searchsorted(users, (start, end))
        found[low:high] = _shares_of(owned.rows(start, end), codes, users[low:high] - start, items[low:high])
    return found


def _shares_of(
    owned: UserItems, codes: Ints, users: npt.NDArray[np.int64], items: npt.NDArray[np.int64]
) -> npt.NDArray[np.float64]:
    kinds = int(codes.max(initial=-1)) + 1
    sums = np.zeros((len(owned.offsets) - 1, kinds + 1))
    np.add.at(sums, (owned.users, codes[owned.items]), owned.strengths)  # NO_CATEGORY, -1, is the last column
    total = np.maximum(sums.sum(axis=1), 1e-12)
    sums[:, kinds] = 0
    return sums[users, codes[items]] / total[users]


@kernel
def pair_dots(
    users: npt.NDArray[np.int64], items: npt.NDArray[np.int64], left: Floats, right: Floats
) -> npt.NDArray[np.float64]:
    """Returns the inner products of rows left[users] and right[items], shape (c,), each summed in the same order."""
    found = np.zeros(len(users))
    for at in range(len(users)):
        total = 0.0
        for k in range(left.shape[1]):
            total += left[users[at], k] * right[items[at], k]
        found[at] = total
    return found
