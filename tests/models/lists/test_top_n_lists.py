"""Lists of cookies and of places, from frames to frames."""

from __future__ import annotations

import numpy as np
import pytest
from pyspark.sql import SparkSession

from larder.models.lists.top_n_lists import generic_lists, item_matrix, listed_counts, personal_lists, with_ordinals
from larder.models.ranking.rankers import ALWAYS, BlendRanker, ListRules

ALL = np.ones(4, bool)
USERS = "cookie_key long, factors array<float>, history_items array<int>, history_strengths array<float>"
ITEMS = "product_number int, factors array<float>"
RELEASE = "cookie_key long, items array<int>, scores array<float>"


def test_an_item_without_factors_is_marked(spark: SparkSession) -> None:
    matrix, present = item_matrix(spark.createDataFrame([(2, [1.0, 2.0]), (0, [3.0, 4.0])], ITEMS), 4)
    assert matrix.tolist() == [[3, 4], [0, 0], [1, 2], [0, 0]]
    assert present.tolist() == [True, False, True, False]


def test_a_cookie_is_given_the_best_of_what_is_allowed_and_known(spark: SparkSession) -> None:
    users = spark.createDataFrame([(7, [1.0], [], []), (8, [-1.0], [0], [2.0])], USERS)
    items = spark.createDataFrame([(0, [3.0]), (1, [2.0]), (2, [1.0])], ITEMS)  # 3 has no factors
    allowed = np.array([True, False, True, True])
    found = personal_lists(users, items, allowed, BlendRanker(0.5), ListRules(3, ALWAYS)).collect()
    assert {row.cookie_key: (row["items"], row.scores) for row in found} == {
        7: ([0, 2], [3, 1]),
        8: ([2], [0]),
    }  # a score is never negative
    found = personal_lists(users, items, allowed, BlendRanker(0.5), ListRules(3)).collect()
    assert {row.cookie_key: row["items"] for row in found} == {7: [0, 2], 8: [2, 0]}


def test_generic_lists_leave_out_what_is_not_allowed(spark: SparkSession) -> None:
    counts = [("north", "phone", number, 10.0 - number) for number in range(4)]
    frame = spark.createDataFrame(counts, "location string, device string, product_number int, _score double")
    found = generic_lists(frame, np.array([True, False, True, True]), 2, 5.0, 1).collect()
    steps = [("north", "phone"), ("north", ""), ("", "phone"), ("", "")]
    assert {(row.location, row.device): row["items"] for row in found} == {key: [0, 2] for key in steps}
    assert found[0].scores == pytest.approx([1, 8 / 10])


def test_listed_products_are_counted_and_renumbered(spark: SparkSession) -> None:
    one = spark.createDataFrame([(1, [3, 0], [1.0, 0.5]), (2, [], []), (3, [3], [1.0])], RELEASE)
    other = spark.createDataFrame([(1, [2, 3], [1.0, 0.5])], RELEASE)
    assert listed_counts([one, other], 4).tolist() == [1, 0, 1, 3]
    found = with_ordinals(one, np.array([1, -1, 2, 0], np.int32))
    assert found.schema == one.schema
    assert sorted(map(tuple, found.collect())) == [(1, [0, 1], [1.0, 0.5]), (2, [], []), (3, [0], [1.0])]
