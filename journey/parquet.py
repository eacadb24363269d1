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
        self._writer = pq.ParquetWriter(self._unfinished, SCHEMA, compression="zstd")
        self.answers = 0

    def add(self, served: Served) -> None:
        """Appends the answers as one row group. Raises OSError."""
        self._writer.write_table(as_table(served))
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


def as_table(served: Served) -> pa.Table:
    """The rows of SCHEMA, in the order in which they were served; None where a place is not known."""
    counts = np.array(served.counts, np.int64)
    answer = pa.array(np.repeat(np.arange(len(counts)), counts))
    moments = pa.array((np.array(served.times) * 1e6).astype(np.int64), pa.timestamp("us", "UTC"))
    runs = np.repeat(np.arange(len(served.routes)), np.array(served.route_counts, np.int64))
    rows = len(answer)
    columns = {
        "ts": moments.take(answer),
        "cookie_id": pa.array(served.cookies, pa.string()).take(answer),
        "location": _places(served.locations).take(answer),
        "device": _places(served.devices).take(answer),
        "product_id": _plain(served.products),
        "event_type": pa.repeat("impression", rows),
        "request_id": pa.array(served.request_ids, pa.binary()).cast(pa.string()).take(answer),
        "route": pa.array(served.routes, pa.string()).take(pa.array(runs)),
        "release": pa.repeat(served.release, rows),
        "position": pa.array(_positions(counts).astype(np.int16)),
    }
    return pa.table(columns, schema=SCHEMA)


def _positions(counts: npt.NDArray[np.int64]) -> npt.NDArray[np.int64]:
    """0, 1, 2, ... within each answer."""
    ends = np.cumsum(counts)
    return np.arange(counts.sum()) - np.repeat(ends - counts, counts)


def _places(texts: list[str]) -> pa.Array:
    found = pa.array(texts, pa.string())
    return pc.if_else(pc.equal(found, ""), pa.scalar(None, pa.string()), found)


def _plain(names: list[bytes]) -> pa.Array:
    """JSON strings without their quotation marks, and without escapes where one has some."""
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
