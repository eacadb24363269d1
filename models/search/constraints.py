"""Which neighbours a product's list may hold, and which count as one. Exact: constraints are put on all scores."""

from __future__ import annotations

import re
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from functools import cached_property

import numpy as np
import numpy.typing as npt
import pyarrow as pa

from larder.kernels import kernel
from larder.models.encoding.category_paths import path_prefixes
from larder.models.search.dot_product import dot_product
from larder.models.search.exact import NO_NEIGHBOUR, Floats, Ints, length_of_longest, nearest

Rows = npt.NDArray[np.integer]
# Given rows of queries and how many neighbours each wants, returns indices and scores, best first.
Search = Callable[[Rows, int], tuple[Ints, Floats]]

UNKNOWN = -1
ANY, SAME, OTHER = DEPARTMENTS = ("any", "same", "other")
# Folding looks at this many nearest vectors for each item of a list before it gives up.
DEEPEST = 32
FOLDED_ROWS = 1024  # queries searched and folded at a time
SIZE = re.compile(
    r"\b(?:\d+(?:[.,/]\d+)?\s*x\s*)?\d+(?:[.,/]\d+)?[\s-]*"
    r"(?:fl\s*oz|ounces?|oz|lbs?|pounds?|kg|mg|g|ml|cl|dl|l|lt|ltr|lit(?:er|re)s?|gal(?:lons?)?|ga|pints?|pt|quarts?|qt"
    r"|ct|count|pk|packs?|pcs?|pieces|inch(?:es)?|in|cm|mm|m|ft)\b\.?"
    r"|\bsize\s+\w+|\b(?:eu|us|uk)\s*\d+(?:[.,]\d)?\b|\b(?:\d*x{1,3}[sl]|[sml])\b|\b(?:small|medium|large)\b",
    re.IGNORECASE,
)


@dataclass(frozen=True)
class ProductTraits:
    """What constraints need to know of n products, each shape (n,); see `product_traits`."""

    departments: npt.NDArray[np.int64]  # UNKNOWN where the catalogue does not say
    prices: Floats  # NaN where the catalogue does not say
    products: npt.NDArray[np.int64]  # the same number: one product in several sizes; UNKNOWN: like no other

    def of(self, rows: Rows) -> ProductTraits:
        """Returns the traits of some rows."""
        return ProductTraits(self.departments[rows], self.prices[rows], self.products[rows])


@dataclass(frozen=True)
class NeighbourConstraints:
    """Which neighbours a list may hold. What the catalogue does not say of the query's product rules nothing out.

    department: ANY, SAME as the query's, or OTHER. price_ratio: a neighbour costs at most so many times as much or as
    little, 0 for any price. other_sizes: whether the query's product in another size may be listed. fold_above: of
    listed vectors whose cosine with each other is greater, only the nearest to the query stays; 1 keeps all.
    """

    department: str = ANY
    price_ratio: float = 0.0
    other_sizes: bool = True
    fold_above: float = 1.0

    @property
    def fold(self) -> bool:
        """Whether a list may have to leave out neighbours because of others in it."""
        return self.fold_above < 1 or not self.other_sizes


@dataclass(frozen=True)
class ProductVectors:
    """Vectors (n, d) of length 1 and the traits of their products."""

    vectors: Floats
    traits: ProductTraits

    @cached_property
    def longest(self) -> float:
        """The length of the longest vector."""
        return length_of_longest(self.vectors)

    def of(self, rows: Rows) -> ProductVectors:
        """Returns the vectors and traits of some rows."""
        return ProductVectors(self.vectors[rows], self.traits.of(rows))


def product_traits(
    categories: Sequence[str | None], prices: Sequence[float | None], products: Sequence[str | None]
) -> ProductTraits:
    """Returns the traits of n products.

    A department is the first name of a category path. `products` are equal for one product in several sizes, None or
    "" where that is not known.
    """
    departments = {path: "".join(path_prefixes(path)[:1]) for path in set(categories)}
    known = np.array(prices, np.float64)  # None becomes NaN
    known[~((known > 0) & (known <= np.finfo(np.float32).max))] = np.nan
    return ProductTraits(_codes([departments[path] for path in categories]), known.astype(np.float32), _codes(products))


def title_without_size(brand: str | None, title: str | None) -> str:
    """Returns brand and title without the words that say how large the product is; "" if there is no title."""
    words = SIZE.sub(" ", title or "").split()
    return " ".join([brand or "", "|", *words]).casefold() if words else ""


def nearest_allowed(
    asked: ProductVectors, own: Rows, listed: ProductVectors, top: int, constraints: NeighbourConstraints
) -> tuple[Ints, Floats]:
    """Returns what `exact.nearest` returns of `listed` for each of `asked`, within the constraints.

    `own` (m,) is the row of each query among `listed`, or -1. A list is shorter than `top` where the constraints leave
    no more, or where the DEEPEST x `top` nearest vectors hold too few that differ.
    """

    def search(rows: Rows, wanted: int) -> tuple[Ints, Floats]:
        some = asked.of(rows)
        mask = ConstraintMask(some.traits, listed.traits, constraints)
        return nearest(some.vectors, listed.vectors, wanted, own[rows], mask, listed.longest)

    return search_and_fold(search, asked, listed, top, constraints, FOLDED_ROWS)


