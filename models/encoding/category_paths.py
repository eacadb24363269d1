"""Category paths such as `Grocery/Dairy/Milk`: their prefixes, and paths as numbers."""

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
    """Category numbers of products: `levels` (products, LEVELS), by product number.

    Column k is the number of the path's prefix of k + 1 names; the last column is that of the whole path, however long.
    A path with fewer names has its own number in the columns that it lacks. NO_CATEGORY for a product without a path.
    """

    levels: Ints

    @property
    def whole(self) -> Ints:
        """The numbers of whole paths, shape (products,)."""
        return self.levels[:, -1]

    @property
    def broader(self) -> Ints:
        """The numbers of the first LEVELS - 1 names of each path, shape (products,).

        For a path with no more names it is that of the whole path.
        """
        return self.levels[:, -2]


def path_prefixes(path: str | None) -> list[str]:
    """Returns a path's prefixes, the shortest first: `A/B/C` gives ["A", "A/B", "A/B/C"], no path gives [].

    Empty names are left out: `/Grocery//Milk` is `Grocery/Milk`.
    """
    names = [name for name in (path or "").split(SEPARATOR) if name]
    return [SEPARATOR.join(names[: depth + 1]) for depth in range(len(names))]


def category_levels(paths: Sequence[str | None]) -> CategoryLevels:
    """Returns the category numbers of products with these paths, in the order of the products."""
    parts = [path_prefixes(path) or [""] for path in paths]
    levels = [[some[min(level, len(some) - 1)] for some in parts] for level in range(LEVELS - 1)]
    wholes = [some[-1] for some in parts]
    return CategoryLevels(np.stack([_numbered(names) for names in [*levels, wholes]], axis=1))


def _numbered(names: Sequence[str]) -> Ints:
    """Returns numbers from 0 in the order of the names; NO_CATEGORY for an empty one."""
    known = {name: number for number, name in enumerate(sorted(set(names) - {""}))}
    return np.array([known.get(name, NO_CATEGORY) for name in names], np.int32)
