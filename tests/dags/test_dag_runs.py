"""Both DAGs as Airflow runs them, through spark-submit, on a shop of twelve visitors and two days."""

from __future__ import annotations

import json
import os
import sqlite3
import subprocess
import sys
from datetime import datetime, timedelta, timezone
from pathlib import Path
from typing import Any

import pyarrow as pa
import pyarrow.parquet as pq
import pytest
import redis
from PIL import Image
from repository import ROOT

from larder.loaders.embedded import embedded_server
from larder.loaders.releases import Releases
from larder.settings import load_settings
from larder.storage import Tables

pytestmark = [pytest.mark.end_to_end, pytest.mark.slow, pytest.mark.timeout(900)]

# The second day has one hour before it: enough for a gate, and no more hours than must be.
FIRST_HOUR = datetime(2025, 3, 1, 23, tzinfo=timezone.utc)
DAY = datetime(2025, 3, 2, tzinfo=timezone.utc)
DAY_END = DAY + timedelta(days=1)
COOKIES, PER_KIND = 12, 6
KINDS = {
    "Grocery/Dairy/Milk": (230, 230, 250),
    "Grocery/Dairy/Cheese": (240, 200, 40),
    "Home/Garden/Pots": (160, 70, 30),
}
PRODUCTS = len(KINDS) * PER_KIND
SETTINGS = """
[storage]
events = "events"
tables = "tables"
catalogue = "catalogue.parquet"
[als]
rank = 4
iterations = 2
blocks = 2
[vision]
image_size = 16
embedding = 4
epochs = 1
epochs_per_round = 1
batch_size = 4
min_label_count = 2
[lists]
min_support = 1.0
min_products = 2
[redis]
directory = "redis"
[spark]
shuffle_partitions = 2
"""
# Jobs of seconds gain nothing from a compiler that optimizes for hours.
SPARK_PROPERTIES = """
spark.ui.enabled false
spark.driver.memory 1g
spark.driver.extraJavaOptions -XX:TieredStopAtLevel=1 -XX:+UseSerialGC
"""


class Shop:
    """A folder with settings, events, catalogue and pictures, and an Airflow of its own."""

    def __init__(self, folder: Path) -> None:
        self.folder = folder
        self.settings_file = folder / "larder.toml"
        self.settings_file.write_text(SETTINGS)
        (folder / "spark.conf").write_text(SPARK_PROPERTIES)
        self.environment = {
            **os.environ,
            "PATH": f"{Path(sys.executable).parent}{os.pathsep}{os.environ['PATH']}",
            "SPARK_LOCAL_IP": "127.0.0.1",
            "AIRFLOW_HOME": str(folder / "airflow"),
            "AIRFLOW__CORE__DAGS_FOLDER": str(ROOT / "dags"),
            "AIRFLOW__CORE__LOAD_EXAMPLES": "False",
            "AIRFLOW_CONN_SPARK_DEFAULT": json.dumps({"conn_type": "spark", "host": "local[2]"}),
            "LARDER_SETTINGS": str(self.settings_file),
            "LARDER_FIRST_HOUR": FIRST_HOUR.strftime("%Y-%m-%dT%H"),
            "LARDER_SPARK_PROPERTIES": str(folder / "spark.conf"),
        }
        self.settings = load_settings(self.settings_file)
        self.tables = Tables(self.settings.storage.tables)

    def run(self, *command: str) -> str:
        """Output of a command that must succeed."""
        done = subprocess.run(
            [sys.executable, "-m", *command],
            cwd=self.folder, env=self.environment, text=True, stdout=subprocess.PIPE, stderr=subprocess.STDOUT,
        )  # fmt: skip
        assert done.returncode == 0, done.stdout[-20_000:]
        return done.stdout

    def run_dag(self, dag: str, named: datetime, *options: str, deltas: str = "off") -> dict[str, str]:
        """`airflow dags test` of the hour or day that begins then; the states of its tasks."""
        self.environment["LARDER_DELTAS"] = deltas
        self.run("airflow", "dags", "test", dag, named.isoformat(), *options)
        query = (
            "SELECT task_id, task_instance.state FROM task_instance JOIN dag_run USING (dag_id, run_id) "
            "WHERE dag_id = ? AND logical_date LIKE ?"
        )
        return dict(self._sql(query, dag, f"{named:%Y-%m-%d %H:%M}%"))

    def _sql(self, query: str, *values: str) -> list[Any]:
        with sqlite3.connect(self.folder / "airflow" / "airflow.db") as database:
            return database.execute(query, values).fetchall()


@pytest.fixture(scope="module")
def shop(tmp_path_factory: pytest.TempPathFactory) -> Shop:
    """With its events written, its pictures drawn, and Airflow's database made."""
    made = Shop(tmp_path_factory.mktemp("shop"))
    for hour in range(26):
        write_hour(made.folder / "events", FIRST_HOUR + timedelta(hours=hour), hour)
    draw_catalogue(made.folder)
    made.run("airflow", "db", "migrate")
    return made


