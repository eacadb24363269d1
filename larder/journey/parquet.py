"""Served answers as Parquet files in the schema of the event contract: an impression for each product."""

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

from larder.journey.served import NotedTreatment, ServedAnswers
from larder.journey.served_columns import INT32, counts_of, moments_of, positions_of, propensities_of, scores_of

# For columns with few distinct values: indices are written, without hashing or repeating the texts.
FEW = pa.dictionary(pa.int32(), pa.string())
# The columns of the event contract, then others that the jobs ignore. Files from before experiments end with position.
SCHEMA = pa.schema(
    [
        pa.field("ts", pa.timestamp("us", "UTC"), nullable=False),
        pa.field("cookie_id", FEW, nullable=False),
        pa.field("location", FEW),
        pa.field("device", FEW),
        pa.field("product_id", pa.string(), nullable=False),
        pa.field("event_type", FEW, nullable=False),
        pa.field("request_id", FEW, nullable=False),
        pa.field("route", FEW, nullable=False),
        pa.field("release", FEW, nullable=False),
        pa.field("position", pa.int16(), nullable=False),
        pa.field("experiment", FEW),
        pa.field("arm", FEW),
        pa.field("forced", pa.bool_()),
        pa.field("policy", FEW),
        pa.field("propensity", pa.float32()),
        pa.field("score", pa.float32()),
    ]
)
DICTIONARIES = [field.name for field in SCHEMA if field.type == FEW]
UNFINISHED = ".part"
# An unfinished file older than this belongs to a killed process.
ABANDONED_SECONDS = 3600.0


class ImpressionFile:
    """One file of one hour. Until `close` its name begins with an underscore, so that readers skip it."""

    def __init__(self, folder: Path, hour: int, name: str) -> None:
        """Opens the file in the partition of `hour` (hours since 1970 UTC) below `folder`. Raises OSError."""
        partition = folder / _partition(hour)
        partition.mkdir(parents=True, exist_ok=True)
        self._path = partition / f"{name}.parquet"
        self._unfinished = partition / f"_{name}{UNFINISHED}"
        # No statistics, because readers read whole hours. No stored schema, so that readers get plain texts instead of
        # dictionaries.
        self._writer = pq.ParquetWriter(
            self._unfinished,
            SCHEMA,
            compression="zstd",
            use_dictionary=DICTIONARIES,
            write_statistics=False,
            store_schema=False,
        )
        self.answers = 0

    def add(self, served: ServedAnswers, ids: pa.StringArray) -> None:
        """Appends the answers as one row group; `ids` has the product ids of the release. Raises OSError."""
        self._writer.write_table(as_table(served, ids))
        self.answers += served.answers

    def close(self) -> None:
        """Finishes the file and makes it visible. Removes it and raises OSError on failure."""
        try:
            self._writer.close()
            self._unfinished.replace(self._path)
        except BaseException:
            self.discard()
            raise

    def discard(self) -> None:
        """Removes the unfinished file."""
        with suppress(OSError):
            self._writer.close()
        self._unfinished.unlink(missing_ok=True)


def as_table(served: ServedAnswers, ids: pa.StringArray) -> pa.Table:
    """Returns the impressions as a table of SCHEMA, in the order served. `ids` has the product ids of the release."""
    counts = counts_of(served)
    rows = int(counts.sum())
    answer = np.repeat(np.arange(len(counts), dtype=np.int32), counts)
    runs = np.repeat(np.frombuffer(served.routes, INT32), np.frombuffer(served.route_counts, INT32))
    texts = pa.array(served.texts, pa.string())
    columns = {
        "ts": pa.array(moments_of(served)[answer], pa.timestamp("us", "UTC")),
        "cookie_id": _of_answers(served.cookies, served.cookie_ends, answer),
        "location": _at(texts, np.frombuffer(served.locations, INT32)[answer]),
        "device": _at(texts, np.frombuffer(served.devices, INT32)[answer]),
        "product_id": ids.take(pa.array(np.frombuffer(served.ordinals, INT32))),
        "event_type": _only("impression", rows),
        "request_id": _of_answers(served.request_ids, served.request_id_ends, answer),
        "route": _at(texts, runs),
        "release": _only(served.release, rows),
        "position": pa.array(positions_of(counts).astype(np.int16)),
        **_treatments(served, texts, np.frombuffer(served.answer_treatments, INT32)[answer]),
        "propensity": pa.array(propensities_of(served)),
        "score": pa.array(scores_of(served), from_pandas=True),
    }
    return pa.table(columns, schema=SCHEMA)


