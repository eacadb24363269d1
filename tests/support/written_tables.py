"""Tables written by hand, without Spark."""

from __future__ import annotations

import inspect
from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path
from typing import Any

import pyarrow as pa
import pyarrow.parquet as pq
from pyspark.sql.pandas.types import to_arrow_schema
from pyspark.sql.types import StructType

from larder.storage import DataFile, Manifest, Tables

Row = tuple[Any, ...]
# From Spark 4.2 on, the zone of times must be told.
ZONE: Any = {"timezone": "UTC"} if "timezone" in inspect.signature(to_arrow_schema).parameters else {}


def write_table(tables: Tables, planned: Manifest, schema: StructType, rows: Sequence[Row], files: int = 1) -> Manifest:
    """Writes the rows as the run that is planned and publishes it."""
    written = [_file(tables, planned, number, rows[number::files], schema) for number in range(files)]
    manifest = replace(planned, files=tuple(written))
    tables.publish(manifest)
    return manifest


def _file(tables: Tables, manifest: Manifest, number: int, rows: Sequence[Row], schema: StructType) -> DataFile:
    path = Path(tables.run_folder(manifest).path) / f"part-{number:05d}.parquet"
    path.parent.mkdir(parents=True, exist_ok=True)
    named = [dict(zip(schema.fieldNames(), row, strict=True)) for row in rows]
    pq.write_table(pa.Table.from_pylist(named, to_arrow_schema(schema, **ZONE)), path)
    return DataFile(path.name, len(rows), path.stat().st_size)


def read_table(tables: Tables, manifest: Manifest) -> list[Row]:
    """The rows in order, nulls first."""
    rows = [row for uri in tables.uris([manifest]) for row in pq.read_table(uri).to_pylist()]
    return sorted((tuple(row.values()) for row in rows), key=lambda row: [(value is not None, value) for value in row])
