"""Rows of a Parquet file as text, with all their columns, for those who look at what was set aside."""

from __future__ import annotations

import json
from collections.abc import Callable, Iterator, Sequence
from typing import Any

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq

ROWS_A_BATCH = 1 << 16


class WholeRows:
    """Rows with all their columns. Those that nobody asked for are read only once somebody wants a whole row."""

    def __init__(self, source: pa.NativeFile, groups: Sequence[int], all_names: list[str], known: list[str]) -> None:
        self.source, self.groups = source, groups
        self.all_names = list(dict.fromkeys(all_names))
        self.unread = [name for name in self.all_names if name not in known]
        self.batches: Iterator[pa.RecordBatch] | None = None
        self.start = self.end = 0  # of the batch at hand
        self.batch: pa.RecordBatch | None = None

    def of(self, batch: pa.RecordBatch, start: int) -> Callable[[np.ndarray], list[str]]:
        """A function from the batch's row numbers, rising, to those rows as text. `start`: the number of its first."""

        def texts(rows: np.ndarray) -> list[str]:
            columns = {name: _values(batch.column(name), rows) for name in batch.schema.names}
            if self.unread:
                columns |= self._read_more(start + rows)
            found = [columns[name] for name in self.all_names]
            return [_as_json(dict(zip(self.all_names, row, strict=True))) for row in zip(*found, strict=True)]

        return texts

    def _read_more(self, rows: np.ndarray) -> dict[str, list[Any]]:
        """From front to back: `rows` come after those of any call before."""
        found: dict[str, list[Any]] = {name: [] for name in self.unread}
        if self.batches is None:
            file = pq.ParquetFile(self.source, pre_buffer=False, coerce_int96_timestamp_unit="us")
            self.batches = file.iter_batches(
                ROWS_A_BATCH, row_groups=list(self.groups), columns=self.unread, use_threads=False
            )
        while len(rows):
            while rows[0] >= self.end:
                self.batch = next(self.batches)
                self.start, self.end = self.end, self.end + len(self.batch)
            assert self.batch is not None
            here = np.searchsorted(rows, self.end)
            for name, values in found.items():  # of columns of one name the first is shown
                column = self.batch.column(self.batch.schema.get_all_field_indices(name)[0])
                values += _values(column, rows[:here] - self.start)
            rows = rows[here:]
        return found


def _values(array: pa.Array, rows: np.ndarray) -> list[Any]:
    """Python values of these rows; where not all of them have one (a time after the year 9999), what can be said of
    each. Arrow can't take rows of every type: string_view is one that it can't."""
    try:
        return array.take(pa.array(rows)).to_pylist()
    except (ValueError, OverflowError, pa.ArrowException):
        return [_value(array[row]) for row in rows.tolist()]


def _value(value: pa.Scalar) -> Any:
    try:
        return value.as_py()
    except UnicodeDecodeError:
        return value.as_buffer().to_pybytes()
    except (ValueError, OverflowError, pa.ArrowException):
        return str(value.value) if hasattr(value, "value") else repr(value)


def _as_json(row: dict[str, Any]) -> str:
    there = {name: value for name, value in row.items() if value is not None}
    return json.dumps(there, separators=(",", ":"), ensure_ascii=False, default=_as_text)


def _as_text(value: Any) -> str:
    if isinstance(value, bytes):
        return value.decode(errors="backslashreplace")
    return value.isoformat() if hasattr(value, "isoformat") else str(value)
