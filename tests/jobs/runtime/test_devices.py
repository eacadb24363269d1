"""GPUs: what the discovery script prints, what Spark is told, and a process that began with others."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from pathlib import Path

import pytest

from larder.jobs.runtime.session import GPU_SCRIPT, _gpu_options
from larder.settings import SparkSettings


@pytest.mark.parametrize(
    ("lines", "addresses"), [("0", ["0"]), ("0\\n1\\n10", ["0", "1", "10"]), ("No devices were found", [])]
)
def test_the_script_prints_what_spark_reads(tmp_path: Path, lines: str, addresses: list[str]) -> None:
    fake = tmp_path / "nvidia-smi"
    fake.write_text(f"#!/bin/sh\nprintf '{lines}\\n'\n")
    fake.chmod(0o755)
    environment = {**os.environ, "PATH": f"{tmp_path}:{os.environ['PATH']}"}
    done = subprocess.run([str(GPU_SCRIPT)], env=environment, capture_output=True, check=True)
    assert json.loads(done.stdout) == {"name": "gpu", "addresses": addresses}


def test_it_fails_where_there_is_no_driver(tmp_path: Path) -> None:
    for tool in ("sh", "sed", "paste"):
        (tmp_path / tool).symlink_to(subprocess.check_output(["which", tool], text=True).strip())
    done = subprocess.run([str(GPU_SCRIPT)], env={"PATH": str(tmp_path)}, capture_output=True)
    assert done.returncode == 1


def test_spark_is_asked_for_gpus_only_where_the_settings_do() -> None:
    assert _gpu_options(SparkSettings()) == {}
    assert _gpu_options(SparkSettings(gpus=1, gpus_of_task=0.5)) == {
        "spark.executor.resource.gpu.amount": "1",
        "spark.executor.resource.gpu.discoveryScript": str(GPU_SCRIPT),
        "spark.task.resource.gpu.amount": "0.5",
    }
    several = _gpu_options(SparkSettings(gpus=4, gpu_script="/opt/gpus.sh"))
    assert several["spark.executor.resource.gpu.discoveryScript"] == "/opt/gpus.sh"
    assert several["spark.python.worker.reuse"] == "false"


ASSIGNED = """
import os, sys
from larder.jobs.runtime import devices
devices.own_devices = lambda: ("3",)
devices.see_only_own_devices()
assert os.environ["CUDA_VISIBLE_DEVICES"] == "3"
sys.modules["tensorflow"] = os
devices.see_only_own_devices()
devices.own_devices = lambda: ("4",)
try:
    devices.see_only_own_devices()
except devices.OtherDevicesError as error:
    print(error)
devices.own_devices = lambda: ()
devices.see_only_own_devices()
assert os.environ["CUDA_VISIBLE_DEVICES"] == "3"
"""


def test_a_process_keeps_the_gpus_that_it_began_with() -> None:
    done = subprocess.run([sys.executable, "-c", ASSIGNED], capture_output=True, text=True, check=True)
    assert "assigned GPU 4 to this task, but its process began with '3'" in done.stdout
