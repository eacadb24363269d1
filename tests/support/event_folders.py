"""Hand-written event logs, and what the jobs made of them."""

from __future__ import annotations

import argparse
import gzip
import hashlib
import json
from collections import Counter
from collections.abc import Iterable, Mapping, Sequence
from datetime import datetime, timedelta, timezone
from pathlib import Path
from typing import Any

import pyarrow as pa
import pyarrow.parquet as pq
from pyspark.sql import SparkSession

from larder.jobs import aggregate_hours
from larder.jobs.runtime.stage_report import StageReport
from larder.models.hours import hour_partition
from larder.settings import EventsSettings, Settings, StorageSettings
from larder.storage import Manifest, StoragePath, Tables

START = 420_072  # 2017-12-03T00, an hour number
EPOCH = datetime(1970, 1, 1, tzinfo=timezone.utc)
AN_EVENT = {"cookie_id": "c1", "product_id": "p1", "event_type": "view"}
Row = Mapping[str, Any]
# PyArrow before version 21 can't write string_view to Parquet.
WRITES_VIEWS = int(pa.__version__.partition(".")[0]) >= 21


def moment(hour: int, minute: float = 10) -> datetime:
    return EPOCH + timedelta(hours=hour, minutes=minute)


def settings_in(folder: Path, tables: str = "tables", **events: Any) -> Settings:
    """Settings for events and tables in a folder; unless said otherwise, an hour may lose all its rows."""
    events = {"max_quarantined_share": 1.0, "empty_hours": "accept", **events}
    storage = StorageSettings(
        events=str(folder / "events"), tables=str(folder / tables), catalogue=str(folder / "catalogue.parquet")
    )
    return Settings(storage=storage, events=EventsSettings(**events))


def hour_folder(folder: Path, hour: int) -> Path:
    found = folder / "events" / hour_partition(hour)
    found.mkdir(parents=True, exist_ok=True)
    return found


def write_parquet(
    folder: Path, hour: int, rows: Sequence[Row], name: str = "part-0.parquet", **types: pa.DataType
) -> Path:
    """Rows, each AN_EVENT ten minutes past the hour with these changes; columns as the rows have them."""
    complete = [{"ts": moment(hour), **AN_EVENT, **row} for row in rows]
    columns = {name: [row.get(name) for row in complete] for row in complete for name in row}
    usual = {"ts": pa.timestamp("us", "UTC")}
    arrays = {name: pa.array(values, {**usual, **types}.get(name)) for name, values in columns.items()}
    path = hour_folder(folder, hour) / name
    pq.write_table(pa.table(arrays), path)
    return path


def write_lines(folder: Path, hour: int, rows: Iterable[Row | str], name: str = "part-0.json", cut: int = 0) -> Path:
    """The same as JSON lines, gzipped where the name says so, the last `cut` bytes missing; text is a line as it is."""
    usual = {"ts": moment(hour).isoformat(), **AN_EVENT}
    lines = [row if isinstance(row, str) else json.dumps({**usual, **row}) for row in rows]
    data = "".join(f"{line}\n" for line in lines).encode()
    data = gzip.compress(data) if name.endswith(".gz") else data
    path = hour_folder(folder, hour) / name
    path.write_bytes(data[: len(data) - cut])
    return path


def aggregate(spark: SparkSession, settings: Settings, start: int, end: int) -> StageReport:
    return aggregate_hours.run(spark, argparse.Namespace(settings=settings, start=start, end=end, now=None))


def manifest_of(settings: Settings, hour: int, table: str = "hourly_counts") -> Manifest:
    found = Tables(settings.storage.tables).find(table, hour_partition(hour))
    assert found is not None
    return found


def rows_of(settings: Settings, manifest: Manifest) -> list[dict[str, Any]]:
    """The rows of a table's partition, read without Spark."""
    return [row for uri in Tables(settings.storage.tables).uris([manifest]) for row in pq.read_table(uri).to_pylist()]


def counts_of(settings: Settings, hour: int) -> list[dict[str, Any]]:
    return rows_of(settings, manifest_of(settings, hour))


def rejected(settings: Settings, hour: int) -> list[dict[str, Any]]:
    return rows_of(settings, manifest_of(settings, hour, "quarantine"))


def reasons(settings: Settings, hour: int) -> Counter[str]:
    return Counter(row["reason"] for row in rejected(settings, hour))


def visible(tables: str) -> dict[str, str]:
    """Every manifest, and every file that one names, with the digest of its bytes."""
    root = Path(tables)
    found = {}
    for path in sorted(root.glob("*/manifests/**/*.json")):
        manifest = Manifest.from_json(path.read_bytes())
        found[str(path.relative_to(root))] = hashlib.sha256(path.read_bytes()).hexdigest()
        for uri in Tables(tables).uris([manifest]):
            found[str(Path(uri).relative_to(root))] = hashlib.sha256(StoragePath(uri).read()).hexdigest()
    return found
