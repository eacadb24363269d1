"""Reading raw events: files cut into pieces of bounded size, and a piece's rows batch by batch."""

from __future__ import annotations

import json
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from typing import Any

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq

from larder.storage.event_folders import EventFile, EventHour, first_line
from larder.storage.filesystems import StoragePath
from larder.storage.json_lines import read_lines

ROWS_A_BATCH = 1 << 20
ROWS_A_PIECE = 2 << 20


@dataclass(frozen=True)
class Piece:
    """Some row groups of a Parquet file, or a whole file of JSON lines."""

    hour: int
    number: int  # among the hour's pieces
    uri: str
    row_groups: tuple[int, ...] | None  # None: JSON lines
    likely_rows: int


@dataclass(frozen=True)
class RawBatch:
    """Some rows as they came. `columns` holds those that were asked for and are there."""

    columns: pa.RecordBatch
    texts_of: Callable[[np.ndarray], list[str]]  # row numbers -> those rows as text, with all their columns


def pieces_of(hour: EventHour) -> list[Piece]:
    """The hour's readable files in pieces; they follow from the files alone, whatever machine reads them."""
    pieces: list[Piece] = []
    for file in hour.readable:
        for groups, rows in _cuts(file):
            pieces.append(Piece(hour.hour, len(pieces), file.uri, groups, rows))
    return pieces


def _cuts(file: EventFile) -> Iterator[tuple[tuple[int, ...] | None, int]]:
    if file.row_groups is None:
        yield None, file.likely_rows
        return
    groups: list[int] = []
    rows = 0
    for number, size in enumerate(file.row_groups):
        if groups and rows + size > ROWS_A_PIECE:
            yield tuple(groups), rows
            groups, rows = [], 0
        groups.append(number)
        rows += size
    if rows:
        yield tuple(groups), rows


class UnreadableError(ValueError):
    """A file breaks while it is read. No OSError, so that a disk that is full elsewhere is not taken for one."""


def read_piece(piece: Piece, columns: Sequence[str], of_few_values: Sequence[str]) -> Iterator[RawBatch]:
    """The piece's rows. Raises UnreadableError where the file breaks."""
    batches = _raw_batches(piece, columns, of_few_values)
    while True:
        with _told_as_unreadable():
            batch = next(batches, None)
        if batch is None:
            return
        yield batch


def read_through(uri: str, event_format: str) -> None:
    """Reads the whole file, footer and all. Raises UnreadableError where it breaks."""
    with _told_as_unreadable():
        system, path = StoragePath(uri).open()
        if event_format == "json":
            with system.open_input_stream(path) as stream:
                for _ in read_lines(stream):
                    pass
            return
        with system.open_input_file(path) as source:
            for _ in pq.ParquetFile(source, pre_buffer=False).iter_batches():
                pass


@contextmanager
def _told_as_unreadable() -> Iterator[None]:
    try:
        yield
    except (OSError, EOFError, pa.ArrowException) as error:
        raise UnreadableError(first_line(error)) from error


def _raw_batches(piece: Piece, columns: Sequence[str], of_few_values: Sequence[str]) -> Iterator[RawBatch]:
    system, path = StoragePath(piece.uri).open()
    if piece.row_groups is None:
        with system.open_input_stream(path) as stream:  # decompresses by the file's name
            for batch, lines in read_lines(stream):
                yield RawBatch(batch, lines)
        return
    with system.open_input_file(path) as source:
        file = pq.ParquetFile(source, read_dictionary=_texts(source, of_few_values), pre_buffer=False)
        names = [name for name in file.schema_arrow.names if name in columns]
        whole = _WholeRows(source, piece.row_groups, file.schema_arrow.names, names)
        start = 0
        for batch in _batches(file, piece.row_groups, names):
            yield RawBatch(batch, whole.of(batch, start))
            start += len(batch)


def _texts(source: pa.NativeFile, names: Sequence[str]) -> list[str]:
    schema = pq.read_schema(source)
    return [name for name in names if name in schema.names and pa.types.is_string(schema.field(name).type)]


def _batches(file: pq.ParquetFile, groups: Sequence[int], columns: list[str]) -> Iterator[pa.RecordBatch]:
    """Batches of at most ROWS_A_BATCH rows; small row groups are put together."""
    waiting: list[pa.RecordBatch] = []
    for batch in file.iter_batches(ROWS_A_BATCH, row_groups=list(groups), columns=columns, use_threads=False):
        if waiting and sum(len(each) for each in waiting) + len(batch) > ROWS_A_BATCH:
            yield _one(waiting)
            waiting = []
        waiting.append(batch)
    if waiting:
        yield _one(waiting)


def _one(batches: list[pa.RecordBatch]) -> pa.RecordBatch:
    if len(batches) == 1:
        return batches[0]
    table = pa.Table.from_batches(batches).unify_dictionaries().combine_chunks()
    return table.to_batches()[0]


class _WholeRows:
    """Rows with all their columns. Those that were not asked for are read only once somebody wants a whole row."""

    def __init__(self, source: pa.NativeFile, groups: Sequence[int], all_names: list[str], known: list[str]) -> None:
        self.source, self.groups = source, groups
        self.all_names, self.unread = all_names, [name for name in all_names if name not in known]
        self.batches: Iterator[pa.RecordBatch] | None = None
        self.start = self.end = 0  # of the batch at hand
        self.batch: pa.RecordBatch | None = None

    def of(self, batch: pa.RecordBatch, start: int) -> Callable[[np.ndarray], list[str]]:
        """A function from the batch's row numbers, rising, to those rows as text. `start` is its first row's place."""

        def texts(rows: np.ndarray) -> list[str]:
            columns = {name: batch.column(name).take(pa.array(rows)).to_pylist() for name in batch.schema.names}
            if self.unread:
                columns |= self._read_more(start + rows)
            found = [columns[name] for name in self.all_names]
            return [_as_json(dict(zip(self.all_names, row, strict=True))) for row in zip(*found, strict=True)]

        return texts

    def _read_more(self, rows: np.ndarray) -> dict[str, list[Any]]:
        """From front to back: `rows` come after those of any call before."""
        found: dict[str, list[Any]] = {name: [] for name in self.unread}
        if self.batches is None:
            file = pq.ParquetFile(self.source, pre_buffer=False)
            self.batches = file.iter_batches(
                ROWS_A_BATCH >> 4, row_groups=list(self.groups), columns=self.unread, use_threads=False
            )
        while len(rows):
            while rows[0] >= self.end:
                with _told_as_unreadable():
                    self.batch = next(self.batches)
                self.start, self.end = self.end, self.end + len(self.batch)
            assert self.batch is not None
            here = np.searchsorted(rows, self.end)
            some = self.batch.take(pa.array(rows[:here] - self.start))
            for name, values in found.items():
                values += some.column(name).to_pylist()
            rows = rows[here:]
        return found


def _as_json(row: dict[str, Any]) -> str:
    there = {name: value for name, value in row.items() if value is not None}
    return json.dumps(there, separators=(",", ":"), ensure_ascii=False, default=_as_text)


def _as_text(value: Any) -> str:
    if isinstance(value, bytes):
        return value.decode(errors="backslashreplace")
    return value.isoformat() if hasattr(value, "isoformat") else str(value)
