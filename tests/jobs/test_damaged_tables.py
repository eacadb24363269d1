"""Files that a loss of power emptied, that were cut off or removed: no job reads past them, and a rerun mends them."""

from __future__ import annotations

import argparse
import shutil
from pathlib import Path

import pytest
from event_folders import START, aggregate, manifest_of, settings_in, visible, write_parquet
from pyspark.sql import SparkSession

from larder.jobs import roll_up
from larder.models.hours import as_of_partition
from larder.settings import Settings
from larder.storage import DamagedTableError, Tables

END = START + 2
OF_HOURS = ("quarantine", "bots")
pytestmark = pytest.mark.end_to_end


def rolled_up(spark: SparkSession, settings: Settings) -> None:
    roll_up.run(spark, argparse.Namespace(settings=settings, start=START, end=END, from_empty=True))


@pytest.fixture
def made(spark: SparkSession, tmp_path: Path) -> Settings:
    folder = tmp_path
    rows = [{"cookie_id": f"c{n}", "event_type": "purchase"} for n in range(40)]
    for hour in range(START, END):
        write_parquet(folder, hour, [*rows, {"cookie_id": None}, *[{"cookie_id": "robot"}] * 9])
    settings = settings_in(folder, max_events_an_hour=8)
    aggregate(spark, settings, START, END)
    rolled_up(spark, settings)
    return settings


def test_counts_that_were_emptied_are_not_taken_for_an_hour_without_events(spark: SparkSession, made: Settings) -> None:
    tables, before = Tables(made.storage.tables), visible(made.storage.tables)
    (path,) = map(Path, tables.uris([manifest_of(made, START)]))
    manifest = Path(made.storage.tables) / "interactions" / "manifests" / f"{as_of_partition(END)}.json"
    path.write_bytes(b"")
    manifest.unlink()
    with pytest.raises(DamagedTableError, match=f"{path} has 0 bytes, .*; make hourly_counts of dt=2017"):
        rolled_up(spark, made)
    assert aggregate(spark, made, START, END).details["hours"] == 1
    rolled_up(spark, made)
    assert visible(made.storage.tables) == before


@pytest.mark.parametrize("table", ["quarantine", "bots", "interactions", "contexts"])
def test_what_is_damaged_is_made_anew_by_its_job(spark: SparkSession, made: Settings, table: str) -> None:
    tables, before = Tables(made.storage.tables), visible(made.storage.tables)
    manifest = manifest_of(made, START, table) if table in OF_HOURS else tables.get(table, as_of_partition(END), "")
    path = Path(tables.uris([manifest])[0])
    path.write_bytes(path.read_bytes()[:-1])
    aggregate(spark, made, START, END)
    rolled_up(spark, made)
    assert visible(made.storage.tables) == before


def test_what_was_set_aside_may_be_removed_by_its_age(spark: SparkSession, made: Settings) -> None:
    for table in OF_HOURS:
        shutil.rmtree(Path(made.storage.tables) / table / "manifests")
    assert aggregate(spark, made, START, END).details["hours"] == 0


def test_what_is_whole_is_left_alone(spark: SparkSession, made: Settings) -> None:
    paths = sorted(Path(made.storage.tables).rglob("*.parquet"))
    before = [path.stat().st_mtime_ns for path in paths]
    assert aggregate(spark, made, START, END).rows_in == 0
    rolled_up(spark, made)
    assert [path.stat().st_mtime_ns for path in paths] == before