def _treatments(served: ServedAnswers, texts: pa.StringArray, places: npt.NDArray[np.int32]) -> dict[str, pa.Array]:
    """Returns the columns of treatments; `places` are those in `served.treatments`, -1 for none."""
    # Index -1, the last, stands for no treatment.
    noted = [*served.treatments, NotedTreatment(-1, -1, False, -1)]
    experiments = np.array([each.experiment for each in noted], np.int32)[places]
    return {
        "experiment": _at(texts, experiments),
        "arm": _at(texts, np.array([each.arm for each in noted], np.int32)[places]),
        "forced": pa.array(np.array([each.forced for each in noted])[places], mask=experiments < 0),
        "policy": _at(texts, np.array([each.policy for each in noted], np.int32)[places]),
    }


def _of_answers(data: bytes, ends: bytes, answer: npt.NDArray[np.int32]) -> pa.DictionaryArray:
    """Returns a text column of the answers, repeated for each row. Parquet needs a dictionary without duplicates."""
    count = len(ends) // INT32.itemsize - 1
    texts = pa.StringArray.from_buffers(count, pa.py_buffer(ends), pa.py_buffer(data)).dictionary_encode()
    return _at(texts.dictionary, texts.indices.to_numpy()[answer])


def _at(texts: pa.StringArray, places: npt.NDArray[np.int32]) -> pa.DictionaryArray:
    """Returns the texts at these indices; None for -1."""
    none = places < 0
    return pa.DictionaryArray.from_arrays(pa.array(places, mask=none if none.any() else None), texts)


def _only(text: str, rows: int) -> pa.DictionaryArray:
    return _at(pa.array([text], pa.string()), np.zeros(rows, np.int32))


class ProductIds:
    """Product ids as an Arrow array, made from JSON strings."""

    def __init__(self) -> None:
        self._slices: list[pa.StringArray] = []

    def add(self, names: list[bytes]) -> None:
        """Appends ids that are given as JSON strings."""
        self._slices.append(_plain(names))

    def array(self) -> pa.StringArray:
        """Returns all ids, in the order added."""
        if len(self._slices) != 1:
            self._slices = [pa.concat_arrays(self._slices) if self._slices else pa.array([], pa.string())]
        return self._slices[0]


def _plain(names: list[bytes]) -> pa.StringArray:
    quoted = pa.array(names, pa.binary())
    if pc.any(pc.match_substring(quoted, "\\")).as_py():
        return pa.array([json.loads(name) for name in names], pa.string())
    return pc.binary_slice(quoted, 1, -1).cast(pa.string())


def _partition(hour: int) -> str:
    """Returns the partition path of an hour, in the layout of the events."""
    moment = datetime.fromtimestamp(hour * 3600, timezone.utc)
    return f"dt={moment:%Y-%m-%d}/hr={moment:%H}"


def remove_abandoned(folder: Path, now: float | None = None) -> int:
    """Removes unfinished files of killed processes; returns their number."""
    before = (time.time() if now is None else now) - ABANDONED_SECONDS
    removed = 0
    for path in folder.glob(f"dt=*/hr=*/_*{UNFINISHED}"):
        if os.stat(path).st_mtime < before:
            path.unlink(missing_ok=True)
            removed += 1
    return removed
