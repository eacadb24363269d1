"""Hours rolled up: in one window or in many, the state is the same."""

from __future__ import annotations

import argparse
import hashlib
import random
from datetime import datetime, timezone
from pathlib import Path

import pytest
from event_folders import visible
from pyspark.sql import SparkSession
from written_tables import Row, read_table, write_table

from larder.jobs import roll_up
from larder.jobs.runtime.stage_report import StageReport
from larder.models.hours import as_of_partition, hour_partition
from larder.models.tables import HOURLY_COUNTS
from larder.settings import RollUpSettings, Settings, SparkSettings, StorageSettings
from larder.storage import Manifest, MissingPartitionError, Tables
from larder.storage.manifests import plan_run

pytestmark = pytest.mark.end_to_end

START = 420_072
HOURS = 6
NOW = datetime(2017, 12, 3, tzinfo=timezone.utc)


def settings_with(tables: Path | str, **roll_up: float) -> Settings:
    return Settings(
        storage=StorageSettings(tables=str(tables)),
        roll_up=RollUpSettings(**roll_up),
        spark=SparkSettings(shuffle_partitions=2),
    )


def hour_rows(hour: int) -> list[Row]:
    draw = random.Random(hour)
    contexts = [(cookie, product, device) for cookie in range(4) for product in ("p1", "p2") for device in ("", "till")]
    return [
        (hour, cookie, product, "north", device, 1, draw.randrange(2), 0, draw.randrange(3), 1, NOW)
        for cookie, product, device in draw.sample(contexts, 8)
    ]


def write_hours(tables: Path | str, hours: range) -> None:
    for hour in hours:
        planned = plan_run("hourly_counts", hour_partition(hour), {"events": str(hour)}, {})
        write_table(Tables(str(tables)), planned, HOURLY_COUNTS.schema, hour_rows(hour))


def run(spark: SparkSession, settings: Settings, start: int, end: int, from_empty: bool = False) -> StageReport:
    return roll_up.run(spark, argparse.Namespace(settings=settings, start=start, end=end, from_empty=from_empty))


def state(settings: Settings, table: str, hour: int) -> Manifest:
    return Tables(settings.storage.tables).get(table, as_of_partition(hour), "")


@pytest.fixture(scope="module")
def at_once(spark: SparkSession, tmp_path_factory: pytest.TempPathFactory) -> Settings:
    """All hours in one window."""
    folder = tmp_path_factory.mktemp("at_once")
    write_hours(folder, range(START, START + HOURS))
    settings = settings_with(folder)
    run(spark, settings, START, START + HOURS, from_empty=True)
    return settings


def test_window_after_window_is_the_same_as_at_once(spark: SparkSession, at_once: Settings, tmp_path: Path) -> None:
    write_hours(tmp_path, range(START, START + HOURS))
    settings = settings_with(tmp_path)
    run(spark, settings, START, START + 2, from_empty=True)
    run(spark, settings, START + 2, START + HOURS)
    for table in ("interactions", "contexts"):
        manifests = [state(each, table, START + HOURS) for each in (settings, at_once)]
        found = [
            read_table(Tables(each.storage.tables), m) for each, m in zip((settings, at_once), manifests, strict=True)
        ]
        assert found[0] == found[1]
        assert len(found[0]) > 3
        assert manifests[0].inputs["state"] == state(settings, table, START + 2).reference
        assert manifests[1].inputs["state"] == "empty"


def data_of(settings: Settings, table: str) -> dict[str, str]:
    """The bytes of a state's files, by name."""
    manifest = state(settings, table, START + HOURS)
    files = Tables(settings.storage.tables).uris([manifest])
    return {Path(uri).name: hashlib.sha256(Path(uri).read_bytes()).hexdigest() for uri in files}


def test_bytes_do_not_depend_on_windows_however_often_the_landmark_moves(spark: SparkSession, tmp_path: Path) -> None:
    often = {"interactions_half_life_days": 0.005, "contexts_half_life_days": 0.008}  # 2 and 3 hours a landmark
    found = []
    for steps in ([HOURS], [1] * HOURS, [2, 1, 3]):
        settings = settings_with(tmp_path / str(len(steps)), **often)
        write_hours(settings.storage.tables, range(START, START + HOURS))
        at = START
        for step in steps:
            run(spark, settings, at, at + step, from_empty=at == START)
            at += step
        found.append([data_of(settings, table) for table in ("interactions", "contexts")])
    assert found[0] == found[1] == found[2]
    assert all(found[0])


def test_a_state_goes_on_in_other_ranges(spark: SparkSession, tmp_path: Path) -> None:
    found = []
    for ranges in ((4, 4), (1, 4), (8, 4)):
        folder = tmp_path / "-".join(map(str, ranges))
        write_hours(folder, range(START, START + HOURS))
        run(spark, settings_with(folder, ranges=ranges[0]), START, START + 3, from_empty=True)
        settings = settings_with(folder, ranges=ranges[1])
        run(spark, settings, START + 3, START + HOURS)
        found.append([data_of(settings, table) for table in ("interactions", "contexts")])
    assert found[0] == found[1] == found[2]


def test_purchases_are_all_there(at_once: Settings) -> None:
    interactions = read_table(Tables(at_once.storage.tables), state(at_once, "interactions", START + HOURS))
    bought = sum(row[8] for hour in range(START, START + HOURS) for row in hour_rows(hour))
    assert sum(row[3] for row in interactions) == bought


def test_a_second_run_writes_nothing(spark: SparkSession, at_once: Settings) -> None:
    before = visible(at_once.storage.tables)
    report = run(spark, at_once, START, START + HOURS, from_empty=True)
    assert visible(at_once.storage.tables) == before
    assert report.rows_in == sum(len(hour_rows(hour)) for hour in range(START, START + HOURS))
    assert report.details["hours"] == HOURS


def test_hours_not_aggregated_are_named_with_their_command(spark: SparkSession, at_once: Settings) -> None:
    with pytest.raises(MissingPartitionError) as caught:
        run(spark, at_once, START + HOURS - 1, START + HOURS + 1, from_empty=True)
    message = str(caught.value)
    assert "1 hours are not aggregated yet (dt=2017-12-03/hr=06)" in message
    assert "`larder aggregate-hours --start 2017-12-03T05 --end 2017-12-03T07`" in message


def test_many_missing_hours_are_counted_and_some_named(spark: SparkSession, tmp_path: Path) -> None:
    with pytest.raises(MissingPartitionError, match=r"24 hours .*hr=04, \.\.\.\)"):
        run(spark, settings_with(tmp_path), START, START + 24)


def test_a_state_not_there_is_named_with_both_ways_to_make_it(spark: SparkSession, at_once: Settings) -> None:
    with pytest.raises(MissingPartitionError) as caught:
        run(spark, at_once, START + 1, START + 2)
    message = str(caught.value)
    assert "interactions has no partition as_of=2017-12-03T01" in message
    command = "larder roll-up --start 2017-12-03T00 --end 2017-12-03T01 --from-empty"
    assert message.endswith(f"make it with `{command}`, or begin with --from-empty")


def test_a_half_life_changed_under_way_is_refused(spark: SparkSession, at_once: Settings) -> None:
    write_hours(at_once.storage.tables, range(START + HOURS, START + HOURS + 1))
    settings = settings_with(at_once.storage.tables, interactions_half_life_days=7.0)
    with pytest.raises(ValueError, match="--from-empty"):
        run(spark, settings, START + HOURS, START + HOURS + 1)
