"""Which candidates make a list: the best, but not too many of one category.

The next product is the one with the best score, less a penalty for each product of its category that stands in the list
already: maximal marginal relevance (Carbonell, Goldstein, The Use of MMR, SIGIR 1998) with likeness told by categories.
"""

from __future__ import annotations

import numpy as np
import numpy.typing as npt

from larder.kernels import kernel

Floats = npt.NDArray[np.float32]
Ints = npt.NDArray[np.int32]

NO_CATEGORY = -1


def mmr_lists(
    items: Ints, scores: Floats, categories: Ints, n: int, most: int = 0, penalty: float = 0.0
) -> tuple[Ints, Floats]:
    """Of candidates (m, k), best first, -1 for none, the lists: items (m, n) and scores (m, n), falling.

    Args: `categories` (products,), by item number, NO_CATEGORY where it has none, which is like nothing; `most` of a
    category in a list, 0 for any number; `penalty`, in units of scores. A place that nothing is left for has item -1
    and score 0.
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
        for place in range(n):
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
            chosen[user, place], values[user, place] = item, best_score
            category = categories[item]
            for at in range(candidates):
                other = items[user, at]
                if other == item:
                    counts[at] = most
                elif category >= 0 and other >= 0 and categories[other] == category:
                    counts[at] += 1
