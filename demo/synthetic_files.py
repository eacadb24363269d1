"""Writes batches of a synthetic log as files: Parquet, or JSON lines, some of them deliberately malformed."""

from __future__ import annotations

from datetime import datetime, timezone
from pathlib import Path

import numpy as np
import numpy.typing as npt
import pyarrow as pa
import pyarrow.compute as pc
import pyarrow.parquet as pq

from demo.synthetic_parts import Part
from demo.synthetic_shape import DIRT_OF_TEXT, Shape

ENDINGS = {"none": "", "gzip": ".gz", "zstd": ".zst"}
OF_FEW_VALUES = ("location", "device", "event_type")
MS_AN_HOUR, SECONDS_AN_HOUR = 3_600_000, 3600


class Files:
    """Writes the parts of an hour into its folder, and begins a new file once one has `rows_a_file` rows."""

    def __init__(self, folder: Path, shape: Shape, rows_a_file: int, compression: str) -> None:
        self.folder, self.shape, self.rows_a_file, self.compression = folder, shape, rows_a_file, compression
        self.written = self.rows = 0
        self.open: _ParquetFile | _LinesFile | None = None
        folder.mkdir(parents=True, exist_ok=True)
        for old in folder.iterdir():  # an earlier run may have written more files
            old.unlink()

    def write(self, part: Part) -> None:
        for batch, kind in zip(part.batches, part.kinds, strict=True):
            start = 0
            while start < batch.num_rows:
                some = min(batch.num_rows - start, self.rows_a_file - self.rows)
                self._file().write(batch.slice(start, some), kind[start : start + some])
                self.rows, start = self.rows + some, start + some
                if self.rows == self.rows_a_file:
                    self._close()

    def finish(self) -> int:
        """Marks the hour as complete; returns the number of files."""
        self._close()
        (self.folder / "_SUCCESS").touch()
        return self.written

    def _file(self) -> _ParquetFile | _LinesFile:
        if self.open is None:
            path = self.folder / f"part-{self.written:05d}"
            is_json = self.shape.format == "json"
            self.open = (
                _LinesFile(path, self.shape, self.compression) if is_json else _ParquetFile(path, self.compression)
            )
        return self.open

    def _close(self) -> None:
        if self.open is not None:
            self.open.close()
            self.open, self.rows, self.written = None, 0, self.written + 1


class _ParquetFile:
    """A Parquet file with a row group for each batch. Readers see plain strings: the schema with dictionaries is not
    stored."""

    def __init__(self, path: Path, compression: str) -> None:
        self.path, self.compression = path.with_suffix(".parquet"), compression
        self.writer: pq.ParquetWriter | None = None

    def write(self, batch: pa.RecordBatch, kind: npt.NDArray[np.int8]) -> None:
        columns = [_named(name, column) for name, column in zip(batch.schema.names, batch.columns, strict=True)]
        plain = pa.RecordBatch.from_arrays(columns, batch.schema.names)
        if self.writer is None:
            self.writer = pq.ParquetWriter(
                self.path,
                plain.schema,
                compression=self.compression,
                use_dictionary=[*OF_FEW_VALUES, "cookie_id", "price"],
                store_schema=False,
            )
        self.writer.write_batch(plain)

    def close(self) -> None:
        if self.writer is not None:
            self.writer.close()


def _named(name: str, column: pa.Array) -> pa.Array:
    """Returns plain strings for a large dictionary, most of whose values do not occur in this file."""
    return column if name in OF_FEW_VALUES else decoded(column)


class _LinesFile:
    """A file of JSON lines, most of which are one object."""

    def __init__(self, path: Path, shape: Shape, compression: str) -> None:
        self.dirt = list(shape.dirt_kinds)
        codec = None if compression == "none" else compression
        self.stream = pa.output_stream(f"{path}.json{ENDINGS[compression]}", compression=codec)

    def write(self, batch: pa.RecordBatch, kind: npt.NDArray[np.int8]) -> None:
        self.stream.write(as_lines(batch, kind, self.dirt))

    def close(self) -> None:
        self.stream.close()


