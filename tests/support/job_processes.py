"""Jobs in a process of their own, as spark-submit would run them: several in one Spark session, to start Java once."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from collections.abc import Sequence
from pathlib import Path
from typing import Any

from repository import ROOT

PATIENCE = 500
IN_ONE_SESSION = """
import importlib, json, sys
from larder.jobs.runtime.session import spark_session
from larder.settings import load_settings
settings, steps = sys.argv[1], json.loads(sys.argv[2])
with spark_session("tests", load_settings(settings)) as spark:
    for name, *argv in steps:
        job = importlib.import_module(f"larder.jobs.{name}")
        job.run(spark, job.parse_arguments(["--settings", settings, *argv]))
"""


def start_jobs(settings: Path, *steps: Sequence[str]) -> subprocess.Popen[str]:
    """Each step is a job's name and its arguments."""
    environment = {name: value for name, value in os.environ.items() if not name.startswith("PYSPARK_GATEWAY")}
    environment |= {"LARDER_LOG": "json", "PYTHONPATH": str(ROOT)}
    return subprocess.Popen(
        [sys.executable, "-c", IN_ONE_SESSION, str(settings), json.dumps(steps)],
        cwd=ROOT, env=environment, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True,
    )  # fmt: skip


def reports_of(process: subprocess.Popen[str]) -> list[dict[str, Any]]:
    """Waits for the end; what each step said of itself."""
    output, errors = process.communicate(timeout=PATIENCE)
    assert process.returncode == 0, output[-2000:] + errors[-6000:]
    return [json.loads(line) for line in output.splitlines() if line.startswith('{"')]


def run_jobs(settings: Path, *steps: Sequence[str]) -> list[dict[str, Any]]:
    return reports_of(start_jobs(settings, *steps))
