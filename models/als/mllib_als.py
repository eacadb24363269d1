"""Implicit-feedback ALS by Spark's MLlib: latent factors after Hu, Koren, Volinsky, Collaborative Filtering for
Implicit Feedback Datasets, ICDM 2008. Larder's own engine is larder.jobs.als.
"""

from __future__ import annotations

from pyspark.ml.recommendation import ALS
from pyspark.sql import DataFrame
from pyspark.sql import functions as F
from pyspark.sql import types as T

from larder.models import columns as C
from larder.models.als.als_parameters import AlsParameters

USER, ITEM, RATING = "_user", "_item", "_rating"


def with_index(frame: DataFrame, column: str, index: str) -> DataFrame:
    """Returns the distinct values of a column and, as int `index`, their numbers from 0 in the order of the values."""
    distinct = frame.select(column).distinct().orderBy(column)
    numbered = distinct.rdd.zipWithIndex().map(lambda pair: (*pair[0], pair[1]))
    schema = T.StructType([frame.schema[column], T.StructField(index, T.IntegerType())])
    return frame.sparkSession.createDataFrame(numbered, schema)


def train_with_mllib(ratings: DataFrame, parameters: AlsParameters) -> tuple[DataFrame, DataFrame]:
    """Returns frames of the tables USER_FACTORS and ITEM_FACTORS.

    Args: `ratings` has COOKIE_KEY, PRODUCT_ID and RATING, a positive strength, and is unique in the first two.
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