def as_lines(batch: pa.RecordBatch, kind: npt.NDArray[np.int8], dirt: list[str]) -> pa.Buffer:
    """Returns the batch as JSON lines, with the kinds of DIRT_OF_TEXT in the rows that `kind` names."""
    texts = {name: _as_text(batch.column(name)) for name in batch.schema.names}
    wrong = np.flatnonzero(kind >= 0)
    of_kind = {name: wrong[kind[wrong] == dirt.index(name)] for name in DIRT_OF_TEXT}
    for column, word in (("ts", '"yesterday"'), ("quantity", '"many"'), ("price", '"free"')):
        texts[column] = _replaced(texts[column], of_kind[f"word_for_{column}"], word)
    pieces: list[pa.Array | str] = []
    for number, name in enumerate(batch.schema.names):
        pieces += [f'{"," if number else "{"}"{name}":', texts[name]]
    lines = pc.binary_join_element_wise(*pieces, "}", "", null_handling="replace", null_replacement="null")
    lines = _replaced(lines, of_kind["cut_line"], '{"cookie_id":"c1","prod')
    lines = _replaced(lines, of_kind["no_object"], '"an event"')
    joined = pc.binary_join_element_wise(lines, "\n", "")
    start, end = _span(joined)
    return joined.buffers()[2].slice(start, end - start)


def _as_text(column: pa.Array) -> pa.StringArray:
    """Returns values as JSON text; nulls stay null."""
    if pa.types.is_dictionary(column.type):
        quoted = pc.binary_join_element_wise('"', column.dictionary, '"', "")
        return decoded(pa.DictionaryArray.from_arrays(column.indices, quoted))
    if pa.types.is_timestamp(column.type):
        return _moments(column)
    if pa.types.is_string(column.type):
        return pc.binary_join_element_wise('"', column, '"', "")
    return column.cast(pa.string())


def _moments(column: pa.TimestampArray) -> pa.StringArray:
    """Returns times like "2026-11-20T08:15:00.250Z", put together from hour, second and millisecond."""
    ms = column.cast(pa.int64()).fill_null(0).to_numpy() // 1000
    hour, rest = np.divmod(ms, MS_AN_HOUR)
    first = int(hour[column.is_valid().to_numpy(zero_copy_only=False)].min()) if column.null_count < len(column) else 0
    hour = np.maximum(hour - first, 0)
    moments = (datetime.fromtimestamp((first + h) * SECONDS_AN_HOUR, timezone.utc) for h in range(hour.max() + 1))
    hours = pa.array([f'"{moment:%Y-%m-%dT%H}:' for moment in moments])
    seconds = pa.array([f"{second // 60:02d}:{second % 60:02d}." for second in range(SECONDS_AN_HOUR)])
    thousandths = pa.array([f'{number:03d}Z"' for number in range(1000)])
    second, thousandth = np.divmod(rest, 1000)
    parts = (names.take(pa.array(n)) for names, n in ((hours, hour), (seconds, second), (thousandths, thousandth)))
    text = pc.binary_join_element_wise(*parts, "")
    return text if not column.null_count else pc.if_else(column.is_valid(), text, pa.scalar(None, pa.string()))


def decoded(column: pa.Array) -> pa.Array:
    """Returns a dictionary array as plain values; any other array unchanged."""
    return column.dictionary.take(column.indices) if pa.types.is_dictionary(column.type) else column


def _replaced(texts: pa.StringArray, rows: npt.NDArray[np.int64], text: str) -> pa.StringArray:
    if not len(rows):
        return texts
    mask = np.zeros(len(texts), bool)
    mask[rows] = True
    return pc.if_else(pa.array(mask), text, texts)


def _span(texts: pa.StringArray) -> tuple[int, int]:
    offsets = np.frombuffer(texts.buffers()[1], np.int32)
    return int(offsets[texts.offset]), int(offsets[texts.offset + len(texts)])
