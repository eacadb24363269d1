"""Rows of the images table as samples: divided into shards for the workers and a validation set for the driver."""

from __future__ import annotations

import math
from collections.abc import Iterable, Iterator
from functools import partial

import numpy as np
import pyarrow as pa
from pyspark import TaskContext
from pyspark.sql import Column, DataFrame
from pyspark.sql import functions as F

from larder.jobs.vision.training_shards import (
    Block,
    Rows,
    Shard,
    complete_shards,
    mark_complete,
    with_partners,
    write_shard,
)
from larder.models import columns as C
from larder.models.arrow_frames import to_arrow
from larder.models.vision.network import label_matrix
from larder.settings import VisionSettings
from larder.storage import StoragePath

Shape = tuple[int, int, int]
SHARES = 10_000
BLOCK_ROWS = 512
VALIDATION_BYTES = 256 << 20  # of pixels that the driver holds, approximately
WRITTEN_DDL = "number int, uri string, samples long, partners_uri string"
WRITTEN = pa.schema(
    [("number", pa.int32()), ("uri", pa.string()), ("samples", pa.int64()), ("partners_uri", pa.string())]
)


def validation_share(vision: VisionSettings, pictures: int, shape: Shape) -> float:
    """Returns the share of training pictures to validate on: `vision.validation`, or less if there are many pictures.

    The driver holds them in memory, so they are limited to about VALIDATION_BYTES, and to at least one of SHARES.
    """
    most = VALIDATION_BYTES // math.prod(shape)
    return min(vision.validation, max(1, SHARES * most // pictures) / SHARES)


def is_held_back(share: float) -> Column:
    """Whether a training picture is in the validation set, which has this share of them."""
    bucket = F.pmod(F.xxhash64(C.PRODUCT_ID, F.lit("validation")), F.lit(SHARES))
    return bucket < round(share * SHARES)


def held_back(pictures: DataFrame, labels: list[str], shape: Shape) -> Block | None:
    """Returns pixels and labels of these pictures, in order of a hash of their id; None if there are none."""
    rows = pictures.orderBy(F.xxhash64(C.PRODUCT_ID), C.PRODUCT_ID).select(C.CATEGORY, C.PIXELS)
    table = to_arrow(rows).combine_chunks()
    return _block(table.to_batches()[0], labels, shape) if table.num_rows else None


def shards_of(pictures: DataFrame, labels: list[str], shape: Shape, workers: int, folder: StoragePath) -> list[Shard]:
    """Writes the pictures into `folder` as one shard for each worker, and returns the shards that are not empty.

    Shards are the same in every run; those of an earlier run are returned if they are complete. If `pictures` has the
    column PARTNERS, partners in the same shard are used.
    """
    shards = complete_shards(folder)
    if shards is None:
        # By a hash of the id, so that each run assigns and orders products alike.
        columns = [name for name in (C.PRODUCT_ID, C.CATEGORY, C.PIXELS, C.PARTNERS) if name in pictures.columns]
        dealt = pictures.select(*columns).repartition(workers, F.xxhash64(C.PRODUCT_ID, F.lit("worker")))
        write = partial(_write, labels=labels, shape=shape, folder=folder)
        rows = dealt.sortWithinPartitions(C.PRODUCT_ID).mapInArrow(write, WRITTEN_DDL).collect()
        found = sorted(row for row in rows if row.samples)
        shards = [Shard(row.uri, row.samples, shape, len(labels), row.partners_uri) for row in found]
        mark_complete(folder, shards)
    return shards


def _write(
    batches: Iterable[pa.RecordBatch], labels: list[str], shape: Shape, folder: StoragePath
) -> Iterator[pa.RecordBatch]:
    context = TaskContext.get()
    assert context is not None
    number = context.partitionId()
    ids: list[str] = []
    partners: list[list[str] | None] = []

    def blocks() -> Iterator[Block]:
        for batch in batches:
            if C.PARTNERS in batch.schema.names:
                ids.extend(batch.column(C.PRODUCT_ID).to_pylist())
                partners.extend(batch.column(C.PARTNERS).to_pylist())
            for start in range(0, batch.num_rows, BLOCK_ROWS):
                yield _block(batch.slice(start, BLOCK_ROWS), labels, shape)

    shard = write_shard(folder / f"shard-{number:05d}.u8", blocks(), shape, len(labels))
    if partners:
        shard = with_partners(shard, _rows_of(partners, ids))
    yield pa.record_batch([[number], [shard.uri], [shard.samples], [shard.partners_uri]], schema=WRITTEN)


def _rows_of(partners: list[list[str] | None], ids: list[str]) -> Rows:
    """For each product the rows of its partners that are among `ids`, in their order, padded with -1."""
    row = {id_: number for number, id_ in enumerate(ids)}
    here = [[row[id_] for id_ in some or [] if id_ in row] for some in partners]
    rows = np.full((len(here), max(1, *map(len, here))), -1, np.int32)
    for number, some in enumerate(here):
        rows[number, : len(some)] = some
    return rows


def _block(rows: pa.RecordBatch, labels: list[str], shape: Shape) -> Block:
    pixels = [np.frombuffer(value.as_buffer(), np.uint8).reshape(shape) for value in rows.column(C.PIXELS)]
    return np.stack(pixels), label_matrix(rows.column(C.CATEGORY).to_pylist(), labels)
