"""A folder with files from before experiments and files of today: the jobs and the report read both."""

from __future__ import annotations

import argparse
from pathlib import Path

import pyarrow as pa
import pyarrow.parquet as pq
import pytest
from event_folders import aggregate, counts_of, hour_folder, rows_of, settings_in, write_parquet
from noted_answers import HOUR, Answers, ShownAnswer, ShownList, noted
from pyspark.sql import SparkSession
from typer.testing import CliRunner

from larder.cli.main import app
from larder.jobs import roll_up
from larder.journey.parquet import SCHEMA, ImpressionFile, ProductIds, as_table
from larder.models.hours import as_of_partition, as_text
from larder.settings import WeightsSettings
from larder.storage import Tables

NEW_COLUMNS = ["experiment", "arm", "forced", "policy", "propensity", "score"]
OLD: Answers = [("c1", "north", "q1", [("personal", ["x", "y"])]), ("c2", "", "q2", [("personal", ["x"])])]
DRAWN = ShownList("personal", ["x", "z"], [0.5, None], [0.25, 0.5])
NEW: Answers = [
    ShownAnswer("c1", "north", "q3", [DRAWN], ("order", "popular", False, "softmax-0.1")),
    ShownAnswer("c3", "", "q4", [ShownList("personal", ["y"])]),
]


def ids_of(names: list[bytes]) -> pa.StringArray:
    ids = ProductIds()
    ids.add(names)
    return ids.array()


def write_log(folder: Path) -> None:
    """An old file, then a new one, in one hour."""
    served, names = noted(OLD)
    old = as_table(served, ids_of(names)).drop_columns(NEW_COLUMNS)
    pq.write_table(old, hour_folder(folder, HOUR) / "served-1.parquet", store_schema=False)
    served, names = noted(NEW)
    file = ImpressionFile(folder / "events", HOUR, "served-2")
    file.add(served, ids_of(names))
    file.close()


@pytest.mark.end_to_end
def test_the_jobs_count_both(spark: SparkSession, tmp_path: Path) -> None:
    write_log(tmp_path)
    settings = settings_in(tmp_path).model_copy(update={"weights": WeightsSettings(impression=0.02)})
    report = aggregate(spark, settings, HOUR, HOUR + 1)
    assert report.rows_in == report.rows_out == 2 + 1 + 2 + 1
    counted = sorted((row["product_id"], row["location"], row["impressions"]) for row in counts_of(settings, HOUR))
    # By c1 and c2, c1 and c3, c1.
    assert counted == [("x", "", 1), ("x", "north", 2), ("y", "", 1), ("y", "north", 1), ("z", "north", 1)]
    roll_up.run(spark, argparse.Namespace(settings=settings, start=HOUR, end=HOUR + 1, from_empty=True))
    rolled = Tables(settings.storage.tables).get("interactions", as_of_partition(HOUR + 1), "")
    assert sorted(row["product_id"] for row in rows_of(settings, rolled)) == ["x", "x", "y", "y", "z"]


def test_the_report_shows_both(tmp_path: Path) -> None:
    write_log(tmp_path)
    [place] = (tmp_path / "events").glob("dt=*/hr=*")
    assert [len(pq.read_schema(file).names) for file in sorted(place.iterdir())] == [len(SCHEMA) - 6, len(SCHEMA)]
    clicks = [{"request_id": "q1", "product_id": "y"}, {"request_id": "q3", "product_id": "z"}]
    write_parquet(tmp_path / "shop", HOUR, clicks)
    (tmp_path / "larder.toml").write_text(
        f'[storage]\nevents = "{tmp_path}/shop/events"\n[lookup]\njourney = "{tmp_path}/events"\n'
    )
    window = ["--start", as_text(HOUR), "--end", as_text(HOUR + 1), "--within", "0"]
    done = CliRunner().invoke(app, ["report", "routes", *window, "--settings", str(tmp_path / "larder.toml")])
    assert done.exit_code == 0, done.output
    [personal] = [line.split() for line in done.output.splitlines() if "personal" in line]
    assert personal[:7] == ["r1", "personal", "6", "2", "0", "0", f"{2 / 6:.2%}"]
