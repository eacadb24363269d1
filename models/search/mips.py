"""The best items of many users by inner product: exact, compiled, and blind to items that can't come in.

Items are sorted by the length of their vectors. An inner product is at most the product of lengths (Cauchy, Schwarz).
So once a user's n-th best score is above that for the next tile of items, the rest need not be looked at (Teflioudi,
Gemulla, Mykytiuk, LEMP, SIGMOD 2015). Scores of a tile are one matrix product, small enough to stay in the cache.
"""

from __future__ import annotations

import numba
import numpy as np
import numpy.typing as npt

from larder.models.search.topk import TopKHeaps, push

Floats = npt.NDArray[np.float32]
Ints = npt.NDArray[np.int32]

TILE_USERS, TILE_ITEMS = 256, 2048
# In place of an extra score: the item is not listed.
EXCLUDED = np.float32(-1)
# Rounding may lift a product above its bound by less than this share.
SLACK = np.float32(1 + 1e-4)


@numba.njit(cache=True, nogil=True, fastmath=True)
def _offer_owned(
    users: Floats,
    vectors: Floats,
    offsets: npt.NDArray[np.int64],
    owned: Ints,
    extra: Floats,
    allowed: npt.NDArray[np.bool_],
    scores: Floats,
    items: Ints,
    sizes: Ints,
) -> None:
    """Offers what users own, each with its extra score; not what has a negative one."""
    for user in range(len(users)):
        for entry in range(offsets[user], offsets[user + 1]):
            item = owned[entry]
            if allowed[item] and extra[entry] >= 0:
                score = np.float32(0)
                for k in range(users.shape[1]):
                    score += users[user, k] * vectors[item, k]
                sizes[user] = push(scores[user], items[user], sizes[user], score + extra[entry], item)


class InnerProductIndex:
    """Finds the best of the same items for many users.

    `vectors` (items, d); `allowed` (items,), those that may be listed.
    """

    def __init__(self, vectors: Floats, allowed: npt.NDArray[np.bool_] | None = None) -> None:
        self.vectors = np.ascontiguousarray(vectors, np.float32)
        self.allowed = np.ones(len(vectors), bool) if allowed is None else allowed
        lengths = np.linalg.norm(self.vectors, axis=1)
        order = np.argsort(-lengths, kind="stable")
        order = order[self.allowed[order]].astype(np.int32)
        self.tiles = [order[start : start + TILE_ITEMS] for start in range(0, len(order), TILE_ITEMS)]
        self.bounds = [lengths[tile[0]] * SLACK for tile in self.tiles]
        self.products = [np.ascontiguousarray(self.vectors[tile].T) for tile in self.tiles]
        self.places = np.full(len(vectors), -1, np.int64)  # where an item stands in that order
        self.places[order] = np.arange(len(order))

    def of(
        self,
        users: Floats,
        offsets: npt.NDArray[np.integer],
        owned: npt.NDArray[np.integer],
        extra: Floats | None,
        n: int,
    ) -> tuple[Ints, Floats]:
        """The n best items of users (m, d), best first, ties to the lower number; and their scores, (m, n).

        User u owns owned[offsets[u]:offsets[u + 1]]; those are left out, or score `extra` more where it is given;
        LEFT_OUT stands for none.
        A place that nothing is left for has item -1 and score -inf.
        """
        best = TopKHeaps.empty(len(users), n)
        for start in range(0, len(users), TILE_USERS):
            end = min(start + TILE_USERS, len(users))
            low, high = offsets[start], offsets[end]
            self._fill(
                np.ascontiguousarray(users[start:end], np.float32),
                (offsets[start : end + 1] - low).astype(np.int64),
                owned[low:high].astype(np.int32),
                None if extra is None else extra[low:high].astype(np.float32),
                best.of(slice(start, end)),
            )
        return best.lists()

    def _fill(
        self,
        users: Floats,
        offsets: npt.NDArray[np.int64],
        owned: Ints,
        extra: Floats | None,
        best: TopKHeaps,
    ) -> None:
        if extra is not None:
            heaps = (best.scores, best.items, best.sizes)
            _offer_owned(users, self.vectors, offsets, owned, extra, self.allowed, *heaps)
        lengths = np.linalg.norm(users, axis=1)
        places, owners = self.places[owned], np.repeat(np.arange(len(users)), np.diff(offsets))
        by_place = np.argsort(places, kind="stable")
        places, owners = places[by_place], owners[by_place]
        full = best.scores.shape[1]
        for number, (tile, bound, product) in enumerate(zip(self.tiles, self.bounds, self.products, strict=True)):
            rows = np.flatnonzero((best.sizes < full) | (best.scores[:, 0] <= lengths * bound)).astype(np.int32)
            if not len(rows):
                break
            block = users[rows] @ product
            first, last = np.searchsorted(places, (number * TILE_ITEMS, (number + 1) * TILE_ITEMS))
            at = np.searchsorted(rows, owners[first:last])
            is_here = rows[np.minimum(at, len(rows) - 1)] == owners[first:last]
            block[at[is_here], places[first:last][is_here] - number * TILE_ITEMS] = -np.inf
            best.push_tile(block, rows, tile)
