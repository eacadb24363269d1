"""Late and corrected hours: found, counted again and put right, to the byte as if they had come on time."""

from __future__ import annotations

import argparse
import hashlib
import os
import shutil
from datetime import datetime, timedelta, timezone
from pathlib import Path

import pytest
from event_folders import START, aggregate, hour_folder, manifest_of, moment, settings_in, write_parquet
from pyspark.sql import SparkSession

from larder.jobs import aggregate_hours, repair, roll_up
from larder.jobs.events.hour_aggregation import IncompleteHourError
from larder.jobs.runtime.stage_report import StageReport
from larder.models.hours import as_of_partition, hour_partition
from larder.settings import Settings, SettingsError
from larder.storage import MissingPartitionError, Tables

pytestmark = pytest.mark.end_to_end

HOURS = 5
LATE = 1


def write_hours(folder: Path, late: bool) -> None:
    for hour in range(START, START + HOURS):
        rows = [{"cookie_id": f"c{n}", "product_id": f"p{(n + hour) % 3}", "event_type": "purchase"} for n in range(6)]
        write_parquet(folder, hour, rows)
    if late:
        write_late(folder)


def write_late(folder: Path) -> None:
    late = [{"cookie_id": "c1", "event_type": "purchase", "product_id": f"p{n}"} for n in range(9)]
    write_parquet(folder, START + LATE, [*late, {"cookie_id": "new"}, {"price": -1.0}], "late.parquet")


def rolled_up(spark: SparkSession, settings: Settings, *windows: int) -> None:
    """Hours counted and rolled up in windows of so many hours."""
    start = START
    for hours in windows:
        aggregate(spark, settings, start, start + hours)
        window = argparse.Namespace(settings=settings, start=start, end=start + hours, from_empty=start == START)
        roll_up.run(spark, window)
        start += hours


def repaired(spark: SparkSession, settings: Settings, start: int = START, end: int = START + HOURS) -> StageReport:
    return repair.run(spark, argparse.Namespace(settings=settings, start=start, end=end, now=None))


def data(settings: Settings, hour: int = START + HOURS) -> dict[str, str]:
    """The bytes of the states as of an hour and of all hours' counts."""
    tables = Tables(settings.storage.tables)
    states = [tables.get(table, as_of_partition(hour), "") for table in ("interactions", "contexts")]
    counts = [manifest_of(settings, number) for number in range(START, hour)]
    return {
        f"{manifest.table} {manifest.partition} {Path(uri).name}": hashlib.sha256(Path(uri).read_bytes()).hexdigest()
        for manifest in (*states, *counts)
        for uri in tables.uris([manifest])
    }


@pytest.fixture(scope="module")
def on_time(spark: SparkSession, tmp_path_factory: pytest.TempPathFactory) -> dict[str, str]:
    """What comes out where every event came in its hour."""
    folder = tmp_path_factory.mktemp("on_time")
    write_hours(folder, late=True)
    settings = settings_in(folder)
    rolled_up(spark, settings, *[1] * HOURS)
    return data(settings)


@pytest.mark.parametrize("windows", [[1] * HOURS, [HOURS], [2, 2, 1]])
def test_late_events_end_as_if_they_had_come_on_time(
    spark: SparkSession, tmp_path: Path, on_time: dict[str, str], windows: list[int]
) -> None:
    write_hours(tmp_path, late=False)
    settings = settings_in(tmp_path)
    rolled_up(spark, settings, *windows)
    assert data(settings) != on_time
    untouched = [manifest_of(settings, START + hour) for hour in range(HOURS) if hour != LATE]
    write_late(tmp_path)
    report = repaired(spark, settings)
    assert data(settings) == on_time
    assert [manifest_of(settings, START + hour) for hour in range(HOURS) if hour != LATE] == untouched
    assert (report.details["hours_changed"], report.details["changed"]) == (1, "dt=2017-12-03/hr=01")
    assert (report.rows_in, report.rows_out, report.quarantined) == (11, 10, 1)
    # A second look finds nothing, and later hours go on from what was put right.
    assert repaired(spark, settings).details["rolled_up_from"] == "nothing to do"


