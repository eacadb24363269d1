"""Tables of the last build: they are current for this one, and the same log gives the same bytes, paths and schemas."""

from __future__ import annotations

from collections.abc import Iterable
from pathlib import Path
from types import ModuleType
from typing import Any

import pyarrow.parquet as pq
import pytest
from last_build import BASE, END, KEPT, START, copy_release
from pyspark.sql import SparkSession

from larder.jobs import aggregate_hours, precompute, precompute_cookies, roll_up, train_als

pytestmark = pytest.mark.end_to_end

# Sums of whole numbers: the same on every processor. Factors, and lists made from them, may differ in the last bits.
EXACT = ("hourly_counts", "quarantine", "bots", "interactions", "contexts")
EMBEDDINGS = "embeddings"  # made from pictures elsewhere: an input here
UNKEPT = ("als_scratch",)


def run(spark: SparkSession, job: ModuleType, settings: Path, *words: str) -> dict[str, Any]:
    report = job.run(spark, job.parse_arguments(["--settings", str(settings), *words]))
    return dict(report.details)


def run_all(spark: SparkSession, settings: Path) -> list[dict[str, Any]]:
    """Runs every job whose tables are kept; returns the details of their reports."""
    first, last = ("--start", START, "--end", BASE), ("--start", BASE, "--end", END)
    return [
        run(spark, aggregate_hours, settings, *first),
        run(spark, roll_up, settings, *first, "--from-empty"),
        run(spark, train_als, settings, "--as-of", BASE),
        run(spark, precompute, settings, "--as-of", BASE),
        run(spark, aggregate_hours, settings, *last),
        run(spark, roll_up, settings, *last),
        run(spark, precompute_cookies, settings, *last),
    ]


def files_of(tables: Path, suffix: str) -> dict[str, Path]:
    """Paths by their names relative to `tables`."""
    found = sorted(tables.glob(f"*/**/*{suffix}"))
    return {str(path.relative_to(tables)): path for path in found if path.relative_to(tables).parts[0] not in UNKEPT}


def of_tables(names: Iterable[str], tables: Iterable[str]) -> list[str]:
    return [name for name in names if name.split("/")[0] in tables]


def test_the_same_log_gives_the_same_tables(spark: SparkSession, tmp_path: Path) -> None:
    settings = copy_release(tmp_path, tables=False)
    (tmp_path / "tables").mkdir()
    (tmp_path / "tables" / EMBEDDINGS).symlink_to(KEPT / "release" / "tables" / EMBEDDINGS)

    run_all(spark, settings)

    old, new = (files_of(folder / "tables", ".json") for folder in (KEPT / "release", tmp_path))
    assert list(new) == list(old)
    for name in of_tables(old, EXACT):
        assert new[name].read_bytes() == old[name].read_bytes(), name
    old, new = (files_of(folder / "tables", ".parquet") for folder in (KEPT / "release", tmp_path))
    assert list(new) == list(old)
    for name in old:
        assert pq.read_schema(new[name]).equals(pq.read_schema(old[name]), check_metadata=True), name
    for name in of_tables(old, EXACT):
        assert pq.read_table(new[name]).equals(pq.read_table(old[name])), name
        if pq.read_metadata(new[name]).created_by == pq.read_metadata(old[name]).created_by:
            assert new[name].read_bytes() == old[name].read_bytes(), name


def test_no_job_makes_the_kept_tables_again(spark: SparkSession, tmp_path: Path) -> None:
    settings = copy_release(tmp_path)
    before = {name: path.stat().st_mtime_ns for name, path in files_of(tmp_path / "tables", "").items()}

    counted, _, trained, listed, counted_later, _, delta = run_all(spark, settings)

    assert (counted["hours"], counted["up_to_date"], counted_later["up_to_date"]) == (0, 3, 1)
    assert all(details["up_to_date"] for details in (trained, listed, delta))
    assert {name: path.stat().st_mtime_ns for name, path in files_of(tmp_path / "tables", "").items()} == before
