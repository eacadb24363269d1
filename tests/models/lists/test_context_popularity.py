"""The ladder of generic lists: what sells here, filled from ever wider surroundings."""

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from model_rows import in_order
from pyspark.sql import DataFrame, SparkSession

from larder.models.lists.context_popularity import (
    ANY,
    CategoryCap,
    as_filled_lists,
    as_ladder,
    filled,
    filter_capped,
    filter_popular,
)

SCHEMA = "location string, device string, product_number int, _score double"
Count = tuple[str, str, int, float]
entries = st.lists(
    st.tuples(st.integers(0, 15), st.floats(0.5, 100)), max_size=12, unique_by=lambda entry: entry[0]
).map(lambda step: sorted(step, key=lambda entry: -entry[1]))


def popularity(spark: SparkSession, *counts: Count) -> DataFrame:
    return spark.createDataFrame(list(counts), SCHEMA).coalesce(1)


def ladder(*counts: Count) -> dict[tuple[str, str, int], float]:
    """Sums at every step."""
    sums: dict[tuple[str, str, int], float] = {}
    for location, device, product, score in counts:
        for step in {(location, device), (location, ANY), (ANY, device), (ANY, ANY)}:
            sums[(*step, product)] = sums.get((*step, product), 0) + score
    return sums


def test_every_step_sums_the_one_below(spark: SparkSession) -> None:
    counts = [
        ("north", "phone", 1, 2.0),
        ("north", "till", 1, 3.0),
        ("south", "phone", 1, 5.0),
        ("south", "phone", 2, 7.0),
        (ANY, "phone", 1, 11.0),
        ("north", ANY, 2, 13.0),
        (ANY, ANY, 3, 17.0),
    ]
    found = {tuple(row[:3]): row[3] for row in as_ladder(popularity(spark, *counts)).collect()}
    assert found == ladder(*counts)


def popular(
    spark: SparkSession, min_support: float, min_products: int, n: int, *counts: Count
) -> list[tuple[object, ...]]:
    return in_order(filter_popular(popularity(spark, *counts), min_support, min_products, n).collect())


HERE = [("north", "phone", number, 10.0 - number) for number in range(4)]


def test_the_best_are_ranked_and_ties_go_to_the_lower_number(spark: SparkSession) -> None:
    counts = [("north", "phone", 3, 5.0), ("north", "phone", 1, 5.0), ("north", "phone", 2, 9.0)]
    assert popular(spark, 0, 1, 2, *counts) == [("north", "phone", 1, 5.0, 2), ("north", "phone", 2, 9.0, 1)]


def test_what_has_too_little_support_is_not_popular(spark: SparkSession) -> None:
    assert [row[2] for row in popular(spark, 8.0, 1, 10, *HERE)] == [0, 1, 2]


def test_a_list_of_too_few_products_is_left_out_but_for_the_widest(spark: SparkSession) -> None:
    few = [("south", "phone", 1, 9.0), (ANY, ANY, 1, 9.0)]
    assert {row[:2] for row in popular(spark, 0, 4, 10, *HERE, *few)} == {("north", "phone"), (ANY, ANY)}


def test_shorter_lists_than_the_least_number_of_products_are_no_reason_to_leave_one_out(spark: SparkSession) -> None:
    assert [row[2] for row in popular(spark, 0, 4, 2, *HERE)] == [0, 1]


def test_lists_are_filled_from_the_next_steps(spark: SparkSession) -> None:
    counts = [
        ("north", "phone", 1, 4.0),
        ("north", "phone", 2, 2.0),
        ("north", ANY, 3, 6.0),
        ("north", ANY, 1, 5.0),
        (ANY, "phone", 4, 8.0),
        (ANY, ANY, 5, 10.0),
        (ANY, ANY, 3, 5.0),
    ]
    frame = as_filled_lists(filter_popular(popularity(spark, *counts), 0, 1, 4), 4)
    found = {(row.location, row.device): row["items"] for row in frame.collect()}
    assert found == {
        ("north", "phone"): [1, 2, 3, 4],
        ("north", ANY): [3, 1, 5],
        (ANY, "phone"): [4, 5, 3],
        (ANY, ANY): [5, 3],
    }


def test_a_shop_without_sales_has_no_lists(spark: SparkSession) -> None:
    assert as_filled_lists(filter_popular(popularity(spark), 5, 10, 10), 10).collect() == []


def test_scores_are_shares_of_the_best_and_go_on_falling() -> None:
    steps = [[(1, 8.0), (2, 2.0)], [(3, 100.0), (1, 80.0), (4, 50.0)]]
    assert filled(steps, 4) == ([1, 2, 3, 4], pytest.approx([1, 2 / 8, 2 / 8, 2 / 8 * 50 / 100]))


def test_of_a_category_a_list_has_few(spark: SparkSession) -> None:
    """2 and 3 are of one category; what is far down may come up, and a wider step can't bring a second one."""
    counts = [*HERE, ("south", "phone", 4, 1.0)]
    cap = CategoryCap(np.array([0, -1, 1, 1, 0], np.int32), 1)
    capped = filter_capped(as_ladder(popularity(spark, *counts)), cap)
    lists = as_filled_lists(filter_popular(capped, 0, 1, 3), 3, cap).collect()
    assert {(row.location, row.device): row["items"] for row in lists} == {
        ("north", "phone"): [0, 1, 2],
        ("north", ANY): [0, 1, 2],
        ("south", "phone"): [4, 1, 2],
        ("south", ANY): [4, 1, 2],
        (ANY, "phone"): [0, 1, 2],
        (ANY, ANY): [0, 1, 2],
    }


@given(st.lists(entries, max_size=4), st.integers(1, 12))
def test_a_filled_list_has_each_product_once_best_first(steps: list[list[tuple[int, float]]], n: int) -> None:
    items, scores = filled(steps, n)
    every = list(dict.fromkeys(item for step in steps for item, _ in step))
    assert items == every[:n]
    assert scores == sorted(scores, reverse=True)
    assert all(0 <= score <= 1 for score in scores)
    assert scores[:1] == [1.0] * bool(items)
