"""Reads hours of files in Spark tasks: pieces of bounded size in, Arrow batches out."""

from __future__ import annotations

import pickle
from collections.abc import Callable, Iterable, Iterator

import pyarrow as pa
from pyspark.sql import DataFrame, SparkSession

from larder.jobs.runtime.python_workers import leaves_worker_ready
from larder.jobs.runtime.task_sizes import together
from larder.storage.event_reading import ROWS_A_PIECE, Piece

ReadPiece = Callable[[Piece], Iterator[pa.RecordBatch]]


def read_in_tasks(spark: SparkSession, pieces: list[Piece], read: ReadPiece, schema: str) -> DataFrame:
    """Returns what `read` makes of all pieces, as a DataFrame with this schema, in DDL.

    A task reads neighbouring pieces of about ROWS_A_PIECE rows together, and is sent these alone: a month of a busy log
    has 100,000 files.
    """
    tasks = together(pieces, [piece.likely_rows for piece in pieces], ROWS_A_PIECE)

    @leaves_worker_ready
    def read_tasks(batches: Iterable[pa.RecordBatch]) -> Iterator[pa.RecordBatch]:
        for batch in batches:
            for task in batch.column(0).to_pylist():
                for piece in pickle.loads(task):
                    yield from read(piece)

    rows = spark.sparkContext.parallelize([(pickle.dumps(task),) for task in tasks], max(1, len(tasks)))
    return spark.createDataFrame(rows, "task binary").mapInArrow(read_tasks, schema)
