"""The catalogue is read whatever else its files hold; its ids are those of the events."""

from __future__ import annotations

import uuid
from collections.abc import Callable, Iterator
from datetime import datetime, timedelta
from decimal import Decimal
from pathlib import Path
from typing import Any

import duckdb
import numpy as np
import pandas as pd
import polars as pl
import pyarrow as pa
import pyarrow.parquet as pq
import pytest
from pyspark.sql import SparkSession

from larder.jobs.lists.catalogue import CatalogueError, catalogue_of, column_names
from larder.settings import Settings, SimilarSettings, StorageSettings
from larder.settings.loading import load_settings

pytestmark = pytest.mark.end_to_end

TEXTS = {"title": ["a", "b"], "category": ["x/y", "x/z"], "image": ["0.jpg", "1.jpg"]}
ROWS = [("1", "a", "x/y", "0.jpg"), ("2", "b", "x/z", "1.jpg")]


def read(spark: SparkSession, place: Path | str, *columns: str, **similar: Any) -> list[tuple[Any, ...]]:
    settings = Settings(storage=StorageSettings(catalogue=str(place)), similar=SimilarSettings(**similar))
    found = catalogue_of(spark, settings)
    assert found is not None
    return sorted(tuple(row) for row in found.select(*(columns or ("product_id", *TEXTS))).collect())


def pandas_with_nanoseconds(file: Path) -> None:
    frame = pd.DataFrame({"product_id": ["1", "2"], **TEXTS})
    frame["created_at"] = pd.Timestamp("2026-01-01", tz="UTC")
    frame["at"] = pd.Timestamp("2026-01-01")
    frame.to_parquet(file)


def types_that_spark_does_not_read(file: Path) -> None:
    more = {
        "half": pa.array([np.float16(1)] * 2, pa.float16()),
        "at": pa.array([1, 2], pa.time64("ns")),
        "lag": pa.array([timedelta(1)] * 2),
        "stock": pa.array([1, 2**64 - 1], pa.uint64()),
        "nothing": pa.nulls(2),
        "when": pa.array([datetime(2026, 1, 1)] * 2, pa.timestamp("ns")),
        "fixed": pa.array([b"ab"] * 2, pa.binary(2)),
    }
    pq.write_table(pa.table({"product_id": ["1", "2"], **TEXTS, **more}), file)


def a_name_in_two_letter_cases(file: Path) -> None:
    pq.write_table(pa.table({"product_id": ["1", "2"], **TEXTS, "Title": ["A", "B"], "TITLE": [1, 2]}), file)


def duckdb_with_a_uuid(file: Path) -> None:
    values = ", ".join(str((row[0], *row[1:])) for row in ROWS)
    names = "product_id, title, category, image"
    duckdb.sql(f"copy (select *, uuid() as id from (values {values}) t({names})) to '{file}' (format parquet)")


def polars_with_categories(file: Path) -> None:
    frame = pl.DataFrame({"product_id": ["1", "2"], **TEXTS})
    frame.with_columns(pl.col("category").cast(pl.Categorical)).write_parquet(file)


def float_ids(file: Path) -> None:
    pq.write_table(pa.table({"product_id": [1.0, 2.0], **TEXTS}), file)


def decimal_ids(file: Path) -> None:
    pq.write_table(pa.table({"product_id": [Decimal("1.00"), Decimal("2.00")], **TEXTS}), file)


def bytes_as_ids(file: Path) -> None:
    pq.write_table(pa.table({"product_id": [b"1", b"2"], **TEXTS}), file)


@pytest.mark.parametrize(
    "name", ["catalogue.parquet", "cat%20alogue #1 [x]{y}*.parquet", "2026-11-20T07:00:00.parquet"]
)
def test_a_file_of_any_name_is_read(spark: SparkSession, tmp_path: Path, name: str) -> None:
    (tmp_path / "folder").mkdir()
    float_ids(tmp_path / "folder" / name)
    assert read(spark, tmp_path / "folder") == ROWS
    assert read(spark, tmp_path / "folder" / name) == ROWS


