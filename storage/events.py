"""Finding raw events: which files lie in an hour partition, what they are like, and which cannot be read."""

from __future__ import annotations

import gzip
from collections.abc import Callable, Iterable
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass

import pyarrow as pa
import pyarrow.fs as fs
import pyarrow.parquet as pq

from storage.filesystems import Place
from storage.tables import fingerprint

READERS = 16
UNREADABLE = "unreadable_file"


@dataclass(frozen=True)
class EventFile:
    """One input file. `rows` and `schema` come from a Parquet footer; `error` says why a file can't be read."""

    uri: str
    identity: str  # changes whenever the content may have: name, size and time of change
    rows: int = 0
    schema: str = ""
    error: str = ""


@dataclass(frozen=True)
class EventHour:
    """The files of one hour partition, none where there is no such folder."""

    hour: int
    files: tuple[EventFile, ...]

    @property
    def readable(self) -> list[EventFile]:
        return [file for file in self.files if not file.error]

    @property
    def broken(self) -> list[EventFile]:
        return [file for file in self.files if file.error]

    @property
    def rows(self) -> int:
        return sum(file.rows for file in self.readable)

    @property
    def identity(self) -> str:
        return fingerprint([file.identity for file in self.files])


def find_hours(
    events: Place, hours: Iterable[int], partition_of: Callable[[int], str], event_format: str
) -> list[EventHour]:
    """Looks into every hour's folder. Reads footers, not data."""

    def look(hour: int) -> EventHour:
        folder = events / partition_of(hour)
        found = [(info.path[len(folder.path) :].lstrip("/"), info) for info in folder.files()]
        return EventHour(hour, tuple(_describe(folder, name, info, event_format) for name, info in found))

    with ThreadPoolExecutor(READERS) as pool:
        return list(pool.map(look, hours))


def check_data(hours: Iterable[EventHour], event_format: str) -> list[EventHour]:
    """Reads every file to its end and marks those that break: for when a footer was sound but the data is not."""

    def check(hour: EventHour) -> EventHour:
        return EventHour(hour.hour, tuple(_with_data_error(file, event_format) for file in hour.files))

    with ThreadPoolExecutor(READERS) as pool:
        return list(pool.map(check, hours))


def _describe(folder: Place, name: str, info: fs.FileInfo, event_format: str) -> EventFile:
    uri = (folder / name).uri
    identity = f"{name}:{info.size}:{info.mtime_ns}"
    if event_format == "json":
        return EventFile(uri, identity, schema="json")
    try:
        system, path = Place(uri).open()
        with system.open_input_file(path) as source:
            file = pq.ParquetFile(source)
            return EventFile(uri, identity, file.metadata.num_rows, str(file.schema_arrow.remove_metadata()))
    except (OSError, pa.ArrowException) as error:
        return EventFile(uri, identity, error=_first_line(error))


def _with_data_error(file: EventFile, event_format: str) -> EventFile:
    if file.error:
        return file
    system, path = Place(file.uri).open()
    try:
        if event_format == "parquet":
            with system.open_input_file(path) as source:
                for _ in pq.ParquetFile(source).iter_batches():
                    pass
        else:
            _read_through(system, path)
    except (OSError, EOFError, pa.ArrowException, gzip.BadGzipFile) as error:
        return EventFile(file.uri, file.identity, error=_first_line(error))
    return file


def _read_through(system: fs.FileSystem, path: str) -> None:
    with system.open_input_stream(path) as stream:  # decompresses by the file's name
        while stream.read(1 << 20):
            pass


def _first_line(error: BaseException) -> str:
    return (str(error).splitlines() or [type(error).__name__])[0]
