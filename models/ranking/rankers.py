"""Two ways to order what may stand in a personal list, and the rules that cut it to size.

`Blend` needs the factors alone: their affinity, and a share for what was bought before. `Learned` knows more, and what
each thing is worth (models/ranking/purchase_model.py).
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from typing import Protocol

import numpy as np
import numpy.typing as npt

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

NEVER, ALWAYS = 0.0, float("inf")  # days for which what was bought is left out
USERS = 256  # ranked at a time
# Where lists are to be varied, so many times their length is looked at.
WIDER = 4


@dataclass(frozen=True)
class ListRules:
    """What a list of n items may hold.

    `masked_days`: what was bought within so many days is left out. `categories` (products,), by product number, NONE
    for none; at most `most` of one stand in a list, 0 for any number; each that stands there already costs the next of
    its kind `penalty` of its score (Learned: of its log-odds).
    """

    n: int
    masked_days: float = NEVER
    categories: Ints | None = None
    most: int = 0
    penalty: float = 0.0

    @property
    def width(self) -> int:
        """How many candidates of a user are needed."""
        return self.n if self.categories is None else WIDER * self.n

    def cut(self, items: Ints, scores: Floats) -> Lists:
        """Of candidates (m, k), best first, lists (m, n)."""
        if self.categories is None:
            return items[:, : self.n], scores[:, : self.n]
        return mmr_lists(items, scores, self.categories, min(self.n, items.shape[1]), self.most, self.penalty)


class Ranker(Protocol):
    """Orders the candidates of users with factors (m, d). Prepared once for the same products."""

    def bound_to(self, best: InnerProductIndex) -> BoundRanker: ...


class BoundRanker(Protocol):
    def lists(self, factors: Floats, history: PurchaseHistory, rules: ListRules) -> Lists:
        """Lists (m, min(n, products)), NO_ITEM where there is nothing more; and scores, falling, 0 there."""


@dataclass(frozen=True)
class BlendRanker:
    """(1 - weight) x affinity + weight x strength / the user's largest strength."""

    weight: float

    def bound_to(self, best: InnerProductIndex) -> BoundRanker:
        return _Blended(best, self.weight)


@dataclass(frozen=True)
class _Blended:
    best: InnerProductIndex
    weight: float

    def lists(self, factors: Floats, history: PurchaseHistory, rules: ListRules) -> Lists:
        weight = None if rules.masked_days == ALWAYS else self.weight
        masked = history.days < rules.masked_days if 0 < rules.masked_days < ALWAYS else None
        width = min(rules.width, len(self.best.vectors))
        items, scores = rules.cut(*search_top_items(self.best, factors, history.bought, width, weight, masked))
        # In a small catalogue, or with a penalty, lists reach products with a negative score. A record has none.
        return items, np.maximum(scores, np.float32(0))


@dataclass(frozen=True)
class LearnedRanker:
    """By a `Ranking`: what was bought before, and so many candidates beside it. `categories` (products,)."""

    ranking: PurchaseModel
    figures: ItemStatistics
    categories: Ints
    candidates: int

    def bound_to(self, best: InnerProductIndex) -> BoundLearnedRanker:
        return BoundLearnedRanker(self.ranking, item_features(best, self.categories, self.figures), self.candidates)


@dataclass(frozen=True)
class BoundLearnedRanker:
    ranking: PurchaseModel
    shelf: ItemFeatures
    candidates: int

    def lists(self, factors: Floats, history: PurchaseHistory, rules: ListRules) -> Lists:
        n = min(rules.n, len(self.shelf.best.vectors))
        items, scores = np.full((len(factors), n), NO_ITEM, np.int32), np.zeros((len(factors), n), np.float32)
        for start, end in _stretches(len(factors)):
            some, odds = self._best(factors[start:end], history.rows(start, end), rules)
            chosen, values = rules.cut(some, odds)
            items[start:end, : chosen.shape[1]] = chosen
            scores[start:end, : chosen.shape[1]] = np.where(chosen == NO_ITEM, 0, probability(values))
        return items, scores

    def log_odds(self, factors: Floats, history: PurchaseHistory, candidates: Candidates) -> npt.NDArray[np.float64]:
        """Of candidates (c,), shape (c,)."""
        odds, is_owned = np.zeros(len(candidates.items)), candidates.is_owned
        for regression, some in ((self.ranking.owned, is_owned), (self.ranking.fresh, ~is_owned)):
            features = candidate_features(self.shelf, factors, history, candidates.where(some), regression.features)
            odds[some] = regression.log_odds(features)
        return odds

    def _best(self, factors: Floats, history: PurchaseHistory, rules: ListRules) -> Lists:
        candidates = generate_candidates(self.shelf, factors, history, self.candidates)
        if rules.masked_days > 0:
            left = np.ones(len(candidates.items), bool)
            own = candidates.entries[candidates.is_owned]
            left[candidates.is_owned] = history.days[own] >= rules.masked_days
            candidates = candidates.where(left)
        odds = self.log_odds(factors, history, candidates)
        return top_candidates(candidates, odds, len(factors), min(rules.width, len(self.shelf.best.vectors)))


def top_candidates(candidates: Candidates, odds: npt.NDArray[np.float64], users: int, width: int) -> Lists:
    """The `width` best candidates of each user, ties to the lower number, as matrices (users, width)."""
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
