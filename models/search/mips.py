"""Maximum inner product search: the best items of many users, exact, compiled, skipping items that can't come in.

Items are sorted by the length of their vectors. An inner product is at most the product of lengths (Cauchy, Schwarz).
So once a user's n-th best score is above that bound for the next tile of items, the rest need not be looked at
(Teflioudi, Gemulla, Mykytiuk, LEMP, SIGMOD 2015). A tile's scores are one matrix product, small enough to stay in the
cache; what may come in by them is scored again by `dot_product`, so that a list depends on its user and the items only.
"""

from __future__ import annotations

import numpy as np
import numpy.typing as npt

from larder.models.search.topk import Entitled, TopKProducts

Floats = npt.NDArray[np.float32]
Ints = npt.NDArray[np.int32]

TILE_USERS, TILE_ITEMS = 256, 2048
# In place of an extra score: the item is not listed.
EXCLUDED = np.float32(-1)


class InnerProductIndex:
    """Items that many users are to be matched with: `vectors` (items, d), of which `allowed` (items,) may be listed."""

    def __init__(self, vectors: Floats, allowed: npt.NDArray[np.bool_] | None = None) -> None:
        self.vectors = np.ascontiguousarray(vectors, np.float32)
        self.allowed = np.ones(len(vectors), bool) if allowed is None else allowed
        lengths = np.linalg.norm(self.vectors, axis=1)
        order = np.argsort(-lengths, kind="stable")
        order = order[self.allowed[order]].astype(np.int32)
        self.tiles = [order[start : start + TILE_ITEMS] for start in range(0, len(order), TILE_ITEMS)]
        self.longest = [float(lengths[tile[0]]) for tile in self.tiles]
        # Transposed in memory, not only in name: the matrix product is then faster by a twentieth and more.
        self.columns = [np.ascontiguousarray(self.vectors[tile].T) for tile in self.tiles]
        self.positions = np.full(len(vectors), -1, np.int64)  # where an item stands in that order
        self.positions[order] = np.arange(len(order))

    def search(
        self,
        users: Floats,
        offsets: npt.NDArray[np.integer],
        owned: npt.NDArray[np.integer],
        extra: Floats | None,
        n: int,
    ) -> tuple[Ints, Floats]:
        """Returns the n best items of users (m, d), best first, ties to the lower number, and their scores, (m, n).

        User u owns owned[offsets[u]:offsets[u + 1]]. Those items are left out where `extra` is None; otherwise each
        scores its `extra` (k,) more, and is left out where that is EXCLUDED. Where fewer than n items are left, the
        rest are -1 with score -inf. A user's row is the same to the bit whoever else is asked for.
        """
        items, scores = np.empty((len(users), n), np.int32), np.empty((len(users), n), np.float32)
        for start in range(0, len(users), TILE_USERS):
            end = min(start + TILE_USERS, len(users))
            low, high = offsets[start], offsets[end]
            items[start:end], scores[start:end] = self._search_tile(
                np.ascontiguousarray(users[start:end], np.float32),
                (offsets[start : end + 1] - low).astype(np.int64),
                owned[low:high].astype(np.int32),
                None if extra is None else extra[low:high].astype(np.float32),
                n,
            )
        return items, scores

    def _search_tile(
        self, users: Floats, offsets: npt.NDArray[np.int64], owned: Ints, extra: Floats | None, n: int
    ) -> tuple[Ints, Floats]:
        entitled = None if extra is None else Entitled.to(offsets, owned, extra, len(self.vectors))
        best = TopKProducts(users, self.vectors, n, self.longest[0] if self.longest else 0.0, entitled)
        if extra is not None:
            best.push_entitled(self.allowed)
        positions, owners = self.positions[owned], np.repeat(np.arange(len(users)), np.diff(offsets))
        by_position = np.argsort(positions, kind="stable")
        positions, owners = positions[by_position], owners[by_position]
        for number, (tile, longest) in enumerate(zip(self.tiles, self.longest, strict=True)):
            rows = best.may_gain(longest)
            if not len(rows):
                break
            block = users[rows] @ self.columns[number]
            first, last = np.searchsorted(positions, (number * TILE_ITEMS, (number + 1) * TILE_ITEMS))
            at = np.searchsorted(rows, owners[first:last])
            is_here = rows[np.minimum(at, len(rows) - 1)] == owners[first:last]
            block[at[is_here], positions[first:last][is_here] - number * TILE_ITEMS] = -np.inf
            best.push(block, rows, tile)
        return best.sorted()
