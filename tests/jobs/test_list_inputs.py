"""What lists are made with beside the tables, as the catalogue and the settings say it."""

from __future__ import annotations

from pathlib import Path

import pyarrow as pa
import pyarrow.parquet as pq
import pytest
from pyspark.sql import SparkSession
from test_precompute import settings_in

from jobs.list_inputs import goods_of

pytestmark = pytest.mark.end_to_end


def test_ids_of_a_catalogue_may_be_numbers_and_stand_there_twice(spark: SparkSession, tmp_path: Path) -> None:
    rows = [(1, "Food", 1), (2, "Food", 0), (3, "Fuel", 1), (3, None, 0), (None, "Food", 0)]
    ids, paths, stock = zip(*rows, strict=True)
    table = pa.table({"product_id": pa.array(ids, pa.int64()), "category": paths, "in_stock": stock})
    pq.write_table(table, tmp_path / "catalogue.parquet")
    found = goods_of(spark, settings_in(tmp_path), ["1", "2", "3", "4"])
    assert found.allowed.tolist() == [True, False, True, True]
    assert found.categories.whole.tolist() == [0, 0, 1, -1]
