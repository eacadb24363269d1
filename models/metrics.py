"""How good lists are, given what users bought afterwards. Array in, array out."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
import numpy.typing as npt

Ints = npt.NDArray[np.integer]
Floats = npt.NDArray[np.float64]
NDCG_AT, RECALL_AT, HIT_AT = 10, 30, 10


@dataclass(frozen=True)
class Truth:
    """What users went on to buy: unique pairs of user number and item number, each of shape (k,)."""

    users: Ints
    items: Ints
    n_users: int
    n_items: int

    @property
    def sizes(self) -> npt.NDArray[np.int64]:
        """Items a user, shape (n_users,)."""
        return np.bincount(self.users, minlength=self.n_users)

    def hits(self, lists: Ints) -> npt.NDArray[np.bool_]:
        """Which entries of lists (n_users, k) were bought; -1 never was."""
        pairs = np.arange(self.n_users)[:, None].astype(np.int64) * self.n_items + lists
        bought = self.users.astype(np.int64) * self.n_items + self.items
        return np.isin(pairs, bought) & (lists >= 0)


@dataclass(frozen=True)
class Measured:
    """One figure a user with any truth, shape (u,), and the share of items that stand in any list's first 30."""

    ndcg: Floats
    recall: Floats
    hit: Floats
    coverage: float

    def means(self, resamples: int, seed: int) -> dict[str, float | list[float]]:
        """Means, and with resamples > 0 their 95% bootstrap intervals over users."""
        figures = {f"ndcg@{NDCG_AT}": self.ndcg, f"recall@{RECALL_AT}": self.recall, f"hit@{HIT_AT}": self.hit}
        out: dict[str, float | list[float]] = {name: float(values.mean()) for name, values in figures.items()}
        out[f"coverage@{RECALL_AT}"] = self.coverage
        out["users"] = len(self.ndcg)
        if resamples:
            draws = np.random.default_rng(seed).integers(0, len(self.ndcg), (resamples, len(self.ndcg)))
            for name, values in figures.items():
                out[f"{name} interval"] = np.percentile(values[draws].mean(axis=1), [2.5, 97.5]).tolist()
        return out


def measured(lists: Ints, truth: Truth) -> Measured:
    """NDCG@10 with binary gains (Järvelin, Kekäläinen 2002), Recall@30 over min(30, bought), Hit@10.

    Args: lists, shape (n_users, k >= 30), item numbers best first, -1 for none; none twice.
    """
    hits, sizes = truth.hits(lists), truth.sizes
    some = sizes > 0
    hits, sizes = hits[some], sizes[some]
    discounts = 1 / np.log2(np.arange(2, NDCG_AT + 2))
    ideal = np.cumsum(discounts)[np.minimum(sizes, NDCG_AT) - 1]
    shown = lists[:, :RECALL_AT]
    return Measured(
        ndcg=(hits[:, :NDCG_AT] @ discounts[: hits.shape[1]]) / ideal,
        recall=hits[:, :RECALL_AT].sum(axis=1) / np.minimum(sizes, RECALL_AT),
        hit=hits[:, :HIT_AT].any(axis=1).astype(float),
        coverage=len(np.unique(shown[shown >= 0])) / truth.n_items,
    )
