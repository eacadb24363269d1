"""Finds the files of raw events in hour partitions, their rows, and those that can't be read."""

from __future__ import annotations

import re
import time
from collections.abc import Callable, Iterable, Mapping
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass, replace

import pyarrow as pa
import pyarrow.fs as fs
import pyarrow.parquet as pq

from larder.storage.filesystems import StoragePath
from larder.storage.manifests import fingerprint

READERS = 16
UNREADABLE = "unreadable_file"
BYTES_A_LINE, COMPRESSION = 150, 8  # of JSON, roughly: to estimate an hour's rows before they are read
PAUSES = (0.1, 0.4, 0.0)  # seconds after each look at a footer that can't be read
# How names of compressed files end, rotated ones (.gz.1) too, and their codecs.
COMPRESSED = re.compile(r"\.(gz|gzip|bz2|zst|zstd|lz4)(\.\d+)?$", re.I)
CODECS = {"gz": "gzip", "gzip": "gzip", "bz2": "bz2", "zst": "zstd", "zstd": "zstd", "lz4": "lz4"}


def codec_of(uri: str) -> str | None:
    """The codec that a file's name says it is compressed with, None if it says nothing."""
    found = COMPRESSED.search(uri)
    return CODECS[found.group(1).lower()] if found else None


@dataclass(frozen=True)
class EventFile:
    """One input file. `row_groups`: their rows, from a Parquet footer, None for JSON lines. `error`: why it can't be
    read; `is_sure`: because of its content, so that looking again is of no use."""

    uri: str
    identity: str  # changes whenever the content may have: name, size, and ETag or time of change
    bytes: int = 0
    modified_ns: int = 0  # since 1970
    row_groups: tuple[int, ...] | None = None
    error: str = ""
    is_sure: bool = False

    @property
    def likely_rows(self) -> int:
        """Exact for Parquet, estimated from the size for JSON lines."""
        if self.row_groups is not None:
            return sum(self.row_groups)
        return -(-self.bytes * (COMPRESSION if codec_of(self.uri) else 1) // BYTES_A_LINE)


@dataclass(frozen=True)
class EventHour:
    """The files of one hour partition, none if it has no folder."""

    hour: int
    files: tuple[EventFile, ...]
    has_success_file: bool = False
    has_folder: bool = True

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

    def with_errors(self, errors: Mapping[str, tuple[str, bool]]) -> EventHour:
        """The same hour, the files of these URIs marked as broken: by which error, and whether that is sure."""
        files = []
        for file in self.files:
            error, is_sure = (file.error, file.is_sure) if file.error else errors.get(file.uri, ("", False))
            files.append(replace(file, error=error, is_sure=is_sure))
        return replace(self, files=tuple(files))


def find_hours(
    events: StoragePath,
    hours: Iterable[int],
    partition_of: Callable[[int], str],
    event_format: str,
    success_file: str = "",
) -> list[EventHour]:
    """Looks into the folder of every hour. Reads footers, not data."""

    def look(hour: int) -> EventHour:
        folder = events / partition_of(hour)
        found = folder.files()
        versions = folder.versions(found) if found else {}
        files = tuple(_describe(folder, info, versions[info.path], event_format) for info in found)
        has_folder = bool(files) or folder.exists()
        return EventHour(hour, files, bool(success_file) and (folder / success_file).exists(), has_folder)

    with ThreadPoolExecutor(READERS) as pool:
        return list(pool.map(look, hours))


def _describe(folder: StoragePath, info: fs.FileInfo, version: str, event_format: str) -> EventFile:
    name = info.path[len(folder.path) :].lstrip("/")
    found = EventFile((folder / name).uri, f"{name}:{info.size}:{version}", info.size, info.mtime_ns or 0)
    if event_format == "json":
        return found
    for pause in PAUSES:
        try:
            return replace(found, row_groups=_row_groups(found.uri))
        except ValueError as error:  # no Parquet, or a footer in which a name is no text
            return replace(found, error=first_line(error))
        except (OSError, pa.ArrowException) as error:  # a broken footer, or a store that stumbled
            found = replace(found, error=first_line(error))
            time.sleep(pause)
    return found


def _row_groups(uri: str) -> tuple[int, ...]:
    system, path = StoragePath(uri).open()
    with system.open_input_file(path) as source:
        footer = pq.read_metadata(source)
        return tuple(footer.row_group(i).num_rows for i in range(footer.num_row_groups))


def first_line(error: BaseException) -> str:
    """What an error says, in one line."""
    return (str(error).splitlines() or [type(error).__name__])[0]
