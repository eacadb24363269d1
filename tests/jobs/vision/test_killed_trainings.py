"""A training whose driver or worker is killed ends as one left alone, to the byte; and each task its own GPU."""

from __future__ import annotations

import shutil
import time
from collections.abc import Callable
from pathlib import Path

import pytest
from event_folders import visible
from job_processes import reports_of, run_jobs, start_jobs
from killed_jobs import killed
from spark_cluster import Cluster, gpu_address, spark_cluster
from written_pictures import training_settings, write_pictures

pytestmark = [pytest.mark.end_to_end, pytest.mark.slow]

LOCAL = {"master": "local[2]", "driver_memory": "1g", "shuffle_partitions": 2}
PICTURES, EPOCHS = 1200, 12
PATIENCE, POLL_SECONDS = 200.0, 0.005
TRAIN = ["train_vision"]


def rounds_through(tables: Path) -> int:
    """The newest checkpoint's number."""
    return max((int(path.stem[-5:]) for path in tables.glob("vision_scratch/*/rounds/round-*.npz")), default=0)


def past(tables: Path, rounds: int) -> Callable[[], bool]:
    """A moment in mid-round: some have been kept, and the next has begun."""
    return lambda: rounds_through(tables) >= rounds and time.sleep(0.05) is None


@pytest.fixture(scope="module")
def pictures(tmp_path_factory: pytest.TempPathFactory) -> Path:
    tables = tmp_path_factory.mktemp("pictures") / "tables"
    write_pictures(tables, PICTURES)
    return tables


def settings_for(pictures: Path, folder: Path, spark: dict[str, object], **vision: object) -> Path:
    shutil.copytree(pictures, folder / "tables")
    return training_settings(folder / "larder.toml", folder / "tables", spark, **{"epochs": EPOCHS, **vision})


@pytest.fixture(scope="module")
def undisturbed(pictures: Path, tmp_path_factory: pytest.TempPathFactory) -> dict[str, str]:
    """What a training on local[2] leaves, by file."""
    folder = tmp_path_factory.mktemp("undisturbed")
    (report,) = run_jobs(settings_for(pictures, folder, LOCAL), TRAIN)
    assert report["details"]["rounds"] == EPOCHS
    assert report["details"]["model_bytes"] <= 0.4 * report["details"]["checkpoint_bytes"]
    assert not list(folder.glob("tables/vision_scratch/*"))
    return visible(str(folder / "tables"))


def test_a_driver_killed_between_rounds(pictures: Path, undisturbed: dict[str, str], tmp_path: Path) -> None:
    settings = settings_for(pictures, tmp_path, LOCAL)
    killed(past(tmp_path / "tables", EPOCHS // 3), "train-vision", "--settings", str(settings))
    assert visible(str(tmp_path / "tables")).keys() < undisturbed.keys()

    (report,) = run_jobs(settings, TRAIN)

    assert EPOCHS > report["details"]["resumed_after"] >= EPOCHS // 3
    assert visible(str(tmp_path / "tables")) == undisturbed


def test_a_worker_killed_in_mid_round(
    cluster: Cluster, pictures: Path, undisturbed: dict[str, str], tmp_path: Path
) -> None:
    process = start_jobs(settings_for(pictures, tmp_path, cluster.spark_settings()), TRAIN)
    is_time, end = past(tmp_path / "tables", EPOCHS // 3), time.monotonic() + PATIENCE
    while not is_time() and process.poll() is None and time.monotonic() < end:
        time.sleep(POLL_SECONDS)
    through = rounds_through(tmp_path / "tables")
    cluster.kill_worker()

    (report,) = reports_of(process)

    assert EPOCHS // 3 <= through < EPOCHS
    assert "resumed_after" not in report["details"]
    assert visible(str(tmp_path / "tables")) == undisturbed


def test_each_task_sees_its_own_gpu_alone(pictures: Path, undisturbed: dict[str, str], tmp_path: Path) -> None:
    folder = tmp_path / "cluster"
    folder.mkdir()
    with spark_cluster(folder, gpus=True) as cluster:
        spark = {**cluster.spark_settings(), "gpus": 1}
        (report,) = run_jobs(settings_for(pictures, tmp_path, spark), TRAIN)
    assert sorted(report["details"]["gpus"].split()) == [gpu_address(1), gpu_address(2)]
    assert visible(str(tmp_path / "tables")) == undisturbed  # there is no such GPU, so it is the same arithmetic
