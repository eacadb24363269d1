"""Spark DataFrames to and from tables.

Each task writes its own Parquet files under their final names, so nothing is renamed afterwards (a rename is a copy on
S3), and a task that runs twice writes the same bytes twice.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import replace

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc
import pyarrow.parquet as pq
from pyspark.sql import Column, DataFrame, SparkSession
from pyspark.sql import functions as F
from pyspark.sql.types import StructType

from storage.filesystems import Place
from storage.tables import DataFile, Manifest, Tables

ROW_GROUP_ROWS = 250_000
PLACE = "_place"  # which file of which partition a row goes to: see `place`
MAX_FILES = 1 << 16
WRITTEN = "partition int, file int, rows long, bytes long, sums array<long>"


class FileWrittenTwiceError(RuntimeError):
    """The rows of one file were spread over two tasks, so one overwrote what the other wrote."""


def read_frame(spark: SparkSession, tables: Tables, manifests: Iterable[Manifest], schema: StructType) -> DataFrame:
    """The rows of these partitions, with exactly the columns of `schema`; empty where there are no files."""
    uris = tables.uris(manifests)
    return spark.read.schema(schema).parquet(*uris) if uris else spark.createDataFrame([], schema)


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
    sums: Sequence[str] = (),
) -> list[Manifest]:
    """Writes many partitions at once; returns their manifests with files filled in. Not yet published.

    `placed` has, beside the columns of `schema`, PLACE, made of a key of `planned` and a file number, and all rows of
    one place in one Spark partition; raises FileWrittenTwiceError if they are not. `sums` names
    integer columns whose totals join each manifest's counts.
    """
    ordered = placed.select(PLACE, *schema.fieldNames()).sortWithinPartitions(PLACE, *key)
    places = {number: tables.run_place(manifest) for number, manifest in planned.items()}
    write = _TaskWriter(places, list(sums))
    written: dict[int, list[tuple[DataFile, list[int]]]] = {}
    for row in ordered.mapInArrow(write, WRITTEN).collect():
        file = DataFile(_file_name(row.file), row.rows, row.bytes)
        of_partition = written.setdefault(row.partition, [])
        if any(file.name == other.name for other, _ in of_partition):
            raise FileWrittenTwiceError(f"{file.name} of {planned[row.partition].partition} came from two tasks")
        of_partition.append((file, list(row.sums)))
    return [_with_files(manifest, written.get(number, []), list(sums)) for number, manifest in planned.items()]


def _with_files(manifest: Manifest, written: list[tuple[DataFile, list[int]]], sums: Sequence[str]) -> Manifest:
    files = tuple(sorted((file for file, _ in written), key=lambda file: file.name))
    totals = {name: sum(row[index] for _, row in written) for index, name in enumerate(sums)}
    counts: Mapping[str, int] = {**manifest.counts, **totals}
    return replace(manifest, files=files, counts=counts)


def _file_name(number: int) -> str:
    return f"part-{number:05d}.parquet"


class _TaskWriter:
    """Called in a Spark task with its Arrow batches; yields one row a file written."""

    def __init__(self, places: Mapping[int, Place], sums: Sequence[str]) -> None:
        self.places, self.sums = places, sums

    def __call__(self, batches: Iterable[pa.RecordBatch]) -> Iterator[pa.RecordBatch]:
        current: int | None = None
        open_file: _OpenFile | None = None
        for batch in batches:
            for place_, rows in _by_place(batch):
                if place_ != current:
                    if open_file is not None:
                        yield open_file.close()
                    current = place_
                    open_file = self._open(*divmod(place_, MAX_FILES))
                assert open_file is not None
                open_file.add(rows)
        if open_file is not None:
            yield open_file.close()

    def _open(self, partition: int, number: int) -> _OpenFile:
        return _OpenFile(partition, number, self.places[partition] / _file_name(number), self.sums)


def _by_place(batch: pa.RecordBatch) -> Iterator[tuple[int, pa.RecordBatch]]:
    places = batch.column(0).to_numpy()
    rows = batch.select(batch.schema.names[1:])
    starts = np.flatnonzero(np.r_[len(places) > 0, np.diff(places) != 0])
    for start, end in zip(starts, np.r_[starts[1:], len(places)], strict=True):
        yield int(places[start]), rows.slice(start, end - start)


class _OpenFile:
    """One Parquet file being written in memory, row group by row group."""

    def __init__(self, partition: int, number: int, place: Place, sums: Sequence[str]) -> None:
        self.partition, self.number, self.place, self.names = partition, number, place, sums
        self.sink = pa.BufferOutputStream()
        self.writer: pq.ParquetWriter | None = None
        self.waiting: list[pa.RecordBatch] = []
        self.rows = self.waiting_rows = 0
        self.sums = [0] * len(sums)

    def add(self, rows: pa.RecordBatch) -> None:
        self.waiting.append(rows)
        self.waiting_rows += rows.num_rows
        if self.waiting_rows >= ROW_GROUP_ROWS:
            self._flush(final=False)

    def close(self) -> pa.RecordBatch:
        self._flush(final=True)
        assert self.writer is not None
        self.writer.close()
        data = self.sink.getvalue()
        self.place.write(data)
        row = [[self.partition], [self.number], [self.rows], [data.size], [self.sums]]
        types = [pa.int32(), pa.int32(), pa.int64(), pa.int64(), pa.list_(pa.int64())]
        arrays = [pa.array(value, type_) for value, type_ in zip(row, types, strict=True)]
        return pa.record_batch(arrays, names=["partition", "file", "rows", "bytes", "sums"])

    def _flush(self, final: bool) -> None:
        """Writes whole row groups of a fixed size, so that bytes do not depend on how rows came in batches."""
        table = pa.Table.from_batches(self.waiting)
        if self.writer is None:
            self.writer = pq.ParquetWriter(self.sink, table.schema, compression="zstd")
        rows = table.num_rows if final else table.num_rows - table.num_rows % ROW_GROUP_ROWS
        now, later = table.slice(0, rows).combine_chunks(), table.slice(rows)
        self.writer.write_table(now, row_group_size=ROW_GROUP_ROWS)
        self.rows += rows
        for index, name in enumerate(self.names):
            self.sums[index] += pc.sum(now.column(name)).as_py() or 0
        self.waiting, self.waiting_rows = later.to_batches(), later.num_rows
