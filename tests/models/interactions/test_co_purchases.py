"""Products bought together."""

from __future__ import annotations

from pyspark.sql import SparkSession

from larder.models.interactions.co_purchases import SAMPLING_UNITS, bought_together, sampled_cookies
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


def test_pairs_are_bounded_by_a_sample_of_whole_cookies(spark: SparkSession) -> None:
    rows = [(cookie, product) for cookie in range(1000) for product in "abcde"]  # 20 pairs a cookie
    bought = spark.createDataFrame(rows, "cookie_key long, product_id string").coalesce(1)
    counts = {
        row.cookie_key: row["count"] for row in sampled_cookies(bought, 5000).groupBy("cookie_key").count().collect()
    }
    assert set(counts.values()) == {5}
    assert 200 < len(counts) < 300  # a quarter of them: 5,000 of 20,000 pairs
    assert sampled_cookies(bought, 20_000).count() == len(rows)
    assert sampled_cookies(bought, 1).count() <= 1000 / SAMPLING_UNITS * 5 + 5


def test_a_sample_finds_the_same_partners(spark: SparkSession) -> None:
    baskets = ["ab", "cd"] * 500
    rows = [(cookie, product, 10, 1, 0, 0) for cookie, basket in enumerate(baskets) for product in basket]
    interactions = spark.createDataFrame(rows, INTERACTIONS.schema).coalesce(1)
    products = spark.createDataFrame([(name,) for name in "abcd"], "product_id string")
    found = bought_together(interactions, products, 2, most_pairs=400)
    assert {row.product_id: row.partners for row in found.collect()} == {"a": ["b"], "b": ["a"], "c": ["d"], "d": ["c"]}
