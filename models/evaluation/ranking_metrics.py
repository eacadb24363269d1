"""Ranking metrics of lists against what users bought afterwards: NDCG, recall, hit rate, diversity, novelty."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, replace

import numpy as np
import numpy.typing as npt

Ints = npt.NDArray[np.integer]
Floats = npt.NDArray[np.float64]
Means = dict[str, float | list[float]]
NDCG_AT, RECALL_AT, HIT_AT = 10, 30, 10
DIVERSITY_AT = 10


@dataclass(frozen=True)
class GroundTruth:
    """The relevant items of each user, which they bought afterwards: unique pairs of user and item, shape (k,) each."""

    users: Ints
    items: Ints
    n_users: int
    n_items: int

    @property
    def sizes(self) -> npt.NDArray[np.int64]:
        """The number of relevant items of each user, shape (n_users,)."""
        return np.bincount(self.users, minlength=self.n_users)

    def without(self, users: Ints, items: Ints) -> GroundTruth:
        """Returns the truth without these pairs."""
        pairs = self.users.astype(np.int64) * self.n_items + self.items
        left = ~np.isin(pairs, users.astype(np.int64) * self.n_items + items)
        return replace(self, users=self.users[left], items=self.items[left])

    def of_users(self, some: npt.NDArray[np.bool_]) -> GroundTruth:
        """Returns the truth of the users where `some` (n_users,) is true; the others have no relevant item."""
        left = some[self.users]
        return replace(self, users=self.users[left], items=self.items[left])

    def hits(self, lists: Ints) -> npt.NDArray[np.bool_]:
        """Returns which entries of lists (n_users, k) are relevant; -1 never is."""
        pairs = np.arange(self.n_users)[:, None].astype(np.int64) * self.n_items + lists
        bought = self.users.astype(np.int64) * self.n_items + self.items
        return np.isin(pairs, bought) & (lists >= 0)


@dataclass(frozen=True)
class ListMetrics:
    """NDCG, recall and hit of each user with a relevant item, shape (u,), and the catalogue coverage of all lists.

    Coverage is the share of items that stand among the first 30 of any list, also of users without a relevant item.
    """

    ndcg: Floats
    recall: Floats
    hit: Floats
    coverage: float

    def means(self, resamples: int, seed: int) -> Means:
        """Returns the means by metric and, with resamples > 0, their 95% bootstrap intervals over users."""
        figures = {f"ndcg@{NDCG_AT}": self.ndcg, f"recall@{RECALL_AT}": self.recall, f"hit@{HIT_AT}": self.hit}
        out = means(figures, resamples, seed)
        out[f"coverage@{RECALL_AT}"] = self.coverage
        return out


def list_metrics(lists: Ints, truth: GroundTruth) -> ListMetrics:
    """Returns NDCG@10, Recall@30, Hit@10 of each user with a relevant item, and coverage@30.

    NDCG has binary gains and discounts 1 / log2(rank + 1), and its ideal list is the min(10, relevant) best (Järvelin,
    Kekäläinen, Cumulated Gain-Based Evaluation of IR Techniques, TOIS 2002). Recall@30 is relative to min(30,
    relevant), so that a perfect list has 1; some packages divide by all relevant items.
    Args: `lists`, shape (n_users, k >= 30), holds item numbers, best first, -1 for none, each at most once a list.
    """
    hits, sizes = truth.hits(lists), truth.sizes
    some = sizes > 0
    hits, sizes = hits[some], sizes[some]
    discounts = 1 / np.log2(np.arange(2, NDCG_AT + 2))
    ideal = np.cumsum(discounts)[np.minimum(sizes, NDCG_AT) - 1]
    shown = lists[:, :RECALL_AT]
    return ListMetrics(
        ndcg=(hits[:, :NDCG_AT] @ discounts[: hits.shape[1]]) / ideal,
        recall=hits[:, :RECALL_AT].sum(axis=1) / np.minimum(sizes, RECALL_AT),
        hit=hits[:, :HIT_AT].any(axis=1).astype(float),
        coverage=len(np.unique(shown[shown >= 0])) / truth.n_items,
    )


def means(figures: Mapping[str, Floats], resamples: int, seed: int) -> Means:
    """Returns the mean of each figure (users,), with resamples > 0 its 95% bootstrap interval, and `users`."""
    users = len(next(iter(figures.values())))
    out: Means = {name: float(values.mean()) if users else 0.0 for name, values in figures.items()}
    out["users"] = users
    if resamples and users:
        draws = np.random.default_rng(seed).integers(0, users, (resamples, users))
        for name, values in figures.items():
            out[f"{name} interval"] = np.percentile(values[draws].mean(axis=1), [2.5, 97.5]).tolist()
    return out


def diversity_and_novelty(lists: Ints, levels: Ints, buyers: npt.NDArray[np.number], users: int) -> dict[str, Floats]:
    """Returns diversity@10 and novelty@10 of each list, shape (u,) each.

    Diversity is 1 minus the mean similarity of two products (intra-list similarity; Ziegler, McNee, Konstan, Lausen,
    Improving Recommendation Lists Through Topic Diversification, WWW 2005); similarity is the share of category levels
    in common. Novelty is the mean of -log2 of the share of users who bought a product (Zhou et al., PNAS 2010).

    Args: lists (u, k), -1 for none; `levels` (items, l) numbers each level of an item's category path, -1 for none;
    `buyers` (items,) counts the buyers of each item among `users` users.
    """
    shown = lists[:, :DIVERSITY_AT]
    there = shown >= 0
    known = np.where(there, shown, 0)
    codes = np.where(there[..., None], levels[known], -1)
    alike = (codes[:, :, None] == codes[:, None]) & (codes[:, :, None] >= 0)
    pairs = there[:, :, None] & there[:, None] & ~np.eye(shown.shape[1], dtype=bool)
    likeness = (alike.mean(axis=3) * pairs).sum(axis=(1, 2)) / np.maximum(pairs.sum(axis=(1, 2)), 1)
    surprise = -np.log2(np.maximum(buyers[known], 1) / users) * there
    return {
        f"diversity@{DIVERSITY_AT}": 1 - likeness,
        f"novelty@{DIVERSITY_AT}": surprise.sum(axis=1) / np.maximum(there.sum(axis=1), 1),
    }


def strength_errors(predicted: Floats, observed: Floats) -> dict[str, float]:
    """Returns the root mean squared errors of `predicted` and of log(1 + predicted), each against `observed` (k,)."""
    logs = np.log1p(np.maximum(predicted, 0)) - np.log1p(observed)
    return {
        "rmse": float(np.sqrt(np.mean((predicted - observed) ** 2))) if len(observed) else 0.0,
        "rmsle": float(np.sqrt(np.mean(logs**2))) if len(observed) else 0.0,
    }
