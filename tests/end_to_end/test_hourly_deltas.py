"""What a visitor did in an hour decides on their list when the hour is over, through every job between."""

from __future__ import annotations

from datetime import datetime, timedelta, timezone
from pathlib import Path
from types import ModuleType
from typing import Any

import pyarrow as pa
import pyarrow.parquet as pq
import pytest
import redis
from pyspark.sql import SparkSession

from larder.jobs import aggregate_hours, load_redis, precompute, precompute_cookies, roll_up, train_als
from larder.loaders.codec import decode_list
from larder.loaders.delta import base_release, read_ids, read_records
from larder.loaders.embedded import embedded_server
from larder.loaders.keys import COOKIES, key64
from larder.loaders.releases import Releases
from larder.models.hours import as_text, hour

pytestmark = [pytest.mark.end_to_end, pytest.mark.slow]

SETTINGS = """
[storage]
events = "events"
tables = "tables"
catalogue = "catalogue.parquet"
[als]
rank = 4
iterations = 4
blocks = 2
regularisation = 0.01
alpha = 20.0
[lists]
personal = 4
min_support = 1.0
min_products = 2
[redis]
url = "{url}"
[spark]
shuffle_partitions = 2
"""
START = hour("2025-03-02T00")
BEFORE, AFTER = START + 3, START + 4
MILK, POTS = [f"milk{number}" for number in range(6)], [f"pot{number}" for number in range(6)]


def write_hour(events: Path, number: int, bought: dict[str, list[str]]) -> None:
    moment = datetime.fromtimestamp(number * 3600, timezone.utc)
    rows = [
        {"ts": moment + timedelta(minutes=place), "cookie_id": cookie, "product_id": product, "event_type": "purchase"}
        for cookie, products in bought.items()
        for place, product in enumerate(products)
    ]
    target = events / f"dt={moment:%Y-%m-%d}" / f"hr={moment:%H}" / "part.parquet"
    target.parent.mkdir(parents=True)
    pq.write_table(pa.Table.from_pylist(rows), target)


def usual(number: int) -> dict[str, list[str]]:
    """Eight visitors of two tastes: each leaves out another product of theirs."""
    return {
        f"{taste[0][:-1]} lover {visitor}": [taste[(visitor + number + step) % 6] for step in range(3)]
        for taste in (MILK, POTS)
        for visitor in range(4)
    }


def list_of(url: str, cookie: str) -> list[str] | None:
    with redis.Redis.from_url(url) as client:
        releases = Releases(client, "larder")
        live = releases.find(releases.live().release or "")
        assert live is not None
        [record] = read_records(releases, live, base_release(releases, live), COOKIES, [key64(cookie)])
        ids = read_ids(releases, live)
    return None if record is None else [ids[ordinal] for ordinal in decode_list(record)[0]]


def test_an_hour_s_visitors_have_new_lists(spark: SparkSession, tmp_path: Path) -> None:
    for number in range(START, BEFORE):
        write_hour(tmp_path / "events", number, usual(number))

    def run(job: ModuleType, *words: str) -> dict[str, Any]:
        arguments = job.parse_arguments(["--settings", str(tmp_path / "larder.toml"), *words])
        details: dict[str, Any] = job.run(spark, arguments).details
        return details

    with embedded_server(tmp_path / "redis") as url:
        (tmp_path / "larder.toml").write_text(SETTINGS.format(url=url))
        first = ("--start", as_text(START), "--end", as_text(BEFORE))
        run(aggregate_hours, *first)
        run(roll_up, *first, "--from-empty")
        for job in (train_als, precompute, load_redis):
            run(job, "--as-of", as_text(BEFORE))
        others = list_of(url, "milk lover 1")
        assert list_of(url, "newcomer") is None
        write_hour(tmp_path / "events", BEFORE, {"milk lover 0": POTS[:5], "newcomer": MILK[:2]})
        for job in (aggregate_hours, roll_up, precompute_cookies):
            run(job, "--start", as_text(BEFORE), "--end", as_text(AFTER))
        details = run(load_redis, "--as-of", as_text(AFTER), "--delta")
        assert (details["changed"], details["new"], details["hours_left_out"]) == (2, 1, 0)
        assert set(list_of(url, "newcomer") or []) <= set(MILK)
        assert set(list_of(url, "milk lover 0") or []) & set(POTS)
        assert list_of(url, "milk lover 1") == others
