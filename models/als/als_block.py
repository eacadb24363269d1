"""Interactions of some users in the two orders that alternating least squares needs: by user (CSR), by item (CSC)."""

from __future__ import annotations

from dataclasses import dataclass, fields

import numpy as np
import numpy.typing as npt

Floats = npt.NDArray[np.float32]


@dataclass(frozen=True)
class AlsBlock:
    """A block of u users with k interactions, with i different items.

    By user: cookies (u,) int64, rising; offsets (u + 1,) int64; items (k,) int32; weights (k,) float32. User n has
    items[offsets[n]:offsets[n + 1]] with those weights, each a confidence less 1.
    By item: listed (i,) int32, rising; item_offsets (i + 1,) int64; users (k,) int32; item_weights (k,) float32. Item
    listed[n] has users[item_offsets[n]:item_offsets[n + 1]], numbers of users in this block.
    """

    cookies: npt.NDArray[np.int64]
    offsets: npt.NDArray[np.int64]
    items: npt.NDArray[np.int32]
    weights: Floats
    listed: npt.NDArray[np.int32]
    item_offsets: npt.NDArray[np.int64]
    users: npt.NDArray[np.int32]
    item_weights: Floats

    def arrays(self) -> dict[str, npt.NDArray[np.generic]]:
        """Returns the arrays by name."""
        return {field.name: getattr(self, field.name) for field in fields(self)}


def als_block(cookies: npt.NDArray[np.int64], items: npt.NDArray[np.int32], weights: Floats) -> AlsBlock:
    """Returns the block of interactions (k,), in any order, in which each pair of cookie and item stands once."""
    order = np.lexsort((items, cookies))
    cookies, items, weights = cookies[order], items[order], weights[order]
    known, users = np.unique(cookies, return_inverse=True)
    users = users.astype(np.int32)
    offsets = np.searchsorted(users, np.arange(len(known) + 1))
    by_item = np.argsort(items, kind="stable")
    listed, starts = np.unique(items[by_item], return_index=True)
    return AlsBlock(
        cookies=known,
        offsets=offsets.astype(np.int64),
        items=items,
        weights=weights,
        listed=listed,
        item_offsets=np.append(starts, len(items)).astype(np.int64),
        users=users[by_item],
        item_weights=weights[by_item],
    )


def ranges_between_users(cookies: npt.NDArray[np.int64], most: int) -> list[tuple[int, int]]:
    """Returns ranges of about `most` rows of `cookies` (k,), rising, that end where a cookie ends."""
    starts = np.concatenate(([0], 1 + np.flatnonzero(cookies[1:] != cookies[:-1]), [len(cookies)]))
    wanted = np.arange(0, len(cookies), most)
    edges = np.unique(np.append(starts[np.searchsorted(starts, wanted)], len(cookies)))
    return list(zip(edges[:-1].tolist(), edges[1:].tolist(), strict=True))
