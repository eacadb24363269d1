"""Latent factors from implicit feedback: alternating least squares after Hu, Koren, Volinsky,
Collaborative Filtering for Implicit Feedback Datasets, ICDM 2008.
"""

from __future__ import annotations

from dataclasses import dataclass

from pyspark.ml.recommendation import ALS
from pyspark.sql import DataFrame
from pyspark.sql import functions as F
from pyspark.sql import types as T

from larder.models import columns as C

USER, ITEM, RATING = "_user", "_item", "_rating"


@dataclass(frozen=True)
class AlsParameters:
    """What a training is made with; `alpha` turns a strength r into a confidence 1 + alpha r.

    That of a user or item with n interactions is regularisation * n^scaling (Rendle, Krichene, Zhang, Koren, Revisiting
    the Performance of iALS on Item Recommendation Benchmarks, RecSys 2022); MLlib's scaling is always 1.
    The rest is for Larder's own engine: steps of conjugate gradients a user and an item in each iteration, and how many
    interactions a block has.
    """

    rank: int
    iterations: int
    regularisation: float
    alpha: float
    seed: int
    blocks: int
    scaling: float = 1.0
    user_steps: int = 3
    item_steps: int = 2
    interactions_per_block: int = 500_000


def with_index(frame: DataFrame, column: str, index: str) -> DataFrame:
    """The distinct values of a column, numbered densely from 0 in their order: columns (column, index int)."""
    distinct = frame.select(column).distinct().orderBy(column)
    numbered = distinct.rdd.zipWithIndex().map(lambda pair: (*pair[0], pair[1]))
    schema = T.StructType([frame.schema[column], T.StructField(index, T.IntegerType())])
    return frame.sparkSession.createDataFrame(numbered, schema)


def train_with_mllib(ratings: DataFrame, parameters: AlsParameters) -> tuple[DataFrame, DataFrame]:
    """Factors of users and items.

    Args: `ratings` of COOKIE_KEY, PRODUCT_ID, RATING (a positive strength), unique in the first two.
    Returns: frames of USER_FACTORS and ITEM_FACTORS.
    """
    users = with_index(ratings, C.COOKIE_KEY, USER).cache()
    items = with_index(ratings, C.PRODUCT_ID, ITEM).cache()
    indexed = ratings.join(users, C.COOKIE_KEY).join(items, C.PRODUCT_ID).select(USER, ITEM, RATING)
    model = ALS(
        rank=parameters.rank,
        maxIter=parameters.iterations,
        regParam=parameters.regularisation,
        alpha=parameters.alpha,
        seed=parameters.seed,
        numUserBlocks=parameters.blocks,
        numItemBlocks=parameters.blocks,
        implicitPrefs=True,
        userCol=USER,
        itemCol=ITEM,
        ratingCol=RATING,
    ).fit(indexed.repartition(parameters.blocks, USER).sortWithinPartitions(USER, ITEM))
    return _named(model.userFactors, users, USER, C.COOKIE_KEY), _named(model.itemFactors, items, ITEM, C.PRODUCT_ID)


def _named(factors: DataFrame, index: DataFrame, number: str, name: str) -> DataFrame:
    return index.join(factors, index[number] == factors["id"]).select(name, F.col("features").alias(C.FACTORS))
