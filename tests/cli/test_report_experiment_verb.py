"""`larder report experiment` over a small folder, in a process of its own."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from pathlib import Path

import pytest
from event_folders import START
from experiment_logs import BEFORE_EXPERIMENTS, NAME, answer, write_events, write_log
from repository import ROOT

from larder.models.hours import as_text

SETTINGS = """
[storage]
events = "{folder}/events"
tables = "{folder}/tables"
[lookup]
journey = "{folder}/log"
[spark]
shuffle_partitions = 2
[experiments.lists.arms.control]
share = {share}
[experiments.lists.arms.new]
share = 0.1
"""


def reported(folder: Path, share: float, *arguments: str) -> subprocess.CompletedProcess[str]:
    (folder / "larder.toml").write_text(SETTINGS.format(folder=folder, share=share))
    hours = ["--start", as_text(START), "--end", as_text(START + 2), "--within", "1", "--before", "0"]
    command = [sys.executable, "-m", "larder", "report", "experiment", NAME, *hours, *arguments]
    environment = {name: value for name, value in os.environ.items() if not name.startswith("PYSPARK_GATEWAY")}
    environment |= {"PYTHONPATH": str(ROOT), "LARDER_SETTINGS": str(folder / "larder.toml")}
    return subprocess.run(command, cwd=folder, env=environment, capture_output=True, text=True, timeout=500)


@pytest.mark.end_to_end
def test_the_verb_writes_the_report_and_ends_with_3_if_the_sample_ratio_is_wrong(tmp_path: Path) -> None:
    for hour in (START, START + 1):
        for number in range(20):
            arm = ("control", "new")[number % 2]
            cookie = f"c{hour}-{number}"
            write_log(tmp_path, answer(cookie, cookie, ["p1", "p2"], hour, arm=arm), hour, cookie)
        write_log(tmp_path, answer("old", "old", ["p1"], hour), hour, "old", columns=BEFORE_EXPERIMENTS)
    write_events(tmp_path, [{"cookie_id": f"c{START}-1", "request_id": f"c{START}-1", "product_id": "p2"}])
    done = reported(tmp_path, 0.1)
    assert done.returncode == 0, done.stderr
    lines = done.stdout.splitlines()
    assert lines[0] == "sample ratio: control 20 (20 expected), new 20 (20 expected); p = 1; as assigned"
    assert lines[1] == "rows of the log: 82 read = 80 used, 0 moved, 0 forced, 2 not in experiment"
    folder = tmp_path / "tables" / "experiment_reports" / f"{NAME}-{as_text(START)}-{as_text(START + 2)}"
    found = json.loads((folder / "report.json").read_text())
    assert found["metrics"]["click_through"]["arms"] == {"control": 0.0, "new": 1 / 40}
    wrong = reported(tmp_path, 0.9, "--to", str(tmp_path / "wrong"))
    assert wrong.returncode == 3
    assert wrong.stderr.splitlines()[-1].startswith(f"larder: {NAME}: visitors did not come to the arms in the shares")
    assert {path.name for path in (tmp_path / "wrong").iterdir()} == {"report.json", "report.html"}
