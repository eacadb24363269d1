"""Rules on neighbours against a plain loop, and what counts as one."""

from __future__ import annotations

import numpy as np
import pytest

from larder.models.search.constraints import (
    OTHER,
    SAME,
    NeighbourConstraints,
    ProductVectors,
    nearest_allowed,
    product_traits,
    title_without_size,
)
from larder.models.search.exact import NO_NEIGHBOUR, unit_length

N, TOP = 300, 5
DEPARTMENTS = ["Food/Milk", "Food/Bread", "Garden/Pots", None]


@pytest.fixture(scope="module")
def pictures() -> ProductVectors:
    """Random vectors, some of them several times over; departments, prices and products, some unknown."""
    random = np.random.default_rng(7)
    vectors = unit_length(random.normal(size=(N, 8)))
    vectors[200:] = vectors[:100]
    categories = [DEPARTMENTS[number] for number in random.integers(0, 4, N)]
    prices = [None if price < 1 else float(price) for price in random.integers(0, 12, N)]
    products = [None if number < 3 else f"product {number}" for number in random.integers(0, 40, N)]
    return ProductVectors(vectors, product_traits(categories, prices, products))


def expected(pictures: ProductVectors, query: int, rules: NeighbourConstraints) -> list[int]:
    """What a plain loop finds."""
    traits = pictures.traits
    scores = pictures.vectors @ pictures.vectors[query]
    taken: list[int] = []
    for other in np.argsort(-scores, kind="stable").tolist():
        department = traits.departments[[query, other]]
        if other == query or len(taken) == TOP:
            continue
        if rules.department == SAME and department[0] >= 0 and department[0] != department[1]:
            continue
        if rules.department == OTHER and department[0] >= 0 and department[0] == department[1]:
            continue
        low, high = sorted(traits.prices[[query, other]])
        if rules.price_ratio and high / low > rules.price_ratio:
            continue
        product = traits.products[other]
        if not rules.other_sizes and product >= 0 and product in traits.products[[query, *taken]]:
            continue
        alike = [pictures.vectors[other] @ pictures.vectors[each] for each in taken]
        if rules.fold_above < 1 and max(alike, default=0) > rules.fold_above:
            continue
        taken.append(other)
    return taken


@pytest.mark.parametrize(
    "rules",
    [
        NeighbourConstraints(),
        NeighbourConstraints(department=SAME),
        NeighbourConstraints(department=OTHER),
        NeighbourConstraints(price_ratio=2),
        NeighbourConstraints(other_sizes=False),
        NeighbourConstraints(fold_above=0.999),
        NeighbourConstraints(fold_above=0.7),
        NeighbourConstraints(department=OTHER, price_ratio=3, other_sizes=False, fold_above=0.9),
    ],
    ids=str,
)
def test_lists_are_those_of_a_plain_loop(pictures: ProductVectors, rules: NeighbourConstraints) -> None:
    queries = np.arange(N)
    found, scores = nearest_allowed(pictures, queries, pictures, TOP, rules)
    lists = [[int(index) for index in row if index != NO_NEIGHBOUR] for row in found]
    wanted = [expected(pictures, query, rules) for query in range(N)]
    assert list(map(len, lists)) == list(map(len, wanted))
    # Where two vectors are the same, either may come first.
    cosines = [[round(float(pictures.vectors[q] @ pictures.vectors[i]), 4) for i in row] for q, row in enumerate(lists)]
    assert cosines == [
        [round(float(pictures.vectors[q] @ pictures.vectors[i]), 4) for i in row] for q, row in enumerate(wanted)
    ]
    assert (np.diff(np.where(np.isinf(scores), -2, scores), axis=1) <= 1e-6).all()


def test_a_product_that_is_not_listed_may_ask(pictures: ProductVectors) -> None:
    few = pictures.of(np.arange(50))
    found, _ = nearest_allowed(
        pictures.of(np.array([200])), np.array([NO_NEIGHBOUR]), few, TOP, NeighbourConstraints(fold_above=0.99)
    )
    assert found[0, 0] == 0  # the same picture


def test_hundreds_of_the_same_picture_leave_a_short_list() -> None:
    vectors = np.tile(np.float32([[1, 0]]), (500, 1))
    traits = product_traits([None] * 500, [None] * 500, [None] * 500)
    pictures, rows = ProductVectors(vectors, traits), np.arange(2)
    found, _ = nearest_allowed(pictures.of(rows), rows, pictures, 3, NeighbourConstraints(fold_above=0.9))
    assert (found[:, 1:] == NO_NEIGHBOUR).all() and (found[:, 0] != NO_NEIGHBOUR).all()


def test_nothing_is_listed() -> None:
    none = ProductVectors(np.zeros((0, 2), np.float32), product_traits([], [], []))
    one = ProductVectors(np.ones((1, 2), np.float32), product_traits([None], [None], [None]))
    for rules in (NeighbourConstraints(), NeighbourConstraints(fold_above=0.5)):
        assert nearest_allowed(one, np.array([NO_NEIGHBOUR]), none, 3, rules)[0].shape == (1, 0)


@pytest.mark.parametrize(
    ("one", "other"),
    [
        ("Fluid Milk White Only 1 Ga", "Fluid Milk White Only 1 Qt"),
        ("Cola 6 x 330 ml", "Cola 1.5 l"),
        ("T-shirt red XL", "T-shirt red S"),
        ("Trainer size 42", "Trainer Size 43"),
        ("Trainer EU 42", "Trainer EU 43.5"),
        ("Soft Drinks 12Oz", "Soft Drinks 12 Oz."),
    ],
)
def test_titles_that_differ_in_sizes_alone(one: str, other: str) -> None:
    assert title_without_size("Brand", one) == title_without_size("brand", other) != ""


@pytest.mark.parametrize(
    ("one", "other"), [("Cola 1 l", "Cola light 1 l"), ("Shirt red S", "Shirt blue S"), ("Windows 10", "Windows 11")]
)
def test_titles_that_differ_in_more(one: str, other: str) -> None:
    assert title_without_size("Brand", one) != title_without_size("Brand", other)


def test_no_title_is_like_no_other() -> None:
    assert title_without_size("Brand", None) == title_without_size("Brand", "500 g") == ""
    assert title_without_size("A", "Cola") != title_without_size("B", "Cola")
