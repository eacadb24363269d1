"""Reads raw events: cuts files into pieces of bounded size, and reads a piece's rows batch by batch."""

from __future__ import annotations

from collections.abc import Callable, Collection, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq

from larder.storage.event_folders import EventFile, EventHour, codec_of, first_line
from larder.storage.filesystems import StoragePath
from larder.storage.json_lines import ColumnNames, read_lines
from larder.storage.whole_rows import WholeRows

ROWS_A_BATCH = 1 << 20
ROWS_A_PIECE = 2 << 20
MAGIC = {b"\x1f\x8b": "gzip", b"BZh": "bz2", b"\x28\xb5\x2f\xfd": "zstd", b"\x04\x22\x4d\x18": "lz4"}


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
    """A file can't be read to its end. No OSError, so that a disk that is full elsewhere is not taken for one.

    `is_sure`: its content is wrong; else reading it failed, which another look may show to have been the store's fault.
    """

    def __init__(self, error: BaseException) -> None:
        self.is_sure = not isinstance(error, (OSError, EOFError))
        told = first_line(error)
        super().__init__(
            told if isinstance(error, (OSError, pa.ArrowException, ValueError)) else f"{type(error).__name__}: {told}"
        )


def read_piece(
    piece: Piece, columns: Sequence[str], of_few_values: Sequence[str], names: ColumnNames | None = None
) -> Iterator[RawBatch]:
    """The piece's rows, batch by batch; `names` learns what its columns are called. Raises UnreadableError."""
    batches = _raw_batches(piece, columns, of_few_values, names or ColumnNames())
    while True:
        with told_as_unreadable():
            batch = next(batches, None)
        if batch is None:
            return
        yield batch


def read_through(uri: str, event_format: str) -> None:
    """Reads the whole file, footer and all. Raises UnreadableError."""
    with told_as_unreadable():
        if event_format == "json":
            with _lines(uri) as stream:
                for _ in read_lines(stream, []):
                    pass
            return
        system, path = StoragePath(uri).open()
        with system.open_input_file(path) as source:
            for _ in pq.ParquetFile(source, pre_buffer=False).iter_batches():
                pass


@contextmanager
def told_as_unreadable() -> Iterator[None]:
    """Raises UnreadableError for whatever goes wrong with a file's content: no file may stop the others."""
    try:
        yield
    except (UnreadableError, MemoryError):
        raise
    except Exception as error:
        raise UnreadableError(error) from error


def _lines(uri: str) -> pa.NativeFile:
    """The file's content, decompressed as its name says, or its first bytes where the name says nothing."""
    system, path = StoragePath(uri).open()
    codec = codec_of(uri)
    if codec is None:
        with system.open_input_stream(path, compression=None) as stream:
            start = stream.read(4)
        codec = next((name for magic, name in MAGIC.items() if start.startswith(magic)), None)
    return system.open_input_stream(path, compression=codec)


def _raw_batches(
    piece: Piece, columns: Sequence[str], of_few_values: Sequence[str], names: ColumnNames
) -> Iterator[RawBatch]:
    if piece.row_groups is None:
        with _lines(piece.uri) as stream:
            for batch, lines in read_lines(stream, columns, names):
                yield RawBatch(batch, lines)
        return
    system, path = StoragePath(piece.uri).open()
    with system.open_input_file(path) as source:
        file = open_parquet(source, of_few_values)
        all_names = file.schema_arrow.names
        names.add_all(columns, all_names)
        wanted = [name for name in all_names if name in columns]
        twice = sorted({name for name in wanted if wanted.count(name) > 1})
        if twice:
            raise ValueError(f"several columns are called {', '.join(twice)}")
        whole = WholeRows(source, piece.row_groups, all_names, wanted)
        start = 0
        for batch in batches_of(file, piece.row_groups, wanted):
            yield RawBatch(batch, _telling(whole.of(batch, start)))
            start += len(batch)


def _telling(texts_of: Callable[[np.ndarray], list[str]]) -> Callable[[np.ndarray], list[str]]:
    """The same function, which raises UnreadableError: columns that nobody asked for may break only now."""

    def texts(rows: np.ndarray) -> list[str]:
        with told_as_unreadable():
            return texts_of(rows)

    return texts


def open_parquet(source: pa.NativeFile, of_few_values: Sequence[str] = ()) -> pq.ParquetFile:
    """A Parquet file; texts of these columns come as dictionaries, and INT96 times as microseconds.

    INT96 reaches further than 64-bit nanoseconds do, which would turn the year 9999 into 1816.
    """
    footer = pq.read_metadata(source)
    schema = footer.schema.to_arrow_schema()
    texts = [name for name in of_few_values if name in schema.names and _is_text(schema, name)]
    return pq.ParquetFile(
        source, metadata=footer, read_dictionary=texts, pre_buffer=False, coerce_int96_timestamp_unit="us"
    )


def _is_text(schema: pa.Schema, name: str) -> bool:
    kinds = [schema.field(place).type for place in schema.get_all_field_indices(name)]
    return all(
        pa.types.is_string(kind) or pa.types.is_large_string(kind) or pa.types.is_string_view(kind) for kind in kinds
    )


def batches_of(file: pq.ParquetFile, groups: Sequence[int], columns: list[str]) -> Iterator[pa.RecordBatch]:
    """Batches of at most ROWS_A_BATCH rows; small row groups are put together. UUIDs are of the type of that name."""
    untold = _untold_uuids(file, columns)
    for batch in _put_together(file, groups, columns):
        yield _with_uuids(batch, untold) if untold else batch


def _untold_uuids(file: pq.ParquetFile, columns: list[str]) -> set[str]:
    """The columns of UUIDs that come as bytes: PyArrow before version 21 does not tell them apart."""
    leaves = [file.schema.column(number) for number in range(len(file.schema))]
    uuids = {leaf.path for leaf in leaves if leaf.logical_type.type == "UUID"}.intersection(columns)
    return {name for name in uuids if pa.types.is_fixed_size_binary(file.schema_arrow.field(name).type)}


def _with_uuids(batch: pa.RecordBatch, names: Collection[str]) -> pa.RecordBatch:
    arrays = [
        pa.ExtensionArray.from_storage(Uuid(), array) if name in names else array
        for name, array in zip(batch.schema.names, batch.columns, strict=True)
    ]
    return pa.record_batch(arrays, batch.schema.names)


class Uuid(pa.ExtensionType):
    """Arrow's type of this name, which PyArrow has since version 18."""

    def __init__(self) -> None:
        super().__init__(pa.binary(16), "arrow.uuid")

    def __arrow_ext_serialize__(self) -> bytes:
        return b""

    @classmethod
    def __arrow_ext_deserialize__(cls, storage_type: pa.DataType, serialized: bytes) -> Uuid:
        return cls()


def _put_together(file: pq.ParquetFile, groups: Sequence[int], columns: list[str]) -> Iterator[pa.RecordBatch]:
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
