"""Hours with a known truth: every group, every reason, every bot and every copy, from all formats."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pyarrow as pa
import pyarrow.compute as pc
import pyarrow.parquet as pq
import pytest
import xxhash
from event_folders import aggregate, manifest_of, reasons, rows_of, settings_in
from pyspark.sql import SparkSession

from demo import synthetic, synthetic_parts
from larder.models.hours import hour, hour_partition
from larder.settings import Settings

pytestmark = pytest.mark.end_to_end

START, HOURS = hour("2026-11-20T08"), 2
COUNTS = ("impressions", "views", "add_to_carts", "purchases", "quantity", "last_ts")
LOG = ["--rows", "30000", "--hours", str(HOURS), "--exact", "--bots", "0.2", "--dirt", "0.03", "--duplicates", "0.02"]
FORMATS = {
    "parquet": ["--format", "parquet", "--rows-a-file", "4000"],
    "lines": ["--format", "json", "--rows-a-file", "20000"],
    "gzip": ["--format", "json", "--compression", "gzip"],
    "zstd": ["--format", "json", "--compression", "zstd"],
}


@pytest.fixture(scope="module", params=FORMATS)
def counted(request: pytest.FixtureRequest, spark: SparkSession, tmp_path_factory: pytest.TempPathFactory) -> Settings:
    folder = tmp_path_factory.mktemp(request.param)
    options = FORMATS[request.param]
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(synthetic_parts, "PART_ROWS", 10_000)
        synthetic.main([*LOG, *options, "--to", str(folder)])
    settings = settings_in(folder, format=options[1], max_events_an_hour=1000)
    aggregate(spark, settings, START, START + HOURS)
    return settings


def truth_of(settings: Settings, number: int) -> Path:
    return Path(settings.storage.events).parent / "truth" / hour_partition(number)


def figures_of(settings: Settings, number: int) -> dict[str, Any]:
    return json.loads((truth_of(settings, number) / "hour.json").read_text())


def key_of(cookie: str) -> int:
    bits = xxhash.xxh64_intdigest(cookie.encode(), 42)
    return bits - (1 << 64) if bits >> 63 else bits


@pytest.mark.parametrize("number", range(START, START + HOURS))
def test_every_group_is_as_it_was_planted(counted: Settings, number: int) -> None:
    expected = pq.read_table(truth_of(counted, number) / "counts.parquet")
    expected = expected.filter(pc.invert(expected["is_bot"]))
    keys = pa.array([key_of(cookie) for cookie in expected["cookie_id"].to_pylist()], pa.int64())
    expected = expected.append_column("cookie_key", keys)
    group = ("cookie_key", "product_id", "location", "device")
    rows = rows_of(counted, manifest_of(counted, number))
    found = {tuple(row[name] for name in group): tuple(row[name] for name in COUNTS) for row in rows}
    assert len(found) == len(rows)
    assert found == {
        tuple(row[name] for name in group): tuple(row[name] for name in COUNTS) for row in expected.to_pylist()
    }


@pytest.mark.parametrize("number", range(START, START + HOURS))
def test_every_other_row_is_accounted_for(counted: Settings, number: int) -> None:
    truth, counts = figures_of(counted, number), manifest_of(counted, number).counts
    assert reasons(counted, number) == truth["quarantined"]
    bots = rows_of(counted, manifest_of(counted, number, "bots"))
    assert {row["cookie_key"]: row["events"] for row in bots} == {
        key_of(cookie): events for cookie, events in truth["bots"].items()
    }
    assert counts["rows_in"] == truth["rows"]
    assert counts["events"] == sum(truth["events"].values()) - sum(truth["bot_events"].values())
    assert counts["bot_events"] == sum(truth["bot_events"].values()) > 0
    assert counts["duplicates"] == truth["duplicates"] > 0
    assert counts["quarantined"] == sum(truth["quarantined"].values()) > 0
