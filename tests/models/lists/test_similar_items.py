"""Lists of products, from frames to frames: by picture, and by category."""

from __future__ import annotations

import numpy as np
import pytest
from pyspark.sql import DataFrame, Row, SparkSession

from larder.models.lists.category_lists import best_sellers_by_path, category_lists, nearest_best_sellers
from larder.models.lists.similar_items import neighbour_search, similar_lists
from larder.models.search.constraints import NeighbourConstraints
from larder.models.vision.embeddings import packed, unpacked

ALL = np.ones(4, bool)
EMBEDDED = "product_id string, product_number int, embedding binary, category string, price double, same_product string"
ASKED = "product_id string, category string, product_number int"
# Unit vectors at 0, 60, 90 and 180 degrees.
ANGLES = np.array([[1.0, 0.0], [0.5, 3**0.5 / 2], [0.0, 1.0], [-1.0, 0.0]])
CATEGORIES = ["Food/Milk", "Food/Bread", "Food/Milk", None, "Food/Milk/Goat", "Garden"]
POPULARITY = np.array([8.0, 6.0, 2.0, 9.0, 4.0, 0.0])


@pytest.fixture(scope="module")
def embedded(spark: SparkSession) -> DataFrame:
    known = [("A/B", 1.0, "x"), ("A/C", 3.0, "x"), ("B", None, "y"), (None, 1.5, None)]
    vectors = packed(ANGLES).to_pylist()
    rows = [(f"p{n}", n, vector, *each) for n, (vector, each) in enumerate(zip(vectors, known, strict=True))]
    return spark.createDataFrame(rows, EMBEDDED).cache()


def lists(
    embedded: DataFrame, allowed: np.ndarray, n: int, rules: NeighbourConstraints, exact_up_to: int = 100
) -> dict[str, Row]:
    search = neighbour_search(embedded, allowed, exact_up_to, probes=4, seed=1)
    return {row.product_id: row for row in similar_lists(embedded, search, n, rules).collect()}


@pytest.mark.parametrize("exact_up_to", [100, 1], ids=["exact", "all cells"])
def test_a_product_is_given_its_nearest_but_itself(embedded: DataFrame, exact_up_to: int) -> None:
    found = lists(embedded, ALL, 2, NeighbourConstraints(), exact_up_to)
    assert {id_: row["items"] for id_, row in found.items()} == {"p0": [1, 2], "p1": [2, 0], "p2": [1, 0], "p3": [2, 1]}
    assert found["p0"].scores == pytest.approx([0.5, 0.0], abs=1e-3)
    assert found["p3"].scores == pytest.approx([0.0, 0.0], abs=1e-3)  # a negative cosine is none


def test_as_many_cells_are_looked_into_as_find_what_is_wanted(embedded: DataFrame) -> None:
    search = neighbour_search(embedded, ALL, 1, probes=1, seed=1)
    few = search.widened_to_recall(0, 3, NeighbourConstraints(), seed=1)
    assert few.cells and few.cells.probes == 1 and few.recall(3, NeighbourConstraints(), seed=1) == 0
    enough = search.widened_to_recall(1, 3, NeighbourConstraints(), seed=1)
    assert enough.cells and enough.cells.probes == 4 and enough.recall(3, NeighbourConstraints(), seed=1) == 1
    exact = neighbour_search(embedded, ALL, 100, probes=1, seed=1)
    assert exact.widened_to_recall(1, 3, NeighbourConstraints(), seed=1) is exact


def test_a_product_that_may_not_be_listed_has_a_list_all_the_same(embedded: DataFrame) -> None:
    found = lists(embedded, np.array([True, False, True, False]), 3, NeighbourConstraints())
    assert {id_: row["items"] for id_, row in found.items()} == {"p0": [2], "p1": [2, 0], "p2": [0], "p3": [2, 0]}
    found = lists(embedded, ~ALL, 3, NeighbourConstraints(fold_above=0.9))
    assert {id_: row["items"] for id_, row in found.items()} == {key: [] for key in ["p0", "p1", "p2", "p3"]}


@pytest.mark.parametrize(
    ("rules", "expected"),
    [
        (NeighbourConstraints(department="same"), [[1], [0], [], [2, 1]]),
        (NeighbourConstraints(department="other"), [[2, 3], [2, 3], [1, 0], [2, 1]]),
        (NeighbourConstraints(price_ratio=2), [[2, 3], [2, 3], [1, 0], [2, 1]]),
        (NeighbourConstraints(other_sizes=False), [[2, 3], [2, 3], [1, 3], [2, 1]]),
        (NeighbourConstraints(fold_above=0.8), [[1, 3], [2, 0], [1, 0], [2, 0]]),
    ],
    ids=str,
)
def test_rules(embedded: DataFrame, rules: NeighbourConstraints, expected: list[list[int]]) -> None:
    found = lists(embedded, ALL, 2, rules)
    assert [found[f"p{number}"]["items"] for number in range(4)] == expected


def test_embeddings_are_stored_in_half_the_bytes() -> None:
    vectors = np.random.default_rng(1).normal(size=(7, 5)).astype(np.float32)
    vectors /= np.linalg.norm(vectors, axis=1, keepdims=True)
    stored = packed(vectors)
    assert {len(value.as_py()) for value in stored} == {10}
    np.testing.assert_allclose(unpacked(stored), vectors, atol=1e-3)
    np.testing.assert_allclose(unpacked(stored.slice(2, 3)), vectors[2:5], atol=1e-3)
    np.testing.assert_allclose(np.linalg.norm(unpacked(stored), axis=1), 1, atol=1e-6)
    assert unpacked(stored.slice(0, 0)).shape == (0, 0)


def test_the_nearest_category_comes_first_and_the_one_above_fills_it() -> None:
    ranked = best_sellers_by_path(np.arange(6), CATEGORIES, POPULARITY, 3)
    assert ranked["Food"][0] == [0, 1, 4]
    assert nearest_best_sellers("Food/Milk/Goat", ranked, 4) == (
        [4, 0, 2, 1],
        [1.0, 0.5 * (1 + 8 / 8) / 2, 0.5 * (1 + 2 / 8) / 2, 0.25 * (1 + 6 / 8) / 2],
    )
    assert nearest_best_sellers("Food/Cheese", ranked, 2) == ([0, 1], [0.5, 0.5 * (1 + 6 / 8) / 2])
    assert nearest_best_sellers("Garden", ranked, 4) == ([], [])  # what nobody bought is not popular
    assert nearest_best_sellers(None, ranked, 4) == ([], [])


def test_a_product_without_a_picture_is_not_given_itself(spark: SparkSession) -> None:
    ranked = best_sellers_by_path(np.arange(6), CATEGORIES, POPULARITY, 3)
    asked = [("known", "Food/Milk", 0), ("new", "Food/Milk", None), ("alone", "Garden", None)]
    found = {
        row.product_id: row["items"] for row in category_lists(spark.createDataFrame(asked, ASKED), ranked, 2).collect()
    }
    assert found == {"known": [4, 2], "new": [0, 4]}
