"""Finding raw events: which files lie in an hour partition, what they are like, and which cannot be read."""

from __future__ import annotations

from collections.abc import Callable, Iterable
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass, replace

import pyarrow as pa
import pyarrow.fs as fs
import pyarrow.parquet as pq

from larder.storage.filesystems import StoragePath
from larder.storage.manifests import fingerprint

READERS = 16
UNREADABLE = "unreadable_file"
BYTES_A_LINE, COMPRESSION = 150, 8  # of JSON, roughly: what an hour's rows are reckoned from before they are read
COMPRESSED = (".gz", ".zst", ".bz2", ".lz4")


@dataclass(frozen=True)
class EventFile:
    """One input file. `row_groups`: their rows, from a Parquet footer, None for JSON lines; `error`: why it can't be
    read."""

    uri: str
    identity: str  # changes whenever the content may have: name, size, and ETag or time of change
    bytes: int = 0
    modified_ns: int = 0  # since 1970
    row_groups: tuple[int, ...] | None = None
    error: str = ""

    @property
    def likely_rows(self) -> int:
        """Exact for Parquet, reckoned from the size for JSON lines."""
        if self.row_groups is not None:
            return sum(self.row_groups)
        return -(-self.bytes * (COMPRESSION if self.uri.endswith(COMPRESSED) else 1) // BYTES_A_LINE)


@dataclass(frozen=True)
class EventHour:
    """The files of one hour partition, none where there is no such folder."""

    hour: int
    files: tuple[EventFile, ...]
    has_success_file: bool = False

    @property
    def readable(self) -> list[EventFile]:
        return [file for file in self.files if not file.error]

    @property
    def broken(self) -> list[EventFile]:
        return [file for file in self.files if file.error]

    @property
    def likely_rows(self) -> int:
        return sum(file.likely_rows for file in self.readable)

    @property
    def identity(self) -> str:
        return fingerprint([file.identity for file in self.files])

    def with_errors(self, errors: dict[str, str]) -> EventHour:
        """The same, the files of these URIs marked as broken."""
        files = (replace(file, error=file.error or errors.get(file.uri, "")) for file in self.files)
        return replace(self, files=tuple(files))


def find_hours(
    events: StoragePath,
    hours: Iterable[int],
    partition_of: Callable[[int], str],
    event_format: str,
    success_file: str = "",
) -> list[EventHour]:
    """Looks into every hour's folder. Reads footers, not data."""

    def look(hour: int) -> EventHour:
        folder = events / partition_of(hour)
        found = folder.files()
        versions = folder.versions(found) if found else {}
        files = tuple(_describe(folder, info, versions[info.path], event_format) for info in found)
        return EventHour(hour, files, bool(success_file) and (folder / success_file).exists())

    with ThreadPoolExecutor(READERS) as pool:
        return list(pool.map(look, hours))


def _describe(folder: StoragePath, info: fs.FileInfo, version: str, event_format: str) -> EventFile:
    name = info.path[len(folder.path) :].lstrip("/")
    found = EventFile((folder / name).uri, f"{name}:{info.size}:{version}", info.size, info.mtime_ns or 0)
    if event_format == "json":
        return found
    try:
        system, path = StoragePath(found.uri).open()
        with system.open_input_file(path) as source:
            footer = pq.ParquetFile(source).metadata
            groups = tuple(footer.row_group(i).num_rows for i in range(footer.num_row_groups))
            return replace(found, row_groups=groups)
    except (OSError, pa.ArrowException) as error:
        return replace(found, error=first_line(error))


def first_line(error: BaseException) -> str:
    """What an error says, in one line."""
    return (str(error).splitlines() or [type(error).__name__])[0]
