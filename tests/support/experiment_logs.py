"""Hand-written journey logs and events of experiments, and reports of them."""

from __future__ import annotations

import argparse
import json
from collections.abc import Iterable, Mapping, Sequence
from pathlib import Path
from typing import Any

import pyarrow as pa
import pyarrow.parquet as pq
from event_folders import START, moment, write_parquet
from pyspark.sql import SparkSession

from larder.jobs import report_experiment
from larder.journey.parquet import FEW, SCHEMA
from larder.models.hours import hour_partition
from larder.settings import (
    ArmSettings,
    EventsSettings,
    ExperimentSettings,
    LookupSettings,
    ReportSettings,
    Settings,
    StorageSettings,
)

NAME = "lists"
AN_IMPRESSION = {
    "location": "store-1", "device": "phone", "event_type": "impression", "route": "personal", "release": "r1",
    "position": 0, "experiment": NAME, "arm": "control", "forced": False, "propensity": 1.0,
}  # fmt: skip
BEFORE_EXPERIMENTS = SCHEMA.names[: SCHEMA.names.index("experiment")]
Row = Mapping[str, Any]


def answer(cookie: str, request: str, products: Iterable[str], hour: int = START, **changes: Any) -> list[Row]:
    """Returns the impressions of an answer ten minutes past the hour, with these changes."""
    usual = {**AN_IMPRESSION, "ts": moment(hour), "cookie_id": cookie, "request_id": request}
    return [{**usual, "product_id": product, "position": place, **changes} for place, product in enumerate(products)]


def as_batch(rows: Sequence[Row], columns: Sequence[str] = tuple(SCHEMA.names)) -> pa.RecordBatch:
    """Returns rows of the log as they are read from its files, with these columns."""
    types = {field.name: pa.string() if field.type == FEW else field.type for field in SCHEMA}
    return pa.record_batch({name: pa.array([row.get(name) for row in rows], types[name]) for name in columns})


def write_log(folder: Path, rows: Sequence[Row], hour: int = START, name: str = "a", **options: Any) -> None:
    """Writes a file of the log. `columns` may leave out those of experiments."""
    partition = folder / "log" / hour_partition(hour)
    partition.mkdir(parents=True, exist_ok=True)
    pq.write_table(pa.Table.from_batches([as_batch(rows, **options)]), partition / f"{name}.parquet")


def write_events(folder: Path, rows: Sequence[Row], hour: int = START, **options: Any) -> None:
    """Writes events of an hour, twenty minutes past it unless they say otherwise."""
    write_parquet(folder, hour, [{"ts": moment(hour, 20), **row} for row in rows], **options)


def experiment_settings(folder: Path, report: ReportSettings | None = None, **experiment: Any) -> Settings:
    """Returns settings with an experiment NAME of two arms in equal shares; the folder of events is made."""
    (folder / "events").mkdir(parents=True, exist_ok=True)
    arms = {name: ArmSettings(share=0.5) for name in ("control", "new")}
    return Settings(
        storage=StorageSettings(events=str(folder / "events"), tables=str(folder / "tables")),
        events=EventsSettings(),
        lookup=LookupSettings(journey=str(folder / "log")),
        experiments={NAME: ExperimentSettings(**{"arms": arms, **experiment})},
        report=report or ReportSettings(),
    )


def report_of(spark: SparkSession, settings: Settings, hours: int = 1, **arguments: Any) -> dict[str, Any]:
    """Writes the report of some hours from START on; returns what it says. The folder is beside the tables."""
    folder = Path(settings.storage.tables).parent / "report"
    usual = {"name": NAME, "start": START, "end": START + hours, "within": 24, "before": 0}
    to = report_experiment.StoragePath(str(folder))
    report_experiment.run(spark, argparse.Namespace(settings=settings, to=to, **{**usual, **arguments}))
    found: dict[str, Any] = json.loads((folder / "report.json").read_text())
    return found