def test_events_taken_back_leave_no_trace(spark: SparkSession, tmp_path: Path, on_time: dict[str, str]) -> None:
    write_hours(tmp_path, late=True)
    extra = write_parquet(tmp_path, START + 3, [{"cookie_id": "ghost", "event_type": "purchase"}], "ghost.parquet")
    settings = settings_in(tmp_path)
    rolled_up(spark, settings, *[1] * HOURS)
    extra.unlink()
    report = repaired(spark, settings)
    assert data(settings) == on_time
    assert (report.rows_in, report.details["rolled_up_from"]) == (-1, "2017-12-03T03")


def test_a_state_built_on_one_put_right_since_is_stale_too(spark: SparkSession, tmp_path: Path) -> None:
    write_hours(tmp_path, late=False)
    settings = settings_in(tmp_path)
    rolled_up(spark, settings, *[1] * HOURS)
    write_late(tmp_path)
    repaired(spark, settings, end=START + 3)
    assert repaired(spark, settings).details["rolled_up_from"] == "2017-12-03T03"
    assert repaired(spark, settings).details["rolled_up_from"] == "nothing to do"


@pytest.mark.parametrize("table", ["interactions", "contexts", "hourly_counts"])
def test_what_was_damaged_after_a_repair_keeps_the_late_events(
    spark: SparkSession, tmp_path: Path, on_time: dict[str, str], table: str
) -> None:
    write_hours(tmp_path, late=False)
    settings = settings_in(tmp_path)
    rolled_up(spark, settings, *[1] * HOURS)
    write_late(tmp_path)
    repaired(spark, settings)
    tables = Tables(settings.storage.tables)
    partition = hour_partition(START + LATE) if table == "hourly_counts" else as_of_partition(START + HOURS)
    Path(tables.uris([tables.get(table, partition, "")])[0]).write_bytes(b"")
    repaired(spark, settings)
    assert data(settings) == on_time


def test_an_empty_window_is_nothing_to_do(spark: SparkSession, tmp_path: Path) -> None:
    arguments = ["--settings", str(tmp_path / "larder.toml"), "--start", "2017-12-03T00", "--end", "2017-12-03T00"]
    (tmp_path / "larder.toml").write_text("")
    report = repair.run(spark, repair.parse_arguments(arguments))
    assert report.details["hours_looked_at"] == 0


def test_a_state_not_there_is_named(spark: SparkSession, tmp_path: Path) -> None:
    write_hours(tmp_path, late=False)
    with pytest.raises(MissingPartitionError, match="interactions has no partition as_of=2017-12-03T05"):
        repaired(spark, settings_in(tmp_path))


def test_an_hour_without_its_success_file_is_not_complete(spark: SparkSession, tmp_path: Path) -> None:
    write_hours(tmp_path, late=False)
    settings = settings_in(tmp_path, success_file="_SUCCESS")
    for hour in range(HOURS):
        (hour_folder(tmp_path, START + hour) / "_SUCCESS").touch()
    aggregate(spark, settings, START, START + HOURS)
    shutil.rmtree(hour_folder(tmp_path, START + 2))
    with pytest.raises(IncompleteHourError, match=r"dt=2017-12-03/hr=02: no _SUCCESS yet \(events\.success_file\)"):
        aggregate(spark, settings, START, START + HOURS)


def test_an_hour_just_written_to_is_not_complete(spark: SparkSession, tmp_path: Path) -> None:
    file = write_parquet(tmp_path, START, [{}])
    written = datetime(2017, 12, 3, 1, 5, tzinfo=timezone.utc)
    os.utime(file, (written.timestamp(), written.timestamp()))
    settings = settings_in(tmp_path, quiet_minutes=10)
    window = {"settings": settings, "start": START, "end": START + 1}
    with pytest.raises(IncompleteHourError, match="hr=00: written to within 10 minutes"):
        aggregate_hours.run(spark, argparse.Namespace(**window, now=written + timedelta(minutes=9)))
    report = aggregate_hours.run(spark, argparse.Namespace(**window, now=written + timedelta(minutes=10)))
    assert report.rows_in == 1
    with pytest.raises(SettingsError, match="--now must say"):
        aggregate_hours.run(spark, argparse.Namespace(**window, now=None))


def test_a_row_from_the_future_blocks_nothing(spark: SparkSession, tmp_path: Path) -> None:
    write_hours(tmp_path, late=False)
    write_parquet(tmp_path, START, [{"ts": moment(START + 10**5)}], "future.parquet")
    settings = settings_in(tmp_path)
    rolled_up(spark, settings, *[1] * HOURS)
    assert manifest_of(settings, START).counts["quarantined"] == 1
    assert repaired(spark, settings).details["hours_changed"] == 0
