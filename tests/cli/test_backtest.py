"""`larder backtest` on a shop whose visitors buy the same things every day."""

from __future__ import annotations

import json
import re
import subprocess
import sys
from datetime import datetime, timezone
from pathlib import Path

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
import pytest
from command_line import run_larder
from written_tables import write_table

from larder.jobs.evaluation.backtest_summary import by_window
from larder.models.hours import hour_partition
from larder.models.tables import HOURLY_COUNTS
from larder.storage import Tables
from larder.storage.manifests import plan_run

START, DAYS = 420_000, 5
USERS, ITEMS, HABIT = 40, 30, 3
SETTINGS = """
[storage]
tables = "tables"
catalogue = "catalogue.parquet"
[als]
rank = 4
iterations = 2
[lists]
weights = "seen_the_future.json"
[evaluation]
bootstrap = 20
peers = false
least_ratio_to_popularity = 100.0
[spark]
master = "local[2]"
shuffle_partitions = 2
driver_memory = "1g"
"""


@pytest.fixture(scope="module")
def shop(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Each visitor buys its own products every day, and a new one."""
    folder = tmp_path_factory.mktemp("backtest")
    (folder / "larder.toml").write_text(SETTINGS)
    (folder / "seen_the_future.json").write_text("no weights")
    pq.write_table(pa.table({"product_id": [f"p{item:02}" for item in range(ITEMS)]}), folder / "catalogue.parquet")
    draw, tables = np.random.default_rng(5), Tables(str(folder / "tables"))
    habits = [draw.choice(ITEMS, HABIT, replace=False) for _ in range(USERS)]
    for hour in range(START, START + DAYS * 24):
        moment = datetime.fromtimestamp(hour * 3600, timezone.utc)
        bought = {
            (user, int(item))
            for user in range(USERS)
            if user % 24 == hour % 24
            for item in (*habits[user], draw.integers(ITEMS))
        }
        rows = [(hour, user, f"p{item:02}", "north", "till", 0, 0, 0, 1, 1, moment) for user, item in sorted(bought)]
        planned = plan_run("hourly_counts", hour_partition(hour), {}, {})
        write_table(tables, planned, HOURLY_COUNTS.schema, rows)
    return folder


@pytest.mark.end_to_end
def test_every_window_is_measured_with_weights_of_the_days_before(shop: Path) -> None:
    words = ["--start", "2017-11-30", "--end", "2017-12-05", "--windows", "2", "--days", "1", "--tune", "2"]
    larder = Path(sys.executable).with_name("larder")
    command = [larder, "backtest", "--settings", "larder.toml", *words, "--to", "figures.json"]
    done = subprocess.run(command, cwd=shop, capture_output=True, text=True, timeout=600)
    assert done.returncode == 0, done.stderr
    found = json.loads((shop / "figures.json").read_text())
    assert list(found["windows"]) == ["2017-12-03T00", "2017-12-04T00"]
    for rows in found["windows"].values():
        ndcg = {row["method"]: row["ndcg@10"] for row in rows if row["task"] == "all"}
        assert ndcg["personal"] > 0.8 > ndcg["popularity"]
    (told,) = re.findall(r"^  popularity  .*", done.stdout.partition("all products: NDCG@10")[2], re.MULTILINE)
    assert told.endswith("above on 2 of 2")
    weights = sorted(path.name for path in (shop / "tables" / "backtest").iterdir())
    assert weights == ["weights-2017-12-03T00.json", "weights-2017-12-04T00.json"]


@pytest.mark.parametrize(
    ("words", "told"),
    [
        (["--windows", "5", "--tune", "0"], "is not after --start 2017-11-30"),
        (["--tune", "1"], "--tune must be 0"),
        (["--windows", "1", "--tune", "0", "--to", "gone/figures.json"], "there is no folder gone"),
    ],
)
def test_windows_that_do_not_fit_are_refused(shop: Path, words: list[str], told: str) -> None:
    window = ["--start", "2017-11-30", "--end", "2017-12-05", "--days", "1"]
    done = run_larder("backtest", "--settings", str(shop / "larder.toml"), *window, *words)
    assert done.returncode == 2
    assert told in " ".join(done.stderr.split())


def test_a_method_that_some_window_lacks_is_left_out() -> None:
    def row(method: str, ndcg: float) -> dict[str, object]:
        return {"task": "all", "method": method, "ndcg@10": ndcg}

    first = [row("popularity", 0.1), row("personal", 0.3), row("item-kNN", 0.2)]
    second = [row("popularity", 0.2), row("personal", 0.3)]
    lines = list(by_window([("2017-11-06T00", first), ("2017-12-04T00", second)]))
    assert lines[1:] == [
        "all products: NDCG@10 by window",
        "  method       11-06   12-04    mean  personal beside it",
        "  popularity  0.1000  0.2000  0.1500  +0.1500 [-0.4853, +0.7853] +100.0%, above on 2 of 2",
        "  personal    0.3000  0.3000  0.3000",
    ]


def test_a_method_that_finds_nothing_has_no_share() -> None:
    """Own frequency, in a shop where nothing is bought twice."""
    rows = [{"task": "all", "method": name, "ndcg@10": figure} for name, figure in (("own", 0.0), ("personal", 0.3))]
    lines = list(by_window([("2017-11-06T00", rows), ("2017-12-04T00", rows)]))
    assert lines[3].endswith("+0.3000 [+0.3000, +0.3000], above on 2 of 2")
