"""Jobs on a standalone cluster of two workers: the same bytes as on one machine, also when one worker is killed."""

from __future__ import annotations

import json
import shutil
import time
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pytest
from event_folders import manifest_of, visible
from job_processes import reports_of, run_jobs, start_jobs
from spark_cluster import Cluster

from bench.larder_jobs import write_settings
from demo import synthetic
from larder.models.hours import as_text, hour, hour_partition
from larder.settings import load_settings

pytestmark = [pytest.mark.end_to_end, pytest.mark.slow]

START, HOURS = hour("2026-11-20T08"), 8
END = as_text(START + HOURS)
WINDOW = ["--start", as_text(START), "--end", END]
COUNTING = (["aggregate_hours", *WINDOW], ["roll_up", *WINDOW, "--from-empty"])
TRAINING = (["train_als", "--as-of", END], ["precompute", "--as-of", END])
ITERATIONS = 12
LOCAL = {"master": "local[2]", "driver_memory": "1g", "shuffle_partitions": 4}
PATIENCE, POLL_SECONDS = 200.0, 0.005


@dataclass(frozen=True)
class Flow:
    """Jobs that follow each other, and what they make on local[2]: every file with its digest."""

    steps: tuple[list[str], ...]
    log: Path
    before: Path | None  # tables that there are already
    expected: dict[str, str]
    done: Callable[[Path], int]  # how many parts of the first job lie in these tables
    parts: int

    def settings(self, folder: Path, spark: dict[str, Any]) -> Path:
        return settings_for(self.log, folder, spark, self.before)


def settings_for(log: Path, folder: Path, spark: dict[str, Any], before: Path | None = None) -> Path:
    if before:
        shutil.copytree(before, folder / "tables")
    return write_settings(
        folder / "larder.toml",
        storage={"events": log / "events", "tables": folder / "tables", "catalogue": log / "catalogue"},
        events={"max_events_an_hour": 1000},
        weights={"impression": 0.1},
        als={"rank": 16, "iterations": ITERATIONS, "interactions_per_block": 20_000, "blocks": 4},
        spark=spark,
    )


@pytest.fixture(scope="module")
def log(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Eight hours with bots, copies and dirt in three files each."""
    folder = tmp_path_factory.mktemp("log")
    shape = ["--rows", "40000", "--bots", "0.1", "--dirt", "0.02", "--rows-a-file", "15000"]
    synthetic.main([*shape, "--hours", str(HOURS), "--to", str(folder)])
    return folder


@pytest.fixture(scope="module")
def counted(log: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The tables that counting makes on local[2], true to the log."""
    folder = tmp_path_factory.mktemp("counted")
    settings = settings_for(log, folder, LOCAL)
    run_jobs(settings, *COUNTING)
    made_of = load_settings(settings)
    for number in range(START, START + HOURS):
        truth = json.loads((log / "truth" / hour_partition(number) / "hour.json").read_text())
        counts = manifest_of(made_of, number).counts
        assert counts["rows_in"] == truth["rows"]
        assert counts["quarantined"] == sum(truth["quarantined"].values())
        assert counts["duplicates"] == truth["duplicates"]
        assert counts["bot_events"] == sum(truth["bots"].values()) > 0
    return folder / "tables"


@pytest.fixture(scope="module")
def counting(log: Path, counted: Path) -> Flow:
    return Flow(COUNTING, log, None, visible(str(counted)), hours_written, HOURS)


@pytest.fixture(scope="module")
def training(log: Path, counted: Path, tmp_path_factory: pytest.TempPathFactory) -> Flow:
    folder = tmp_path_factory.mktemp("trained")
    trained, made = run_jobs(settings_for(log, folder, LOCAL, counted), *TRAINING)
    assert trained["details"]["users"] > 1000
    assert made["details"]["release_cookies"] > 1000
    return Flow(TRAINING, log, counted, visible(str(folder / "tables")), iterations_begun, ITERATIONS)


def hours_written(tables: Path) -> int:
    return len(list(tables.glob("hourly_counts/runs/*/part-*.parquet")))


def iterations_begun(tables: Path) -> int:
    numbers = [int(path.stem.split("-")[1]) for path in tables.glob("als_scratch/*/items-*.arrow")]
    return max(numbers, default=0)


@pytest.fixture(params=["counting", "training"])
def flow(request: pytest.FixtureRequest) -> Flow:
    found: Flow = request.getfixturevalue(request.param)
    return found


def test_a_cluster_makes_the_same_bytes(cluster: Cluster, flow: Flow, tmp_path: Path) -> None:
    run_jobs(flow.settings(tmp_path, cluster.spark_settings()), *flow.steps)

    assert visible(str(tmp_path / "tables")) == flow.expected


def test_so_does_one_that_loses_a_worker_half_way(cluster: Cluster, flow: Flow, tmp_path: Path) -> None:
    process = start_jobs(flow.settings(tmp_path, cluster.spark_settings()), *flow.steps)
    done, end = 0, time.monotonic() + PATIENCE
    while not done and process.poll() is None and time.monotonic() < end:
        time.sleep(POLL_SECONDS)
        done = flow.done(tmp_path / "tables")
    cluster.kill_worker()

    reports_of(process)

    assert 0 < done < flow.parts
    assert visible(str(tmp_path / "tables")) == flow.expected
