"""Frames to tables and back: whole, once each, and the same bytes whatever the order was."""

from __future__ import annotations

import hashlib
import random
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pyarrow as pa
import pyarrow.parquet as pq
import pytest
from pyspark.sql import DataFrame, SparkSession
from pyspark.sql import functions as F
from pyspark.sql import types as T

from larder.storage import Manifest, StoragePath, Tables, frames
from larder.storage.frames import PLACE, FileWrittenTwiceError, place, read_frame, write_frame, write_partitions
from larder.storage.manifests import plan_run
from larder.storage.parquet_parts import Part, PartOptions

SCHEMA = T.StructType(
    [
        T.StructField("id", T.LongType()),
        T.StructField("text", T.StringType()),
        T.StructField("items", T.ArrayType(T.IntegerType())),
    ]
)


@pytest.fixture(autouse=True)
def no_merged_tasks(spark: SparkSession) -> Iterator[None]:
    """Small shuffles would end in one task, and whatever belongs together would be together by chance."""
    spark.conf.set("spark.sql.adaptive.coalescePartitions.enabled", "false")
    yield
    spark.conf.unset("spark.sql.adaptive.coalescePartitions.enabled")


Row = tuple[int, str | None, list[int] | None]


def rows(count: int) -> list[Row]:
    return [(number, None if number % 7 == 0 else f"t{number % 5}", [number] * (number % 3)) for number in range(count)]


def planned(partition: str = "p", files: int = 1) -> Manifest:
    return plan_run("table", partition, {}, {"files": files})


def digests(tables: Tables, manifest: Manifest) -> dict[str, str]:
    folder = Path(tables.run_folder(manifest).path)
    return {file.name: hashlib.sha256((folder / file.name).read_bytes()).hexdigest() for file in manifest.files}


def read_back(spark: SparkSession, tables: Tables, *manifests: Manifest) -> list[Row]:
    return sorted(tuple(row) for row in read_frame(spark, tables, manifests, SCHEMA).collect())  # type: ignore[misc]


@pytest.mark.parametrize("files", [1, 3])
def test_a_frame_comes_back_whole(spark: SparkSession, tmp_path: Path, files: int) -> None:
    tables = Tables(str(tmp_path))
    frame = spark.createDataFrame(rows(200), SCHEMA).repartition(5)
    manifest = write_frame(tables, planned(), frame, SCHEMA, files, ["id"])
    assert len(manifest.files) == files
    assert manifest.rows == 200
    assert read_back(spark, tables, manifest) == rows(200)


def test_a_manifest_says_what_lies_in_its_files(spark: SparkSession, tmp_path: Path) -> None:
    tables = Tables(str(tmp_path))
    manifest = write_frame(tables, planned(), spark.createDataFrame(rows(50), SCHEMA), SCHEMA, 3, ["id"])
    folder = Path(tables.run_folder(manifest).path)
    assert {file.name for file in manifest.files} == {path.name for path in folder.iterdir()}
    for file in manifest.files:
        assert file.bytes == (folder / file.name).stat().st_size
        assert file.rows == pq.read_metadata(folder / file.name).num_rows
        ids = pq.read_table(folder / file.name)["id"].to_pylist()
        assert ids == sorted(ids)


def test_the_same_rows_in_any_order_give_the_same_bytes(spark: SparkSession, tmp_path: Path) -> None:
    found = []
    for seed in range(3):
        shuffled = rows(200)
        random.Random(seed).shuffle(shuffled)
        tables = Tables(str(tmp_path / str(seed)))
        frame = spark.createDataFrame(shuffled, SCHEMA).repartition(1 + 2 * seed)
        found.append(digests(tables, write_frame(tables, planned(), frame, SCHEMA, 3, ["id"])))
    assert found[0] == found[1] == found[2]
    assert len(found[0]) == 3


def test_an_empty_frame_is_a_partition_without_files(spark: SparkSession, tmp_path: Path) -> None:
    tables = Tables(str(tmp_path))
    manifest = write_frame(tables, planned(), spark.createDataFrame([], SCHEMA), SCHEMA, 3, ["id"])
    assert (manifest.files, manifest.rows) == ((), 0)
    frame = read_frame(spark, tables, [manifest], SCHEMA)
    assert frame.schema == SCHEMA
    assert frame.collect() == []