def search_and_fold(
    search: Search,
    asked: ProductVectors,
    listed: ProductVectors,
    top: int,
    constraints: NeighbourConstraints,
    at_once: int,
) -> tuple[Ints, Floats]:
    """Returns lists (m, min(top, n)) of what a search finds, folding neighbours that count as one.

    `search` is given some rows of `asked`, at most `at_once`, and how many of `listed` (n,) each wants. It keeps the
    constraints on single neighbours itself.
    """
    kept = min(top, len(listed.vectors))
    indices = np.full((len(asked.vectors), kept), NO_NEIGHBOUR, np.int32)
    scores = np.full((len(asked.vectors), kept), -np.inf, np.float32)
    for start in range(0, len(asked.vectors) if kept else 0, at_once):
        rows = np.arange(start, min(start + at_once, len(asked.vectors)))
        if not constraints.fold:
            indices[rows], scores[rows] = search(rows, kept)
            continue
        wanted = 2 * top
        while len(rows):
            found, near = search(rows, wanted)
            indices[rows], scores[rows] = _folded(found, near, asked.traits.products[rows], listed, kept, constraints)
            short = (
                (indices[rows, -1] == NO_NEIGHBOUR)
                & (found[:, -1] != NO_NEIGHBOUR)
                & (found.shape[1] < len(listed.vectors))
            )
            rows = rows[short] if wanted < DEEPEST * top else rows[:0]
            wanted *= 4
    return indices, scores


class ConstraintMask:
    """Puts -inf in a tile of scores where the constraints forbid a neighbour."""

    def __init__(self, asked: ProductTraits, listed: ProductTraits, constraints: NeighbourConstraints) -> None:
        self.asked, self.listed, self.constraints = asked, listed, constraints
        if constraints.price_ratio:
            self.asked_logs, self.listed_logs = np.log(asked.prices), np.log(listed.prices)

    def __call__(self, rows: Rows | slice, columns: slice, scores: Floats) -> None:
        """Masks scores (rows, columns) of some queries and some listed vectors, in place."""
        if self.constraints.department != ANY:
            asked, listed = self.asked.departments[rows, None], self.listed.departments[None, columns]
            wrong = (asked != listed) if self.constraints.department == SAME else (asked == listed)
            scores[wrong & (asked != UNKNOWN)] = -np.inf
        if self.constraints.price_ratio:
            apart = np.abs(self.asked_logs[rows, None] - self.listed_logs[None, columns])
            # An unknown price is NaN, which is not greater than anything. The margin is for what the logarithms lose.
            scores[apart > np.log(self.constraints.price_ratio) + 1e-6] = -np.inf


def _folded(
    found: Ints, near: Floats, own_products: Rows, listed: ProductVectors, kept: int, constraints: NeighbourConstraints
) -> tuple[Ints, Floats]:
    """Returns the first `kept` of each row of found (m, k), best first, without those that count as one with others."""
    indices = np.full((len(found), kept), NO_NEIGHBOUR, np.int32)
    scores = np.full((len(found), kept), -np.inf, np.float32)
    products = listed.traits.products.astype(np.int64)
    _fold(
        found,
        near,
        own_products.astype(np.int64),
        np.ascontiguousarray(listed.vectors),
        products,
        np.float32(constraints.fold_above),
        constraints.other_sizes,
        indices,
        scores,
    )
    return indices, scores


@kernel
def _fold(
    found: Ints,
    near: Floats,
    own_products: npt.NDArray[np.int64],
    vectors: Floats,
    products: npt.NDArray[np.int64],
    fold_above: np.float32,
    other_sizes: bool,
    indices: Ints,
    scores: Floats,
) -> None:
    for row in range(len(found)):
        taken = 0
        for at in range(found.shape[1]):
            candidate = found[row, at]
            if candidate < 0 or taken == indices.shape[1]:
                break
            product, stays = products[candidate], True
            if not other_sizes and product != UNKNOWN:
                stays = product != own_products[row]
                for other in range(taken):
                    stays = stays and product != products[indices[row, other]]
            if fold_above < 1:
                for other in range(taken):
                    if not stays:
                        break
                    stays = dot_product(vectors[indices[row, other]], vectors[candidate]) <= fold_above
            if stays:
                indices[row, taken], scores[row, taken] = candidate, near[row, at]
                taken += 1


def _codes(values: Sequence[str | None]) -> npt.NDArray[np.int64]:
    """Returns a number for each text, equal for equal texts; UNKNOWN for None and ""."""
    encoded = pa.array([value or None for value in values], pa.string()).dictionary_encode()
    return np.asarray(encoded.indices.fill_null(UNKNOWN).to_numpy(zero_copy_only=False), np.int64)
