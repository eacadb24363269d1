"""Spark DataFrames to and from tables.

Each task writes its own Parquet files under their final names, so nothing is renamed afterwards (a rename is a copy on
S3), and a task that runs twice writes the same bytes twice.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import replace

import numpy as np
import pyarrow as pa
from pyspark.sql import Column, DataFrame, SparkSession
from pyspark.sql import functions as F
from pyspark.sql.types import StructType

from larder.storage.filesystems import StoragePath
from larder.storage.manifests import DataFile, Manifest, Tables
from larder.storage.parquet_parts import Part
from larder.storage.parquet_reading import SPARK_VERIFIES

PLACE = "_place"  # which file of which partition a row goes to: see `place`
MAX_FILES = 1 << 16
WRITTEN = "partition int, file string, rows long, bytes long, digest string"
WRITTEN_ARROW = pa.schema(
    [
        ("partition", pa.int32()),
        ("file", pa.string()),
        ("rows", pa.int64()),
        ("bytes", pa.int64()),
        ("digest", pa.string()),
    ]
)


class FileWrittenTwiceError(RuntimeError):
    """The rows of one file were spread over two tasks, so one overwrote what the other wrote."""


def read_frame(spark: SparkSession, tables: Tables, manifests: Iterable[Manifest], schema: StructType) -> DataFrame:
    """The rows of these partitions, with exactly the columns of `schema`; empty where there are no files."""
    uris = tables.uris(manifests)
    if not uris:
        return spark.createDataFrame([], schema)
    return spark.read.options(**SPARK_VERIFIES).schema(schema).parquet(*uris)


def place(partition: Column, file: Column) -> Column:
    """PLACE of a partition's number and a file's number in it. One column, since a shuffle by a column that happens to
    be constant is planned as if that column were not there, and a later aggregation would shuffle again."""
    return partition.cast("long") * F.lit(MAX_FILES) + file.cast("long")


def write_frame(
    tables: Tables, planned: Manifest, frame: DataFrame, schema: StructType, files: int, key: Sequence[str]
) -> Manifest:
    """Writes one partition in at most `files` files, rows in the order of `key` in each. Not yet published.

    `key` must name rows uniquely: the order of rows, and so every byte, then follows from the data alone.
    """
    file = F.pmod(F.xxhash64(key[0]), F.lit(files))
    placed = frame.withColumn(PLACE, place(F.lit(0), file)).repartition(files, PLACE)
    return write_partitions(tables, {0: planned}, placed, schema, key)[0]


def write_partitions(
    tables: Tables,
    planned: Mapping[int, Manifest],
    placed: DataFrame,
    schema: StructType,
    key: Sequence[str],
) -> list[Manifest]:
    """Writes many partitions at once; returns their manifests with files filled in. Not yet published.

    `placed` has, beside the columns of `schema`, PLACE, made of a key of `planned` and a file number, and all rows of
    one place in one Spark partition; raises FileWrittenTwiceError if they are not.
    """
    ordered = placed.select(PLACE, *schema.fieldNames()).sortWithinPartitions(PLACE, *key)
    places = {number: tables.run_folder(manifest) for number, manifest in planned.items()}
    write = _TaskWriter(places)
    written: dict[int, list[DataFile]] = {}
    for row in ordered.mapInArrow(write, WRITTEN).collect():
        file = DataFile(row.file, row.rows, row.bytes, row.digest)
        of_partition = written.setdefault(row.partition, [])
        if any(file.name == other.name for other in of_partition):
            raise FileWrittenTwiceError(f"{file.name} of {planned[row.partition].partition} came from two tasks")
        of_partition.append(file)
    return [
        replace(manifest, files=tuple(sorted(written.get(number, []), key=lambda file: file.name)))
        for number, manifest in planned.items()
    ]


class _TaskWriter:
    """Called in a Spark task with its Arrow batches; yields one row a file written."""

    def __init__(self, places: Mapping[int, StoragePath]) -> None:
        self.places = places

    def __call__(self, batches: Iterable[pa.RecordBatch]) -> Iterator[pa.RecordBatch]:
        current: int | None = None
        part: Part | None = None
        for batch in batches:
            for place_, rows in _by_place(batch):
                if part is None or place_ != current:
                    if part is not None and current is not None:
                        yield self._written(part, current)
                    current, part = place_, Part(rows.schema)
                part.add(pa.Table.from_batches([rows]))
        if part is not None and current is not None:
            yield self._written(part, current)

    def _written(self, part: Part, place_: int) -> pa.RecordBatch:
        partition, number = divmod(place_, MAX_FILES)
        file = part.write(self.places[partition], number)
        arrays = [
            pa.array([partition], pa.int32()),
            pa.array([file.name]),
            pa.array([file.rows]),
            pa.array([file.bytes]),
            pa.array([file.digest]),
        ]
        return pa.record_batch(arrays, names=["partition", "file", "rows", "bytes", "digest"])


def _by_place(batch: pa.RecordBatch) -> Iterator[tuple[int, pa.RecordBatch]]:
    places = batch.column(0).to_numpy()
    rows = batch.select(batch.schema.names[1:])
    starts = np.flatnonzero(np.r_[len(places) > 0, np.diff(places) != 0])
    for start, end in zip(starts, np.r_[starts[1:], len(places)], strict=True):
        yield int(places[start]), rows.slice(start, end - start)
