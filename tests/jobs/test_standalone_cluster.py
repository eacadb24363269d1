"""Aggregation and roll-up on a standalone cluster of two workers: the same bytes as on one machine, with one killed."""

from __future__ import annotations

import json
import time
from pathlib import Path

import pytest
from event_folders import manifest_of, visible
from job_processes import reports_of, run_jobs, start_jobs
from spark_cluster import Cluster

from bench.larder_jobs import write_settings
from demo import synthetic
from jobs.arguments import as_text, hour, hour_partition
from settings import load_settings

pytestmark = [pytest.mark.end_to_end, pytest.mark.slow]

START, HOURS = hour("2026-11-20T08"), 8
WINDOW = ["--start", as_text(START), "--end", as_text(START + HOURS)]
STEPS = (["aggregate_hours", *WINDOW], ["roll_up", *WINDOW, "--from-empty"])
LOCAL = {"master": "local[2]", "driver_memory": "1g", "shuffle_partitions": 4}
PATIENCE, POLL_SECONDS = 200.0, 0.01


def settings_for(log: Path, folder: Path, spark: dict[str, object]) -> Path:
    folder.mkdir(exist_ok=True)
    storage = {"events": log / "events", "tables": folder / "tables"}
    events, weights = {"max_events_an_hour": 1000}, {"impression": 0.1}
    return write_settings(folder / "larder.toml", storage=storage, events=events, weights=weights, spark=spark)


@pytest.fixture(scope="module")
def log(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Eight hours with bots, copies and dirt in three files each."""
    folder = tmp_path_factory.mktemp("log")
    shape = ["--rows", "40000", "--bots", "0.1", "--dirt", "0.02", "--rows-a-file", "15000"]
    synthetic.main([*shape, "--hours", str(HOURS), "--to", str(folder)])
    return folder


@pytest.fixture(scope="module")
def on_one_machine(log: Path, tmp_path_factory: pytest.TempPathFactory) -> dict[str, str]:
    """What the jobs make on local[2]: every file with its digest."""
    folder = tmp_path_factory.mktemp("local")
    settings = settings_for(log, folder, LOCAL)
    run_jobs(settings, *STEPS)
    made_of = load_settings(settings)
    for number in range(START, START + HOURS):
        truth = json.loads((log / "truth" / hour_partition(number) / "hour.json").read_text())
        counts = manifest_of(made_of, number).counts
        assert counts["rows_in"] == truth["rows"]
        assert counts["quarantined"] == sum(truth["quarantined"].values())
        assert counts["duplicates"] == truth["duplicates"]
        assert counts["bot_events"] == sum(truth["bots"].values()) > 0
    return visible(str(folder / "tables"))


def test_a_cluster_makes_the_same_bytes(
    cluster: Cluster, log: Path, on_one_machine: dict[str, str], tmp_path: Path
) -> None:
    run_jobs(settings_for(log, tmp_path, cluster.spark_settings()), *STEPS)

    assert visible(str(tmp_path / "tables")) == on_one_machine


def test_so_does_one_that_loses_a_worker_half_way(
    cluster: Cluster, log: Path, on_one_machine: dict[str, str], tmp_path: Path
) -> None:
    process = start_jobs(settings_for(log, tmp_path, cluster.spark_settings()), *STEPS)
    written, end = 0, time.monotonic() + PATIENCE
    while not written and process.poll() is None and time.monotonic() < end:
        time.sleep(POLL_SECONDS)
        written = len(list((tmp_path / "tables/hourly_counts/runs").glob("*/part-*.parquet")))
    cluster.kill_worker()

    counted, _ = reports_of(process)

    assert 0 < written < HOURS
    assert counted["details"]["hours"] == HOURS
    assert visible(str(tmp_path / "tables")) == on_one_machine