@pytest.mark.parametrize(
    "write",
    [
        pandas_with_nanoseconds, types_that_spark_does_not_read, a_name_in_two_letter_cases, duckdb_with_a_uuid,
        polars_with_categories, float_ids, decimal_ids, bytes_as_ids,
    ],
)  # fmt: skip
def test_only_columns_that_are_wanted_are_read(
    spark: SparkSession, tmp_path: Path, write: Callable[[Path], None]
) -> None:
    write(tmp_path / "catalogue.parquet")
    assert read(spark, tmp_path / "catalogue.parquet") == ROWS


@pytest.mark.skipif(not hasattr(pa, "uuid"), reason="PyArrow before version 18 can't write a UUID")
def test_parts_may_have_other_columns_and_types(spark: SparkSession, tmp_path: Path) -> None:
    first = {"product_id": [1], "title": ["a"], "price": ["1.50"], "in_stock": ["No"]}
    second = {"product_id": ["2"], "image": ["b.jpg"], "price": [2], "in_stock": [1]}
    third = {"price": [2.5, float("nan")], "product_id": [uuid.UUID(int=7).bytes] * 2, "in_stock": [None, False]}
    pq.write_table(pa.table(first), tmp_path / "a.parquet")
    pq.write_table(pa.table(second), tmp_path / "b.parquet")
    ids = pa.ExtensionArray.from_storage(pa.uuid(), pa.array(third["product_id"], pa.binary(16)))
    pq.write_table(pa.table({**third, "product_id": ids}), tmp_path / "c.parquet")
    (tmp_path / "d.parquet.tmp").write_bytes(b"half")
    settings = Settings(storage=StorageSettings(catalogue=str(tmp_path)))
    catalogue = catalogue_of(spark, settings)
    assert catalogue is not None
    found = [tuple(row) for row in catalogue.select("product_id", "title", "image", "price", "in_stock").collect()]
    last = str(uuid.UUID(int=7))
    expected = [
        ("1", "a", None, 1.5, False),
        ("2", None, "b.jpg", 2.0, True),
        (last, None, None, 2.5, None),
        (last, None, None, None, False),
    ]
    assert sorted(found, key=str) == sorted(expected, key=str)


def test_the_column_that_tells_sizes_apart_is_read_too(spark: SparkSession, tmp_path: Path) -> None:
    pq.write_table(pa.table({"product_id": ["1"], "model": [7.0], "x": [1]}), tmp_path / "a.parquet")
    assert read(spark, tmp_path, "product_id", "model", same_product="model") == [("1", "7")]
    settings = Settings(storage=StorageSettings(catalogue=str(tmp_path)))
    assert column_names(settings) == ["product_id", "model", "x"]


def test_names_in_other_letter_case_are_told(
    spark: SparkSession, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    pq.write_table(pa.table({"product_id": ["1"], "Title": ["a"], "category": [["x"]]}), tmp_path / "a.parquet")
    assert read(spark, tmp_path, "product_id", "category") == [("1", None)]
    told = capsys.readouterr().err
    assert "column Title is not read, since letter case counts; rename it to title" in told
    assert "category can't be read as one value a product" in told


@pytest.mark.parametrize(
    ("columns", "told"),
    [
        ({"Product_Id": ["1"]}, "has no column product_id; rename Product_Id, letter case counts"),
        ({"sku": ["1"]}, "has no column product_id; there are sku"),
        ({"product_id": [["1"]]}, "product_id is a list or a struct"),
    ],
)
def test_a_catalogue_without_ids_is_named(
    spark: SparkSession, tmp_path: Path, columns: dict[str, list[Any]], told: str
) -> None:
    pq.write_table(pa.table(columns), tmp_path / "a.parquet")
    with pytest.raises(CatalogueError, match=told):
        read(spark, tmp_path)


def test_a_wanted_column_twice_is_named(spark: SparkSession, tmp_path: Path) -> None:
    table = pa.table([pa.array(["1"])] * 3, names=["product_id", "title", "title"])
    pq.write_table(table, tmp_path / "a.parquet")
    with pytest.raises(CatalogueError, match="has several columns called title"):
        read(spark, tmp_path)


@pytest.fixture
def in_folder(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[Path]:
    monkeypatch.chdir(tmp_path)
    yield tmp_path


def test_settings_may_begin_with_a_mark_of_windows(in_folder: Path) -> None:
    (in_folder / "larder.toml").write_bytes(b'\xef\xbb\xbf[storage]\ncatalogue = "c.parquet"\n')
    assert load_settings().storage.catalogue == str(in_folder / "c.parquet")
