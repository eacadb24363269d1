"""Served answers as Parquet in the terms of the event contract: an impression for each product shown."""

from __future__ import annotations

import json
import os
import time
from contextlib import suppress
from datetime import datetime, timezone
from pathlib import Path

import numpy as np
import numpy.typing as npt
import pyarrow as pa
import pyarrow.compute as pc
import pyarrow.parquet as pq

from journey.served import Served

# The contract's columns first; jobs carry the others past.
SCHEMA = pa.schema(
    {
        "ts": pa.timestamp("us", "UTC"),
        "cookie_id": pa.string(),
        "location": pa.string(),
        "device": pa.string(),
        "product_id": pa.string(),
        "event_type": pa.string(),
        "request_id": pa.string(),
        "route": pa.string(),
        "release": pa.string(),
        "position": pa.int16(),
    }
)
# Columns of few values; dictionaries of the others would be given up after much work.
REPEATED = ["location", "device", "event_type", "route", "release"]
UNFINISHED = ".part"
# An unfinished file that nobody touched for so long is of a process that was killed.
ABANDONED_SECONDS = 3600.0


class Impressions:
    """One file of one hour. Nobody sees it before `close`: until then its name begins with an underscore."""

    def __init__(self, folder: Path, hour: int, name: str) -> None:
        """Below `folder` in the partition of `hour` (hours since 1970 UTC). Raises OSError."""
        partition = folder / _partition(hour)
        partition.mkdir(parents=True, exist_ok=True)
        self._path = partition / f"{name}.parquet"
        self._unfinished = partition / f"_{name}{UNFINISHED}"
        # Nobody looks for some of an hour's rows, so nobody needs to know the least and the greatest of them.
        self._writer = pq.ParquetWriter(
            self._unfinished, SCHEMA, compression="zstd", use_dictionary=REPEATED, write_statistics=False
        )
        self.answers = 0

    def add(self, served: Served, ids: pa.StringArray) -> None:
        """Appends the answers as one row group; `ids` are those of `served.names`. Raises OSError."""
        self._writer.write_table(as_table(served, ids))
        self.answers += len(served)

    def close(self) -> None:
        """Makes the file visible. Raises OSError, and then leaves nothing behind."""
        try:
            self._writer.close()
            self._unfinished.replace(self._path)
        except BaseException:
            self.discard()
            raise

    def discard(self) -> None:
        """Gives the file up."""
        with suppress(OSError):
            self._writer.close()
        self._unfinished.unlink(missing_ok=True)


def as_table(served: Served, ids: pa.StringArray) -> pa.Table:
    """The rows of SCHEMA, in the order in which they were served; None where a place is not known.

    `ids` are those of `served.names`.
    """
    counts = np.frombuffer(served.counts, np.int32)
    rows = int(counts.sum())
    answers = np.repeat(np.arange(len(counts), dtype=np.int32), counts)
    moments = (np.frombuffer(served.times) * 1e6).astype(np.int64)
    runs = np.repeat(np.arange(len(served.routes), dtype=np.int32), np.frombuffer(served.route_counts, np.int32))
    answer = pa.array(answers)
    columns = {
        "ts": pa.array(moments[answers], pa.timestamp("us", "UTC")),
        "cookie_id": pa.array(served.cookies, pa.string()).take(answer),
        "location": pa.array(served.locations, pa.string()).take(answer),
        "device": pa.array(served.devices, pa.string()).take(answer),
        "product_id": ids.take(pa.array(np.frombuffer(served.ordinals, np.uint32))),
        "event_type": pa.repeat("impression", rows),
        "request_id": pa.array(served.request_ids, pa.binary()).cast(pa.string()).take(answer),
        "route": pa.array(served.routes, pa.string()).take(pa.array(runs)),
        "release": pa.repeat(served.release, rows),
        "position": pa.array(_positions(counts).astype(np.int16)),
    }
    return pa.table(columns, schema=SCHEMA)


def _positions(counts: npt.NDArray[np.int32]) -> npt.NDArray[np.int64]:
    """0, 1, 2, ... within each answer."""
    ends = np.cumsum(counts)
    return np.arange(counts.sum()) - np.repeat(ends - counts, counts)


class ProductIds:
    """Product ids as Arrow has them, from what answers name them."""

    def __init__(self) -> None:
        self._slices: list[pa.StringArray] = []

    def add(self, names: list[bytes]) -> None:
        """Takes ids that are JSON strings: without their quotation marks, and without escapes where one has some."""
        self._slices.append(_plain(names))

    def array(self) -> pa.StringArray:
        """All of them, in the order in which they came."""
        if len(self._slices) != 1:
            self._slices = [pa.concat_arrays(self._slices) if self._slices else pa.array([], pa.string())]
        return self._slices[0]


def _plain(names: list[bytes]) -> pa.StringArray:
    quoted = pa.array(names, pa.binary())
    if pc.any(pc.match_substring(quoted, "\\")).as_py():
        return pa.array([json.loads(name) for name in names], pa.string())
    return pc.binary_slice(quoted, 1, -1).cast(pa.string())


def _partition(hour: int) -> str:
    """As jobs.arguments.hour_partition."""
    moment = datetime.fromtimestamp(hour * 3600, timezone.utc)
    return f"dt={moment:%Y-%m-%d}/hr={moment:%H}"


def remove_abandoned(folder: Path, now: float | None = None) -> int:
    """Removes unfinished files of processes that were killed; returns how many."""
    before = (time.time() if now is None else now) - ABANDONED_SECONDS
    removed = 0
    for path in folder.glob(f"dt=*/hr=*/_*{UNFINISHED}"):
        if os.stat(path).st_mtime < before:
            path.unlink(missing_ok=True)
            removed += 1
    return removed