def test_columns_come_back_in_the_order_of_the_schema(spark: SparkSession, tmp_path: Path) -> None:
    tables = Tables(str(tmp_path))
    frame = spark.createDataFrame(rows(5), SCHEMA).select("items", F.lit(1).alias("more"), "text", "id")
    manifest = write_frame(tables, planned(), frame, SCHEMA, 1, ["id"])
    assert read_back(spark, tables, manifest) == rows(5)


def placed(frame: DataFrame, partitions: int, files: int) -> DataFrame:
    number, file = F.col("id") % partitions, (F.col("id") / partitions).cast("int") % files
    return frame.withColumn(PLACE, place(number, file))


def test_many_partitions_of_many_files_come_back_whole(spark: SparkSession, tmp_path: Path) -> None:
    """Constant columns must not make Spark shuffle once more, which would spread a file over two tasks."""
    tables = Tables(str(tmp_path))
    plans = {number: planned(f"hr={number}") for number in range(9)}
    frame = placed(spark.createDataFrame(rows(500), SCHEMA), 8, 3).repartition(PLACE)
    manifests = write_partitions(tables, plans, frame, SCHEMA, ["id"])
    assert [manifest.partition for manifest in manifests] == [f"hr={number}" for number in range(9)]
    assert [len(manifest.files) for manifest in manifests] == [3] * 8 + [0]
    for number, manifest in enumerate(manifests[:8]):
        assert read_back(spark, tables, manifest) == [row for row in rows(500) if row[0] % 8 == number]


def test_one_partition_and_file_after_a_shuffle_is_written_once(spark: SparkSession, tmp_path: Path) -> None:
    """The place is one number here, and what groups by it and by another column is planned on the other alone."""
    tables = Tables(str(tmp_path))
    frame = spark.createDataFrame(rows(400), SCHEMA).withColumn(PLACE, place(F.lit(5), F.lit(0))).repartition(PLACE)
    grouped = frame.groupBy(PLACE, "id").agg(F.first("text").alias("text"), F.first("items").alias("items"))
    [manifest] = write_partitions(tables, {5: planned()}, grouped, SCHEMA, ["id"])
    assert len(manifest.files) == 1
    assert read_back(spark, tables, manifest) == rows(400)


def test_a_file_spread_over_two_tasks_is_refused(spark: SparkSession, tmp_path: Path) -> None:
    frame = placed(spark.createDataFrame(rows(40), SCHEMA), 2, 1).repartition(2, "id")
    with pytest.raises(FileWrittenTwiceError, match=r"part-00000\.parquet of hr=\d"):
        write_partitions(Tables(str(tmp_path)), {n: planned(f"hr={n}") for n in range(2)}, frame, SCHEMA, ["id"])


Writer = Callable[[list[pa.RecordBatch]], bytes]


@pytest.fixture
def writer(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Writer:
    """What a task does with its batches, with row groups of ten."""
    monkeypatch.setattr(frames, "Part", lambda schema: Part(schema, PartOptions(row_group_rows=10)))

    def write(batches: list[pa.RecordBatch]) -> bytes:
        task: Callable[[Iterator[Any]], Iterator[Any]] = frames._TaskWriter({0: StoragePath(str(tmp_path))})
        [written] = list(task(iter(batches)))
        assert written.to_pydict()["rows"] == [sum(batch.num_rows for batch in batches)]
        return (tmp_path / "part-00000.parquet").read_bytes()

    return write


def test_bytes_do_not_depend_on_how_rows_come_in_batches(writer: Writer, tmp_path: Path) -> None:
    table = pa.table({PLACE: pa.array([0] * 64, pa.int64()), "text": [f"t{n % 3}" for n in range(64)]})
    written = {writer(table.to_batches(max_chunksize=size)) for size in (1, 7, 10, 64)}
    assert len(written) == 1
    file = pq.ParquetFile(tmp_path / "part-00000.parquet")
    sizes = [file.metadata.row_group(group).num_rows for group in range(file.num_row_groups)]
    assert sizes == [10] * 6 + [4]
    assert file.read()["text"].to_pylist() == table["text"].to_pylist()
