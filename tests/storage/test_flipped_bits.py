"""A bit that flipped within the pages of a table's file: no reader believes it."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
import pytest
from pyspark.sql import SparkSession

from larder.jobs.publishing.load_files import ReleaseFile
from larder.models import columns as C
from larder.models.tables import RELEASE_COOKIES
from larder.storage import DamagedTableError, StoragePath, Tables
from larder.storage.frames import read_frame, write_frame
from larder.storage.manifests import plan_run
from larder.storage.parquet_parts import Part
from larder.storage.parquet_reading import read_columns, table_file

FLIPS = 60


def read_whole(path: Path) -> pa.Table:
    with table_file(str(path)) as file:
        return file.read()


def read_as_a_load_does(path: Path) -> pa.Table:
    return pa.Table.from_batches(list(ReleaseFile("cookies", str(path), 3).batches(100, with_scores=True)))


def written(folder: Path, rows: int = 3000) -> Path:
    """A file of lists: noise, so that no page is empty or of one value."""
    random = np.random.default_rng(7)
    table = pa.table(
        {
            C.COOKIE_KEY: random.integers(-(1 << 60), 1 << 60, rows),
            C.ITEMS: [random.integers(0, 1 << 30, 5).tolist() for _ in range(rows)],
            C.SCORES: pa.array([random.random(5).tolist() for _ in range(rows)], pa.list_(pa.float32())),
        }
    )
    part = Part(table.schema)
    part.add(table)
    return folder / part.write(StoragePath(str(folder)), 0).name


def bits_of_values(path: Path, random: np.random.Generator) -> list[tuple[int, int]]:
    """Bytes and bits in the last half of each column's data, where no header of a page is."""
    columns = [pq.read_metadata(path).row_group(0).column(number) for number in range(3)]
    found = []
    for column in columns:
        end = column.data_page_offset + column.total_compressed_size
        if column.has_dictionary_page:
            end += column.dictionary_page_offset - column.data_page_offset
        places = random.integers(end - (end - column.data_page_offset) // 2, end, FLIPS // 3)
        found += [(int(place), int(random.integers(8))) for place in places]
    return found


@pytest.mark.parametrize("read", [read_whole, read_as_a_load_does])
def test_pyarrow_refuses_it(tmp_path: Path, read: Callable[[Path], pa.Table]) -> None:
    path = written(tmp_path)
    sound = path.read_bytes()
    assert read(path).num_rows == 3000
    for place, bit in bits_of_values(path, np.random.default_rng(8)):
        damaged = bytearray(sound)
        damaged[place] ^= 1 << bit
        path.write_bytes(damaged)
        with pytest.raises(DamagedTableError, match=r"part-00000\.parquet is damaged .*; remove it and run the job"):
            read(path)


def test_a_footer_in_which_a_name_is_no_text_is_damage(tmp_path: Path) -> None:
    pq.write_table(pa.table({"price": [1]}), tmp_path / "a.parquet", store_schema=False)
    content = (tmp_path / "a.parquet").read_bytes()
    (tmp_path / "a.parquet").write_bytes(content.replace(b"price", b"\xecrice"))
    with pytest.raises(DamagedTableError, match=r"a\.parquet is damaged"):
        read_columns(str(tmp_path / "a.parquet"), ["price"])


def test_a_store_that_fails_is_no_damage(tmp_path: Path) -> None:
    with pytest.raises(FileNotFoundError):
        read_columns(str(tmp_path / "gone.parquet"), ["a"])


@pytest.mark.end_to_end
def test_spark_refuses_it(spark: SparkSession, tmp_path: Path) -> None:
    tables, schema = Tables(str(tmp_path)), RELEASE_COOKIES.schema
    random = np.random.default_rng(9)
    rows = [
        (int(random.integers(1 << 60)), random.integers(0, 1 << 30, 5).tolist(), random.random(5).tolist())
        for _ in range(3000)
    ]
    planned = plan_run(RELEASE_COOKIES, "as_of=2017-12-03T00", {}, {})
    manifest = write_frame(tables, planned, spark.createDataFrame(rows, schema), schema, 1, [C.COOKIE_KEY])
    (path,) = (Path(uri) for uri in tables.uris([manifest]))
    assert read_frame(spark, tables, [manifest], schema).count() == 3000
    sound = path.read_bytes()
    for place, bit in bits_of_values(path, random)[::6]:
        damaged = bytearray(sound)
        damaged[place] ^= 1 << bit
        path.write_bytes(damaged)
        with pytest.raises(Exception, match=path.name):
            read_frame(spark, tables, [manifest], schema).collect()
