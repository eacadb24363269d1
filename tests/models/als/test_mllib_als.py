"""ALS finds what was planted: two blocks of users and items, of which each user's own item was withheld."""

from __future__ import annotations

import numpy as np
import pytest
from pyspark.sql import DataFrame, SparkSession

from larder.models.als.als_parameters import AlsParameters
from larder.models.als.mllib_als import train_with_mllib, with_index
from larder.models.tables import ITEM_FACTORS, USER_FACTORS

BLOCK = 8
PARAMETERS = AlsParameters(rank=3, iterations=6, regularisation=0.02, alpha=10.0, seed=1, blocks=2)


def checkerboard(spark: SparkSession) -> DataFrame:
    """User u of a block took every item of the block but item u."""
    pairs = [
        (1000 + block * BLOCK + user, f"p{block * BLOCK + item:02d}", 1.0)
        for block in range(2)
        for user in range(BLOCK)
        for item in range(BLOCK)
        if user != item
    ]
    return spark.createDataFrame(pairs, "cookie_key long, product_id string, _rating float").coalesce(1)


@pytest.fixture(scope="module")
def factors(spark: SparkSession) -> tuple[DataFrame, DataFrame]:
    return tuple(frame.cache() for frame in train_with_mllib(checkerboard(spark), PARAMETERS))  # type: ignore[return-value]


def matrix(frame: DataFrame) -> np.ndarray:
    return np.array([row[1] for row in sorted(frame.collect())])


def test_frames_are_those_of_the_tables(factors: tuple[DataFrame, DataFrame]) -> None:
    for frame, schema in zip(factors, (USER_FACTORS.schema, ITEM_FACTORS.schema), strict=True):
        assert [(field.name, field.dataType.typeName()) for field in frame.schema] == [
            (field.name, field.dataType.typeName()) for field in schema
        ]
        assert matrix(frame).shape == (2 * BLOCK, PARAMETERS.rank)


def test_the_withheld_item_is_the_best_of_those_not_taken(factors: tuple[DataFrame, DataFrame]) -> None:
    users, items = map(matrix, factors)
    scores = users @ items.T
    for user in range(2 * BLOCK):
        others = [item for item in range(2 * BLOCK) if item // BLOCK != user // BLOCK]
        assert scores[user, user] > max(scores[user, others]), user


def test_numbers_are_dense_and_in_the_order_of_what_they_stand_for(spark: SparkSession) -> None:
    frame = spark.createDataFrame([("b",), ("a",), ("c",), ("a",)], "product_id string").repartition(3)
    indexed = with_index(frame, "product_id", "_item")
    assert sorted(map(tuple, indexed.collect())) == [("a", 0), ("b", 1), ("c", 2)]
    assert indexed.dtypes == [("product_id", "string"), ("_item", "int")]
