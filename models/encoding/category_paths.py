"""Category paths: what lies above what, and the paths as numbers."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
import numpy.typing as npt

Ints = npt.NDArray[np.int32]

SEPARATOR = "/"
LEVELS = 3
NO_CATEGORY = -1


@dataclass(frozen=True)
class CategoryLevels:
    """`levels` (products, LEVELS), by product number: a number for each beginning of the category path.

    The last one is of the whole path, however long; a path that is shorter has its whole at the levels it lacks. NONE
    where there is no path.
    """

    levels: Ints

    @property
    def whole(self) -> Ints:
        """The whole path's number, shape (products,)."""
        return self.levels[:, -1]


def path_prefixes(path: str | None) -> list[str]:
    """`Grocery/Dairy/Milk` as ["Grocery", "Grocery/Dairy", "Grocery/Dairy/Milk"]; [] for none.

    An empty name is none: `/Grocery//Milk` is `Grocery/Milk`.
    """
    names = [name for name in (path or "").split(SEPARATOR) if name]
    return [SEPARATOR.join(names[: depth + 1]) for depth in range(len(names))]


def category_levels(paths: Sequence[str | None]) -> CategoryLevels:
    """Of paths such as `Grocery/Dairy/Milk`."""
    parts = [path_prefixes(path) or [""] for path in paths]
    levels = [[some[min(level, len(some) - 1)] for some in parts] for level in range(LEVELS - 1)]
    wholes = [some[-1] for some in parts]
    return CategoryLevels(np.stack([_numbered(names) for names in [*levels, wholes]], axis=1))


def _numbered(names: Sequence[str]) -> Ints:
    """Numbers from 0 in the order of the names; NONE for an empty one."""
    known = {name: number for number, name in enumerate(sorted(set(names) - {""}))}
    return np.array([known.get(name, NO_CATEGORY) for name in names], np.int32)
