"""How many cookies buy a product."""

from __future__ import annotations

from pyspark.sql import SparkSession

from larder.models.interactions.item_statistics import item_statistics
from larder.models.tables import INTERACTIONS, PRODUCT_NUMBERS

NOW = 1000
DAY = 24


def test_cookies_are_counted_by_what_they_bought_and_when(spark: SparkSession) -> None:
    rows = [
        (1, "a", 9, 3, NOW - 1, NOW - 1),
        (2, "a", 9, 1, NOW - 1, NOW - 7 * DAY),
        (3, "a", 9, 2, NOW - 1, NOW - 7 * DAY - 1),
        (4, "a", 9, 1, NOW - 1, NOW - 28 * DAY - 1),
        (5, "a", 9, 0, NOW - 1, None),  # only looked at
        (1, "c", 9, 1, NOW - 1, NOW - 28 * DAY),
        (1, "unnumbered", 9, 1, NOW - 1, NOW - 1),
    ]
    numbers = spark.createDataFrame([("a", 0), ("b", 1), ("c", 2)], PRODUCT_NUMBERS.schema)
    figures = item_statistics(spark.createDataFrame(rows, INTERACTIONS.schema), numbers, 3, NOW)
    assert figures.buyers.tolist() == [4, 0, 1]
    assert figures.again.tolist() == [2, 0, 0]
    assert figures.month.tolist() == [3, 0, 1]
    assert figures.week.tolist() == [2, 0, 0]
