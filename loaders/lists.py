"""Ranked lists in columns, as Arrow holds them: what is read from the tables and written to Redis."""

from __future__ import annotations

from dataclasses import dataclass
from functools import cached_property

import numpy as np
import numpy.typing as npt

from larder.loaders.codec import Bytes, Offsets, encode_lists


@dataclass(frozen=True)
class RankedLists:
    """A batch of n ranked lists; list i is `ordinals[offsets[i]:offsets[i + 1]]`, and likewise its scores.

    keys: shape (n,), unsigned 64-bit keys (larder.loaders.keys). offsets: (n + 1,). ordinals and scores: (m,), best
    first within each list.
    """

    keys: npt.NDArray[np.uint64]
    offsets: npt.NDArray[np.integer]
    ordinals: npt.NDArray[np.integer]
    scores: npt.NDArray[np.floating]

    @cached_property
    def lengths(self) -> npt.NDArray[np.integer]:
        """The number of items of each list, shape (n,)."""
        return np.diff(self.offsets)

    @cached_property
    def are_even(self) -> bool:
        """Whether all lists have the same length, so that ordinals and scores can be read as matrices."""
        length = int(self.lengths.max(initial=0))
        return length > 0 and bool((self.lengths == length).all()) and len(self.ordinals) == length * len(self.keys)


def select_lists(
    lists: RankedLists, rows: npt.NDArray[np.integer], with_scores: bool
) -> tuple[npt.NDArray[np.int64], npt.NDArray[np.integer], npt.NDArray[np.floating] | None]:
    """Returns offsets, ordinals and scores of the lists at `rows`, shape (k,), in that order, for `encode_lists`."""
    lengths = lists.lengths[rows]
    offsets = np.concatenate(([0], np.cumsum(lengths)))
    if lists.are_even:
        ordinals, scores = (values.reshape(len(lists.keys), -1) for values in (lists.ordinals, lists.scores))
        return offsets, ordinals[rows].ravel(), scores[rows].ravel() if with_scores else None
    take = np.arange(offsets[-1]) + np.repeat(lists.offsets[:-1][rows] - offsets[:-1], lengths)
    return offsets, lists.ordinals[take], lists.scores[take] if with_scores else None


def encode_all(lists: RankedLists, with_scores: bool) -> tuple[Bytes, Offsets]:
    """Returns the records of all lists one after the other, and their offsets, shape (n + 1,)."""
    return encode_lists(*select_lists(lists, np.arange(len(lists.keys)), with_scores))
