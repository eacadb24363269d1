"""Products bought together."""

from __future__ import annotations

from pyspark.sql import SparkSession

from larder.models.interactions.co_purchases import bought_together
from larder.models.tables import INTERACTIONS


def test_partners_are_what_the_same_cookies_bought_nearest_first(spark: SparkSession) -> None:
    bought = {1: "abc", 2: "abc", 3: "ab", 4: "ad", 5: "cx", 6: "cx", 7: "x"}
    rows = [(cookie, product, 10, 1, 0, 0) for cookie, products in bought.items() for product in products]
    rows.append((7, "a", 10, 0, 0, None))  # looked at, not bought
    interactions = spark.createDataFrame(rows, INTERACTIONS.schema)
    products = spark.createDataFrame([(name,) for name in "abcd"], "product_id string")
    found = {row.product_id: row.partners for row in bought_together(interactions, products, 2).collect()}
    # a is bought by 4, b by 3, c by 4 cookies; a and d only once together; x has no picture.
    assert found == {"a": ["b", "c"], "b": ["a", "c"], "c": ["b", "a"]}
    fewer = {row.product_id: row.partners for row in bought_together(interactions, products, 1).collect()}
    assert fewer == {"a": ["b"], "b": ["a"], "c": ["b"]}
