"""The dictionary of a release: products numbered by falling frequency, so that the most listed take one byte."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
import numpy.typing as npt


def ordinals_by_frequency(counts: npt.NDArray[np.int64], ids: Sequence[str]) -> tuple[npt.NDArray[np.int32], list[str]]:
    """Returns the ordinal of each product number, shape (n,), -1 for products in no list, and the ids by ordinal.

    Args: `counts`, shape (n,), is the number of lists that hold product i; `ids` its id. Ties go to the lower number.
    """
    order = np.argsort(-counts, kind="stable")
    listed = order[counts[order] > 0]
    ordinals = np.full(len(counts), -1, np.int32)
    ordinals[listed] = np.arange(len(listed), dtype=np.int32)
    return ordinals, [ids[number] for number in listed]
