"""Re-ranking for diversity: maximal marginal relevance with similarity by category.

The next product of a list is the one with the best score after a penalty for each product of its category that is in
the list already (Carbonell, Goldstein, The Use of MMR, Diversity-Based Reranking for Reordering Documents and Producing
Summaries, SIGIR 1998).
"""

from __future__ import annotations

import numpy as np
import numpy.typing as npt

from larder.kernels import kernel

Floats = npt.NDArray[np.float32]
Ints = npt.NDArray[np.int32]


def mmr_lists(
    items: Ints, scores: Floats, categories: Ints, n: int, most: int = 0, penalty: float = 0.0
) -> tuple[Ints, Floats]:
    """Returns lists of the n best of candidates (m, k): items (m, n), and scores (m, n) less penalties, falling.

    Args: candidates are sorted, best first, and padded with item -1. `categories` (products,), by item number, holds
    NO_CATEGORY for an item that is similar to no other. `most` limits the items of a category in a list, 0 does not.
    `penalty` is in units of scores. Lists are padded with item -1 and score 0.
    """
    chosen = np.full((len(items), n), -1, np.int32)
    values = np.zeros((len(items), n), np.float32)
    if items.size:
        limit = most if most else n
        _pick(items.astype(np.int32), scores.astype(np.float32), categories, limit, penalty, chosen, values)
    return chosen, values


@kernel
def _pick(
    items: Ints, scores: Floats, categories: Ints, most: int, penalty: float, chosen: Ints, values: Floats
) -> None:
    candidates, n = items.shape[1], chosen.shape[1]
    counts = np.zeros(candidates, np.int32)  # of a candidate's category in the list so far
    for user in range(len(items)):
        counts[:] = 0
        for position in range(n):
            best, best_score = -1, np.float32(0)
            for at in range(candidates):
                item = items[user, at]
                if item < 0 or counts[at] >= most:
                    continue
                score = np.float32(scores[user, at] - penalty * counts[at])
                if best < 0 or score > best_score:
                    best, best_score = at, score
            if best < 0:
                break
            item = items[user, best]
            chosen[user, position], values[user, position] = item, best_score
            category = categories[item]
            for at in range(candidates):
                other = items[user, at]
                if other == item:
                    counts[at] = most
                elif category >= 0 and other >= 0 and categories[other] == category:
                    counts[at] += 1
