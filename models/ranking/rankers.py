"""Rankers: three ways to order a user's candidates, from simple to rich, and the rules for what a list may hold.

`PopularityRanker` needs only a count of each item, and `BlendRanker` only the factors; both give what the user bought
before an extra. `LearnedRanker` orders by the purchase model (models/ranking/purchase_model.py), which knows more
features and their weights.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from typing import Protocol

import numpy as np
import numpy.typing as npt

from larder.models.encoding.category_paths import CategoryLevels
from larder.models.interactions.item_statistics import ItemStatistics
from larder.models.interactions.purchase_history import PurchaseHistory
from larder.models.ranking.candidates import (
    Candidates,
    ItemFeatures,
    candidate_features,
    generate_candidates,
    item_features,
)
from larder.models.ranking.mmr import mmr_lists
from larder.models.ranking.personal import NO_ITEM, search_top_items
from larder.models.ranking.purchase_model import PurchaseModel, probability
from larder.models.search.mips import InnerProductIndex

Floats = npt.NDArray[np.float32]
Ints = npt.NDArray[np.int32]
Flags = npt.NDArray[np.bool_]
Lists = tuple[Ints, Floats]

NEVER, ALWAYS = 0.0, float("inf")  # days for which bought items are left out
USERS = 256  # users ranked at a time
# Lists with limits by category are chosen from so many times as many candidates.
WIDER = 4


@dataclass(frozen=True)
class ListRules:
    """What a list of n items may hold.

    masked_days: items bought within so many days are left out. categories (products,): a category by product number,
    NO_CATEGORY for none; a list holds at most `most` items of one category, 0 for any number, and each item in the list
    takes `penalty` from the scores of its category (LearnedRanker: from the log-odds).
    """

    n: int
    masked_days: float = NEVER
    categories: Ints | None = None
    most: int = 0
    penalty: float = 0.0

    @property
    def width(self) -> int:
        """The number of candidates that each user needs."""
        return self.n if self.categories is None else WIDER * self.n

    def cut(self, items: Ints, scores: Floats) -> Lists:
        """Returns lists (m, n) of candidates (m, k), best first."""
        if self.categories is None:
            return items[:, : self.n], scores[:, : self.n]
        return mmr_lists(items, scores, self.categories, min(self.n, items.shape[1]), self.most, self.penalty)


class Ranker(Protocol):
    """Orders candidates of users; bound once to the items that may be listed."""

    def bound_to(self, index: InnerProductIndex) -> BoundRanker: ...


class BoundRanker(Protocol):
    def lists(self, factors: Floats, history: PurchaseHistory, rules: ListRules) -> Lists:
        """Lists (m, min(n, products)), NO_ITEM where there is nothing more; and scores, falling, 0 there."""


@dataclass(frozen=True)
class PopularityRanker:
    """Scores (1 - weight) * count / the largest count + weight * strength / the user's largest strength.

    counts, shape (items,): how popular each item is, the same for all users.
    """

    counts: Floats
    weight: float

    def bound_to(self, index: InnerProductIndex) -> BoundRanker:
        shares = self.counts / max(float(self.counts.max(initial=0)), 1.0)
        of_counts = InnerProductIndex(shares[:, None].astype(np.float32), index.allowed)
        return _BoundPopularity(_BoundBlend(of_counts, self.weight))


@dataclass(frozen=True)
class _BoundPopularity:
    blend: _BoundBlend

    def lists(self, factors: Floats, history: PurchaseHistory, rules: ListRules) -> Lists:
        return self.blend.lists(np.ones((len(factors), 1), np.float32), history, rules)


@dataclass(frozen=True)
class BlendRanker:
    """Scores (1 - weight) * affinity + weight * strength / the user's largest strength."""

    weight: float

    def bound_to(self, index: InnerProductIndex) -> BoundRanker:
        return _BoundBlend(index, self.weight)


@dataclass(frozen=True)
class _BoundBlend:
    index: InnerProductIndex
    weight: float

    def lists(self, factors: Floats, history: PurchaseHistory, rules: ListRules) -> Lists:
        weight = None if rules.masked_days == ALWAYS else self.weight
        masked = history.days < rules.masked_days if 0 < rules.masked_days < ALWAYS else None
        width = min(rules.width, len(self.index.vectors))
        items, scores = rules.cut(*search_top_items(self.index, factors, history.bought, width, weight, masked))
        # In a small catalogue, or with a penalty, lists reach products with a negative score. A record has none.
        return items, np.maximum(scores, np.float32(0))


@dataclass(frozen=True)
class LearnedRanker:
    """Orders what a user bought before, and so many other `candidates`, by a purchase model."""

    ranking: PurchaseModel
    figures: ItemStatistics
    categories: CategoryLevels
    candidates: int

    def bound_to(self, index: InnerProductIndex) -> BoundLearnedRanker:
        return BoundLearnedRanker(self.ranking, item_features(index, self.categories, self.figures), self.candidates)


@dataclass(frozen=True)
class BoundLearnedRanker:
    ranking: PurchaseModel
    items: ItemFeatures
    candidates: int

    def lists(self, factors: Floats, history: PurchaseHistory, rules: ListRules) -> Lists:
        n = min(rules.n, len(self.items.index.vectors))
        items, scores = np.full((len(factors), n), NO_ITEM, np.int32), np.zeros((len(factors), n), np.float32)
        for start, end in _stretches(len(factors)):
            some, odds = self._best(factors[start:end], history.rows(start, end), rules)
            chosen, values = rules.cut(some, odds)
            items[start:end, : chosen.shape[1]] = chosen
            scores[start:end, : chosen.shape[1]] = np.where(chosen == NO_ITEM, 0, probability(values))
        return items, scores

    def log_odds(self, factors: Floats, history: PurchaseHistory, candidates: Candidates) -> npt.NDArray[np.float64]:
        """Returns the log-odds of candidates, shape (c,)."""
        odds, is_owned = np.zeros(len(candidates.items)), candidates.is_owned
        for regression, some in ((self.ranking.owned, is_owned), (self.ranking.fresh, ~is_owned)):
            features = candidate_features(self.items, factors, history, candidates.where(some), regression.features)
            odds[some] = regression.log_odds(features)
        return odds

    def _best(self, factors: Floats, history: PurchaseHistory, rules: ListRules) -> Lists:
        candidates = generate_candidates(self.items, factors, history, self.candidates)
        if rules.masked_days > 0:
            left = np.ones(len(candidates.items), bool)
            own = candidates.entries[candidates.is_owned]
            left[candidates.is_owned] = history.days[own] >= rules.masked_days
            candidates = candidates.where(left)
        odds = self.log_odds(factors, history, candidates)
        return top_candidates(candidates, odds, len(factors), min(rules.width, len(self.items.index.vectors)))


def top_candidates(candidates: Candidates, odds: npt.NDArray[np.float64], users: int, width: int) -> Lists:
    """Returns the `width` best candidates of each user, ties to the lower number: items and scores (users, width)."""
    order = np.lexsort((candidates.items, -odds, candidates.users))
    rows = candidates.users[order]
    place = np.arange(len(rows)) - np.searchsorted(rows, np.arange(users))[rows]
    kept = place < width
    items, scores = np.full((users, width), NO_ITEM, np.int32), np.zeros((users, width), np.float32)
    items[rows[kept], place[kept]] = candidates.items[order][kept]
    scores[rows[kept], place[kept]] = odds[order][kept]
    return items, scores


def _stretches(users: int) -> Iterator[tuple[int, int]]:
    return ((start, min(start + USERS, users)) for start in range(0, users, USERS))
