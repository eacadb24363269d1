"""Which neighbours a product's list may hold, and which count as one. Still exact: rules are put on all scores."""

from __future__ import annotations

import re
from collections.abc import Callable, Sequence
from dataclasses import dataclass

import numpy as np
import numpy.typing as npt

from larder.models.encoding.category_paths import path_prefixes
from larder.models.search.exact import NO_NEIGHBOUR, Floats, Ints, nearest

Rows = npt.NDArray[np.integer]
Search = Callable[[Rows, int], tuple[Ints, Floats]]

UNKNOWN = -1
ANY, SAME, OTHER = DEPARTMENTS = ("any", "same", "other")
# Queries folded at a time, and nearest pictures that folding looks at for each item of a list before it gives up.
FOLDED_ROWS = 1024
DEEPEST = 32
SIZE = re.compile(
    r"\b(?:\d+(?:[.,/]\d+)?\s*x\s*)?\d+(?:[.,/]\d+)?[\s-]*"
    r"(?:fl\s*oz|ounces?|oz|lbs?|pounds?|kg|mg|g|ml|cl|dl|l|lt|ltr|lit(?:er|re)s?|gal(?:lons?)?|ga|pints?|pt|quarts?|qt"
    r"|ct|count|pk|packs?|pcs?|pieces|inch(?:es)?|in|cm|mm|m|ft)\b\.?"
    r"|\bsize\s+\w+|\b(?:eu|us|uk)\s*\d+(?:[.,]\d)?\b|\b(?:\d*x{1,3}[sl]|[sml])\b|\b(?:small|medium|large)\b",
    re.IGNORECASE,
)


@dataclass(frozen=True)
class ProductTraits:
    """What the rules ask of n products, each shape (n,); see `traits_of`."""

    departments: npt.NDArray[np.int64]  # UNKNOWN where the catalogue does not say
    prices: Floats  # NaN likewise
    products: npt.NDArray[np.int64]  # the same number: one product in several sizes; UNKNOWN: like no other

    def of(self, rows: Rows) -> ProductTraits:
        return ProductTraits(self.departments[rows], self.prices[rows], self.products[rows])


@dataclass(frozen=True)
class NeighbourConstraints:
    """Which neighbours are let in; what the catalogue does not say of the product that asks breaks no rule.

    department: ANY, SAME as its own, or OTHER. price_ratio: at most so many times dearer or cheaper, 0 for any.
    other_sizes: whether the same product in another size may be listed. fold_above: of listed pictures with a greater
    cosine only the nearest stays; 1: all stay.
    """

    department: str = ANY
    price_ratio: float = 0.0
    other_sizes: bool = True
    fold_above: float = 1.0

    @property
    def fold(self) -> bool:
        return self.fold_above < 1 or not self.other_sizes


@dataclass(frozen=True)
class ProductVectors:
    """Vectors (n, d) of length 1 and what is known of their products."""

    vectors: Floats
    traits: ProductTraits

    def of(self, rows: Rows) -> ProductVectors:
        return ProductVectors(self.vectors[rows], self.traits.of(rows))


def product_traits(
    categories: Sequence[str | None], prices: Sequence[float | None], products: Sequence[str | None]
) -> ProductTraits:
    """Traits of n products. A department is the first name of a category path; `products` are the same for one product
    in several sizes, None or "" where it is not known."""
    departments = ["".join(path_prefixes(category)[:1]) for category in categories]
    known = np.array([np.nan if price is None or price <= 0 else price for price in prices], np.float32)
    return ProductTraits(_codes(departments), known, _codes([product or "" for product in products]))


def title_without_size(brand: str | None, title: str | None) -> str:
    """Brand and title without what says how large the product is; "" where there is no title."""
    words = SIZE.sub(" ", title or "").split()
    return " ".join([brand or "", "|", *words]).casefold() if words else ""


def nearest_allowed(
    asked: ProductVectors, own: Rows, listed: ProductVectors, top: int, rules: NeighbourConstraints
) -> tuple[Ints, Floats]:
    """As `exact.nearest`, of `listed` for each of `asked`, `own` being its row there or -1; but by the rules.

    A list comes out short where the rules leave no more, or where the DEEPEST x `top` nearest hold too few that differ.
    """

    def search(rows: Rows, wanted: int) -> tuple[Ints, Floats]:
        some = asked.of(rows)
        return nearest(
            some.vectors, listed.vectors, wanted, own[rows], ConstraintMask(some.traits, listed.traits, rules)
        )

    return search_and_fold(search, asked, listed, top, rules, FOLDED_ROWS)


