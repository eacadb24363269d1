"""Whether the cookies of a shop buy the same product again."""

from __future__ import annotations

import pytest
from pyspark.sql import SparkSession

from larder.models.interactions.repeat_purchases import RepeatPurchases, repeat_purchases
from larder.models.tables import INTERACTIONS


def test_pairs_are_counted_if_bought(spark: SparkSession) -> None:
    rows = [(1, "a", 10, purchases, 0, 0) for purchases in (0, 0, 1, 1, 1, 2, 7)]
    assert repeat_purchases(spark.createDataFrame(rows, INTERACTIONS.schema)) == RepeatPurchases(5, 2)
    assert repeat_purchases(spark.createDataFrame([], INTERACTIONS.schema)) == RepeatPurchases(0, 0)


@pytest.mark.parametrize(
    ("pairs", "again", "usual"),
    [(0, 0, True), (999, 0, True), (1000, 49, False), (1000, 50, True), (10**9, 9, False)],
)
def test_few_of_many_pairs_are_no_habit(pairs: int, again: int, usual: bool) -> None:
    assert RepeatPurchases(pairs, again).are_usual is usual