def write_hour(events: Path, hour: datetime, number: int) -> None:
    """Each visitor views one product and buys another, of which some are new to them in every hour."""
    rows = [
        {
            "ts": hour + timedelta(minutes=cookie),
            "cookie_id": f"cookie{cookie}",
            "location": f"town{cookie % 2}",
            "device": "phone",
            "product_id": f"product{(5 * cookie + (cookie % 5 + 1) * number + shift) % PRODUCTS}",
            "event_type": event_type,
        }
        for cookie in range(COOKIES)
        for shift, event_type in ((0, "purchase"), (1, "view"))
    ]
    target = events / f"dt={hour:%Y-%m-%d}" / f"hr={hour:%H}" / "part.parquet"
    target.parent.mkdir(parents=True)
    pq.write_table(pa.Table.from_pylist(rows), target)


def draw_catalogue(folder: Path) -> None:
    rows = []
    for number in range(PRODUCTS):
        kind, (red, green, blue) = list(KINDS.items())[number // PER_KIND]
        shade = number % PER_KIND * 4
        image = folder / f"{number}.png"
        Image.new("RGB", (20, 20), (red - shade, green - shade, max(0, blue - shade))).save(image)
        rows.append({"product_id": f"product{number}", "category": kind, "in_stock": True, "image": image.name})
    pq.write_table(pa.Table.from_pylist(rows), folder / "catalogue.parquet")


@pytest.fixture(scope="module")
def hours(shop: Shop) -> list[dict[str, str]]:
    """The first and the last hour through Airflow, those between in one run by hand."""
    first = shop.run_dag("larder_hourly", FIRST_HOUR)
    between = ["--settings", str(shop.settings_file), "--start", "2025-03-02T00", "--end", "2025-03-02T23"]
    shop.run("larder", "aggregate-hours", *between)
    shop.run("larder", "roll-up", *between)
    last = shop.run_dag("larder_hourly", DAY_END - timedelta(hours=1))
    return [first, last]


@pytest.fixture(scope="module")
def day(shop: Shop, hours: list[dict[str, str]]) -> dict[str, str]:
    return shop.run_dag("larder_daily", DAY)


def test_hours_are_counted_and_rolled_up(shop: Shop, hours: list[dict[str, str]]) -> None:
    assert hours == [{"aggregate_hours": "success", "repair": "success", "roll_up": "success"}] * 2
    counts = shop.tables.get("hourly_counts", "dt=2025-03-01/hr=23", "")
    assert counts.counts["events"] == counts.counts["rows_in"] == COOKIES * 2
    first = shop.tables.get("interactions", "as_of=2025-03-02T00", "")
    assert first.inputs["state"] == "empty"
    assert first.rows == COOKIES * 2


def test_only_the_first_hour_begins_with_an_empty_state(shop: Shop, hours: list[dict[str, str]]) -> None:
    state = shop.tables.get("interactions", "as_of=2025-03-03T00", "")
    assert state.inputs["state"].startswith("interactions/as_of=2025-03-02T23@")


def test_a_day_ends_with_its_release_live(shop: Shop, day: dict[str, str]) -> None:
    assert set(day.values()) == {"success"}
    with embedded_server(shop.settings.redis.directory) as url, redis.Redis.from_url(url) as client:
        releases = Releases(client, shop.settings.redis.namespace)
        release = releases.find(releases.live().release or "")
    assert release is not None
    assert release.as_of == "2025-03-03T00"
    assert release.records["c"] == COOKIES
    assert release.records["p"] == PRODUCTS
    assert release.records["g"] > 0


@pytest.mark.slow
def test_an_hour_s_cookies_have_new_lists_when_it_ends(shop: Shop, day: dict[str, str]) -> None:
    states = shop.run_dag("larder_hourly", DAY_END, deltas="on")
    assert set(states.values()) == {"success"}
    assert "delta.load_redis" in states
    with embedded_server(shop.settings.redis.directory) as url, redis.Redis.from_url(url) as client:
        releases = Releases(client, shop.settings.redis.namespace)
        release = releases.find(releases.live().release or "")
        assert release is not None
        assert release.as_of == "2025-03-03T01"
        base = releases.find(release.base)
    assert base is not None
    assert base.as_of == "2025-03-03T00"
    assert 0 < release.records["c"] <= COOKIES


def test_the_gate_measures_the_model_of_the_day_s_beginning(shop: Shop, day: dict[str, str]) -> None:
    evaluation = shop.tables.get("evaluation", "as_of=2025-03-02T00", "")
    report = json.loads((shop.tables.run_folder(evaluation) / "report.json").read())
    assert report["end"] == "2025-03-03T00"
    assert report["test"]["users"] == COOKIES
    assert report["embeddings"]


def test_the_day_before_all_events_has_no_gate(shop: Shop) -> None:
    """The jobs themselves are taken for done: what counts is which would have been skipped."""
    jobs = "(wait|train|precompute|vision|load).*"
    states = shop.run_dag("larder_daily", DAY - timedelta(days=1), "--mark-success-pattern", jobs)
    skipped = {task for task, state in states.items() if state == "skipped"}
    assert skipped == {"gate.train_als", "gate.evaluate"}
    assert states["load_redis"] == "success"
