"""A whole training on Spark: from the files of interactions to the files of user and item factors."""

from __future__ import annotations

from collections.abc import Callable

import numpy as np
import numpy.typing as npt
import pyarrow as pa
import pyarrow.compute as pc
from pyspark.sql import SparkSession

from larder.jobs.als.interaction_blocks import InteractionFiles, count_items, user_blocks
from larder.jobs.als.spark_solver import AlsTraining, as_lists, write_user_factors
from larder.models import columns as C
from larder.models.als.als_parameters import AlsParameters
from larder.storage import DataFile, StoragePath
from larder.storage.parquet_parts import write_whole

Files = tuple[DataFile, ...]


def train_factors(
    spark: SparkSession,
    interactions: InteractionFiles,
    parameters: AlsParameters,
    scratch: StoragePath,
    user_place: StoragePath,
    item_place: StoragePath,
    on_iteration: Callable[[int], None] = lambda number: None,
) -> tuple[Files, Files]:
    """Trains factors of users and items, writes them, and returns their files.

    `scratch` belongs to this training alone; one that was killed goes on from what lies there. The caller removes it
    (larder.jobs.als.block_files.remove_training) once the files are published.

    Raises NoStrengthError, ConfidenceRangeError and AlsDivergedError.
    """
    items = count_items(spark, interactions)
    blocks = user_blocks(spark, interactions, items.ids, scratch, parameters.interactions_per_block)
    factors = AlsTraining(spark, blocks, parameters, items.counts, on_iteration).item_factors()
    users = write_user_factors(spark, blocks, parameters, factors, user_place, parameters.iterations - 1)
    return users, (write_item_factors(item_place, items.ids, factors),)


def write_item_factors(place: StoragePath, ids: pa.Array, factors: npt.NDArray[np.float32]) -> DataFile:
    """Writes one Parquet file of table ITEM_FACTORS, sorted by product id."""
    order = pc.sort_indices(ids).to_numpy()
    lists = as_lists(factors[order])
    table = pa.table({C.PRODUCT_ID: ids.take(pa.array(order)), C.FACTORS: lists})
    return write_whole(place, "part-000000.parquet", table)
