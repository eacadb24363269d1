"""The demo on a small slice: from raw logs to three served lists, twice."""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path

import pytest

pytestmark = pytest.mark.end_to_end

SLICE = ["--start", "2017-11-30", "--as-of", "2017-12-04", "--end", "2017-12-05", "--impressions", "1"]
SETTINGS = """
[storage]
events = "events"
tables = "tables"
catalogue = "catalogue.parquet"
images = "pack_shots"
[weights]
impression = 0.0
[als]
rank = 8
iterations = 2
[vision]
epochs = 1
image_size = 16
min_label_count = 2
[lists]
min_support = 1.0
min_products = 3
[evaluation]
bootstrap = 10
[redis]
directory = "redis"
[spark]
shuffle_partitions = 2
driver_memory = "2g"
"""


def run_demo(folder: Path) -> str:
    command = [sys.executable, "-m", "demo", "--settings", str(folder / "larder.toml"), "--port", "0"]
    done = subprocess.run(
        [*command, *SLICE, "--pictures", "60"], stdin=subprocess.DEVNULL, capture_output=True, text=True, timeout=1000
    )
    assert done.returncode == 0, done.stderr[-3000:]
    return done.stdout


def answer_to(output: str, who: str) -> str:
    return output.split(f"A visitor who {who}")[1].split("A visitor who")[0]


def test_every_kind_of_visitor_is_served_and_a_second_run_reuses_what_is_there(tmp_path: Path) -> None:
    (tmp_path / "larder.toml").write_text(SETTINGS)

    output = run_demo(tmp_path)

    assert "personal used" in answer_to(output, "has bought before")
    assert "similar used" in answer_to(output, "looks at")
    assert "similar used (category)" in output.split("which has no picture")[1].split("A visitor who")[0]
    assert "generic used (location_device)" in answer_to(output, "is new")
    assert "colour histogram" in output
    [page] = tmp_path.rglob("pictures.html")
    assert page.read_text().count("<section>") > 0
    stranger = answer_to(output, "has an unknown cookie")
    assert "personal skipped (unknown_cookie)" in stranger
    assert "generic used" in stranger
    again = run_demo(tmp_path)
    assert "sample data is there from an earlier run" in again
    assert "hours=0  up_to_date=120" in again
    assert (
        answer_to(again, "has bought before").split("\n", 2)[2]
        == answer_to(output, "has bought before").split("\n", 2)[2]
    )
