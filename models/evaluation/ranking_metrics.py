"""How good lists are, given what users bought afterwards. Array in, array out."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, replace

import numpy as np
import numpy.typing as npt

Ints = npt.NDArray[np.integer]
Floats = npt.NDArray[np.float64]
Means = dict[str, float | list[float]]
NDCG_AT, RECALL_AT, HIT_AT = 10, 30, 10
VARIETY_AT = 10


@dataclass(frozen=True)
class GroundTruth:
    """What users went on to buy: unique pairs of user number and item number, each of shape (k,)."""

    users: Ints
    items: Ints
    n_users: int
    n_items: int

    @property
    def sizes(self) -> npt.NDArray[np.int64]:
        """Items a user, shape (n_users,)."""
        return np.bincount(self.users, minlength=self.n_users)

    def without(self, users: Ints, items: Ints) -> GroundTruth:
        """Without these pairs."""
        pairs = self.users.astype(np.int64) * self.n_items + self.items
        left = ~np.isin(pairs, users.astype(np.int64) * self.n_items + items)
        return replace(self, users=self.users[left], items=self.items[left])

    def of_users(self, some: npt.NDArray[np.bool_]) -> GroundTruth:
        """Of some users (n_users,) alone; the others bought nothing."""
        left = some[self.users]
        return replace(self, users=self.users[left], items=self.items[left])

    def hits(self, lists: Ints) -> npt.NDArray[np.bool_]:
        """Which entries of lists (n_users, k) were bought; -1 never was."""
        pairs = np.arange(self.n_users)[:, None].astype(np.int64) * self.n_items + lists
        bought = self.users.astype(np.int64) * self.n_items + self.items
        return np.isin(pairs, bought) & (lists >= 0)


@dataclass(frozen=True)
class ListMetrics:
    """One figure a user with any truth, shape (u,), and the share of items that stand in any list's first 30."""

    ndcg: Floats
    recall: Floats
    hit: Floats
    coverage: float

    def means(self, resamples: int, seed: int) -> Means:
        """Means, and with resamples > 0 their 95% bootstrap intervals over users."""
        figures = {f"ndcg@{NDCG_AT}": self.ndcg, f"recall@{RECALL_AT}": self.recall, f"hit@{HIT_AT}": self.hit}
        out = means(figures, resamples, seed)
        out[f"coverage@{RECALL_AT}"] = self.coverage
        return out


def list_metrics(lists: Ints, truth: GroundTruth) -> ListMetrics:
    """NDCG@10 with binary gains (Järvelin, Kekäläinen 2002), Recall@30 over min(30, bought), Hit@10.

    Args: lists, shape (n_users, k >= 30), item numbers best first, -1 for none; none twice.
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
    """The mean of each figure (users,), with resamples > 0 its 95% bootstrap interval, and how many users."""
    users = len(next(iter(figures.values())))
    out: Means = {name: float(values.mean()) if users else 0.0 for name, values in figures.items()}
    out["users"] = users
    if resamples and users:
        draws = np.random.default_rng(seed).integers(0, users, (resamples, users))
        for name, values in figures.items():
            out[f"{name} interval"] = np.percentile(values[draws].mean(axis=1), [2.5, 97.5]).tolist()
    return out


def diversity_and_novelty(lists: Ints, levels: Ints, buyers: npt.NDArray[np.number], users: int) -> dict[str, Floats]:
    """How unlike each other a list's first ten are, and how unexpected; a figure a user, shape (u,).

    Diversity is 1 less the mean likeness of two products (Ziegler, McNee, Konstan, Lausen, Improving Recommendation
    Lists Through Topic Diversification, WWW 2005); likeness is the share of category levels that they have in common.
    Novelty is the mean of -log2 of the share of users who bought a product (Zhou et al., PNAS 2010).

    Args: lists (u, k), -1 for none; `levels` (items, l), a number for each level of an item's category path, -1 for
    none; `buyers` (items,) of `users` in all.
    """
    shown = lists[:, :VARIETY_AT]
    there = shown >= 0
    known = np.where(there, shown, 0)
    codes = np.where(there[..., None], levels[known], -1)
    alike = (codes[:, :, None] == codes[:, None]) & (codes[:, :, None] >= 0)
    pairs = there[:, :, None] & there[:, None] & ~np.eye(shown.shape[1], dtype=bool)
    likeness = (alike.mean(axis=3) * pairs).sum(axis=(1, 2)) / np.maximum(pairs.sum(axis=(1, 2)), 1)
    surprise = -np.log2(np.maximum(buyers[known], 1) / users) * there
    return {
        f"diversity@{VARIETY_AT}": 1 - likeness,
        f"novelty@{VARIETY_AT}": surprise.sum(axis=1) / np.maximum(there.sum(axis=1), 1),
    }


def strength_errors(predicted: Floats, observed: Floats) -> dict[str, float]:
    """Root mean squared errors of strengths, and of their logarithms log(1 + s); shape (k,), not negative."""
    logs = np.log1p(np.maximum(predicted, 0)) - np.log1p(observed)
    return {
        "rmse": float(np.sqrt(np.mean((predicted - observed) ** 2))) if len(observed) else 0.0,
        "rmsle": float(np.sqrt(np.mean(logs**2))) if len(observed) else 0.0,
    }