def search_and_fold(
    search: Search, asked: ProductVectors, listed: ProductVectors, top: int, rules: NeighbourConstraints, at_once: int
) -> tuple[Ints, Floats]:
    """Lists from what a search finds, which keeps the rules on single pictures itself: what counts as one is folded.

    `search` is given some rows of `asked`, `at_once` at most, and how many of `listed` are wanted for each.
    """
    kept = min(top, len(listed.vectors))
    indices = np.full((len(asked.vectors), kept), NO_NEIGHBOUR, np.int32)
    scores = np.full((len(asked.vectors), kept), -np.inf, np.float32)
    for start in range(0, len(asked.vectors) if kept else 0, at_once):
        rows = np.arange(start, min(start + at_once, len(asked.vectors)))
        if not rules.fold:
            indices[rows], scores[rows] = search(rows, kept)
            continue
        wanted = 2 * top
        while len(rows):
            found, near = search(rows, wanted)
            for few in np.split(np.arange(len(rows)), range(FOLDED_ROWS, len(rows), FOLDED_ROWS)):
                stay = _distinct(asked.of(rows[few]), listed, found[few], kept, rules)
                indices[rows[few]], scores[rows[few]] = _first(found[few], near[few], stay, kept)
            short = (
                (indices[rows, -1] == NO_NEIGHBOUR)
                & (found[:, -1] != NO_NEIGHBOUR)
                & (found.shape[1] < len(listed.vectors))
            )
            rows = rows[short] if wanted < DEEPEST * top else rows[:0]
            wanted *= 4
    return indices, scores


class ConstraintMask:
    """Puts -inf where a rule says no, in the scores of some rows of queries."""

    def __init__(self, asked: ProductTraits, listed: ProductTraits, rules: NeighbourConstraints) -> None:
        self.asked, self.listed, self.rules = asked, listed, rules

    def __call__(self, rows: Rows | slice, columns: slice, scores: Floats) -> None:
        if self.rules.department != ANY:
            asked, listed = self.asked.departments[rows, None], self.listed.departments[None, columns]
            wrong = (asked != listed) if self.rules.department == SAME else (asked == listed)
            scores[wrong & (asked != UNKNOWN)] = -np.inf
        if self.rules.price_ratio:
            asked, listed = np.log(self.asked.prices[rows, None]), np.log(self.listed.prices[None, columns])
            # Nothing is greater than what is unknown. The margin is for what the logarithms lose.
            scores[np.abs(asked - listed) > np.log(self.rules.price_ratio) + 1e-6] = -np.inf


def _distinct(
    asked: ProductVectors, listed: ProductVectors, found: Ints, kept: int, rules: NeighbourConstraints
) -> npt.NDArray[np.bool_]:
    """Which of the found (m, k), best first, stay when what counts as one is folded; at most `kept` of a row."""
    rows = np.arange(len(found))
    stay = np.zeros(found.shape, bool)
    taken = np.zeros(len(found), np.int64)
    vectors = np.zeros((len(found), kept, listed.vectors.shape[1]), np.float32)
    products = np.full((len(found), kept + 1), UNKNOWN, np.int64)
    products[:, kept] = asked.traits.products  # the product itself counts among its sizes
    for place in range(found.shape[1]):
        column = found[:, place]
        candidate, product = listed.vectors[column], listed.traits.products[column]
        good = (column != NO_NEIGHBOUR) & (taken < kept)
        if rules.fold_above < 1:
            good &= np.einsum("mtd,md->mt", vectors[:, :place], candidate).max(axis=1, initial=-1) <= rules.fold_above
        if not rules.other_sizes:
            good &= (product == UNKNOWN) | (products != product[:, None]).all(axis=1)
        stay[:, place] = good
        some = rows[good]
        vectors[some, taken[good]], products[some, taken[good]] = candidate[good], product[good]
        taken += good
        if (taken == kept).all():
            break
    return stay


def _first(found: Ints, near: Floats, stay: npt.NDArray[np.bool_], kept: int) -> tuple[Ints, Floats]:
    """Those that stay, in their order, moved to the front of (m, kept)."""
    order = np.argsort(~stay, axis=1, kind="stable")[:, :kept]
    there = np.take_along_axis(stay, order, 1)
    indices = np.full((len(found), kept), NO_NEIGHBOUR, np.int32)
    scores = np.full((len(found), kept), -np.inf, np.float32)
    width = order.shape[1]
    indices[:, :width] = np.where(there, np.take_along_axis(found, order, 1), NO_NEIGHBOUR)
    scores[:, :width] = np.where(there, np.take_along_axis(near, order, 1), -np.inf)
    return indices, scores


def _codes(values: list[str]) -> npt.NDArray[np.int64]:
    _, codes = np.unique(np.array(values, str), return_inverse=True)
    return np.where(np.array([bool(value) for value in values], bool), codes, UNKNOWN)
