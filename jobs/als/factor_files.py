"""Interactions to the factors of users and items, as files of their tables: the whole of a training on Spark."""

from __future__ import annotations

from collections.abc import Callable

import numpy as np
import numpy.typing as npt
import pyarrow as pa
import pyarrow.compute as pc
import pyarrow.parquet as pq
from pyspark.sql import SparkSession

from larder.jobs.als.interaction_blocks import InteractionFiles, count_items, user_blocks
from larder.jobs.als.spark_solver import AlsTraining, write_user_factors
from larder.models import columns as C
from larder.models.als.implicit_als import AlsParameters
from larder.storage import DataFile, StoragePath

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
    """Writes factors of users and items; returns their files. Raises NoStrengthError.

    `scratch` is a place of this training alone: one that was killed goes on from what lies there. The caller removes it
    (larder.jobs.runtime.training_files.remove_training) once the files are published.
    """
    items = count_items(spark, interactions)
    blocks = user_blocks(spark, interactions, items.ids, scratch, parameters.interactions_per_block)
    factors = AlsTraining(spark, blocks, parameters, items.counts, on_iteration).item_factors()
    users = write_user_factors(spark, blocks, parameters, factors, user_place, parameters.iterations - 1)
    return users, (write_item_factors(item_place, items.ids, factors),)


def write_item_factors(place: StoragePath, ids: pa.Array, factors: npt.NDArray[np.float32]) -> DataFile:
    """One Parquet file of ITEM_FACTORS, by product id."""
    order = pc.sort_indices(ids).to_numpy()
    offsets = pa.array(np.arange(len(ids) + 1, dtype=np.int32) * factors.shape[1])
    lists = pa.ListArray.from_arrays(offsets, pa.array(factors[order].reshape(-1)))
    sink = pa.BufferOutputStream()
    pq.write_table(pa.table({C.PRODUCT_ID: ids.take(pa.array(order)), C.FACTORS: lists}), sink, compression="zstd")
    data, name = sink.getvalue(), "part-000000.parquet"
    (place / name).write(data)
    return DataFile.of(name, len(ids), data)
