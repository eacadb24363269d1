"""Ordinals: products numbered densely by falling frequency in the lists, so that the commonest take a byte."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
import numpy.typing as npt


def ordinals_by_frequency(counts: npt.NDArray[np.int64], ids: Sequence[str]) -> tuple[npt.NDArray[np.int32], list[str]]:
    """Args: counts, shape (n,): how often product number i stands in a list; ids: its id.

    Returns the ordinal of each number, shape (n,), -1 for those in no list, and the ids by ordinal. Ties go to the
    lower number.
    """
    order = np.argsort(-counts, kind="stable")
    listed = order[counts[order] > 0]
    ordinals = np.full(len(counts), -1, np.int32)
    ordinals[listed] = np.arange(len(listed), dtype=np.int32)
    return ordinals, [ids[number] for number in listed]
