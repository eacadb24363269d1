"""Training and the lists made of it on a standalone cluster: the bytes of one machine, a worker killed or not."""

from __future__ import annotations

import shutil
import time
from pathlib import Path

import pytest
from event_folders import visible
from job_processes import reports_of, run_jobs, start_jobs
from spark_cluster import Cluster

from bench.larder_jobs import write_settings
from demo import synthetic
from jobs.arguments import as_text, hour

pytestmark = [pytest.mark.end_to_end, pytest.mark.slow]

START, HOURS = hour("2026-11-20T08"), 2
END = as_text(START + HOURS)
WINDOW = ["--start", as_text(START), "--end", END]
COUNTING = (["aggregate_hours", *WINDOW], ["roll_up", *WINDOW, "--from-empty"])
STEPS = (["train_als", "--as-of", END], ["precompute", "--as-of", END])
LOCAL = {"master": "local[2]", "driver_memory": "1g", "shuffle_partitions": 4}
ITERATIONS = 12
PATIENCE, POLL_SECONDS = 200.0, 0.005


def settings_for(log: Path, folder: Path, spark: dict[str, object]) -> Path:
    """Those of a job on tables of its own, which begin as the log's counts."""
    shutil.copytree(log / "tables", folder / "tables", dirs_exist_ok=True)
    als = {"rank": 16, "iterations": ITERATIONS, "interactions_per_block": 20_000, "blocks": 4}
    return write_settings(folder / "larder.toml", als=als, spark=spark, **sections(log, folder))


def sections(log: Path, folder: Path) -> dict[str, dict[str, object]]:
    storage = {"events": log / "events", "tables": folder / "tables", "catalogue": log / "catalogue"}
    return {"storage": storage, "events": {"max_events_an_hour": 1000}, "weights": {"impression": 0.1}}


@pytest.fixture(scope="module")
def log(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Two hours of events, already counted and rolled up."""
    folder = tmp_path_factory.mktemp("log")
    shape = ["--rows", "60000", "--products", "2000", "--hours", str(HOURS), "--to", str(folder)]
    synthetic.main(shape)
    run_jobs(write_settings(folder / "larder.toml", spark=LOCAL, **sections(folder, folder)), *COUNTING)
    return folder


@pytest.fixture(scope="module")
def on_one_machine(log: Path, tmp_path_factory: pytest.TempPathFactory) -> dict[str, str]:
    folder = tmp_path_factory.mktemp("local")
    trained, made = run_jobs(settings_for(log, folder, LOCAL), *STEPS)
    assert trained["details"]["users"] > 1000
    assert made["details"]["release_cookies"] > 1000
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
    begun, end = 0, time.monotonic() + PATIENCE
    while begun < ITERATIONS // 3 and process.poll() is None and time.monotonic() < end:
        time.sleep(POLL_SECONDS)
        numbers = [int(path.stem.split("-")[1]) for path in (tmp_path / "tables").glob("als_scratch/*/items-*.arrow")]
        begun = max(numbers, default=0)
    cluster.kill_worker()

    reports_of(process)

    assert 0 < begun < ITERATIONS - 1
    assert visible(str(tmp_path / "tables")) == on_one_machine
