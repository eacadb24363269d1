"""Jobs in their own process, killed when a test says so."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
import time
from collections.abc import Callable
from pathlib import Path

from repository import ROOT

PATIENCE = 120.0
POLL_SECONDS = 0.0005


def write_settings(folder: Path, **sections: dict[str, str | int]) -> Path:
    """A larder.toml of these sections, for a job with little memory."""
    every = {**sections, "spark": {"shuffle_partitions": 4, "driver_memory": "1g"}}
    lines = [
        line
        for section, values in every.items()
        for line in (f"[{section}]", *(f"{name} = {value!r}" for name, value in values.items()))
    ]
    file = folder / "larder.toml"
    file.write_text("\n".join(lines))
    return file


def killed(is_time: Callable[[], bool], *arguments: str) -> None:
    """Runs `larder ARGUMENTS` and kills it, its JVM and all, once it is time. It must not have ended before."""
    command = [sys.executable, "-m", "larder", *arguments]
    environment = {name: value for name, value in os.environ.items() if not name.startswith("PYSPARK_GATEWAY")}
    process = subprocess.Popen(
        command, cwd=ROOT, env=environment, stdout=subprocess.PIPE, stderr=subprocess.STDOUT, start_new_session=True
    )
    end = time.monotonic() + PATIENCE
    while not is_time() and process.poll() is None and time.monotonic() < end:
        time.sleep(POLL_SECONDS)
    assert process.poll() is None, process.communicate()[0].decode()
    os.killpg(process.pid, signal.SIGKILL)
    process.communicate()
    assert process.returncode == -signal.SIGKILL
