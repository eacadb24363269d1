"""What tasks do with pictures: look at files, fetch them, decode them.

A module of its own, so that it is imported where tasks run: what stands in the file that spark-submit starts is copied
there by value, and an open file system cannot be.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from functools import lru_cache
from typing import Any

import pyarrow as pa
import pyarrow.fs as fs

from models import columns as C
from models.images import ImageError, decode
from storage import Place

MISSING_IMAGE, UNREADABLE_IMAGE = "missing_image", "unreadable_image"
UNSUPPORTED_URI, NO_PRODUCT_ID = "unsupported_uri", "no_product_id"
CHUNK_ROWS = 128
FETCHERS = 8
S3_SCHEMES = ("s3", "s3a", "s3n")
URI = "uri"
NAMED = pa.schema([(C.PRODUCT_ID, pa.string()), (C.CATEGORY, pa.string()), (URI, pa.string())])
STATED = NAMED.append(pa.field("size", pa.int64())).append(pa.field("mtime", pa.int64()))
STATED_DDL = "product_id string, category string, uri string, size long, mtime long"
FETCHED = NAMED.append(pa.field(C.PIXELS, pa.binary())).append(pa.field(C.REASON, pa.string()))
FETCHED_DDL = "product_id string, category string, uri string, pixels binary, reason string"

Batches = Iterable[pa.RecordBatch]


def stat(batches: Batches) -> Iterator[pa.RecordBatch]:
    """NAMED to STATED: size and time of change (nanoseconds) of each file; -1 where there is none."""
    for batch in batches:
        found = list(_at_once(_size_and_time, batch.column(URI).to_pylist()))
        added = [pa.array([pair[place] for pair in found], pa.int64()) for place in (0, 1)]
        yield pa.record_batch([*batch.columns, *added], schema=STATED)


@dataclass(frozen=True)
class Fetch:
    """NAMED to FETCHED: pictures as pixels, or the reason why not."""

    image_size: int
    max_pixels: int

    def __call__(self, batches: Batches) -> Iterator[pa.RecordBatch]:
        for batch in batches:
            for start in range(0, batch.num_rows, CHUNK_ROWS):
                rows = _at_once(self._with_pixels, batch.slice(start, CHUNK_ROWS).to_pylist())
                yield pa.RecordBatch.from_pylist(list(rows), schema=FETCHED)

    def _with_pixels(self, row: dict[str, Any]) -> dict[str, Any]:
        try:
            data = _read(row[C.PRODUCT_ID], row[URI])
            pixels = decode(data, self.image_size, self.max_pixels)
        except (ImageError, _UnreadError) as error:
            return {**row, C.REASON: error.reason}
        return {**row, C.PIXELS: pixels.tobytes()}


class _UnreadError(Exception):
    def __init__(self, reason: str) -> None:
        super().__init__(reason)
        self.reason = reason


def _at_once(function: Callable[[Any], Any], values: list[Any]) -> Iterator[Any]:
    """Results in order, several at once: a store answers slowly, but many."""
    with ThreadPoolExecutor(FETCHERS) as pool:
        yield from pool.map(function, values)


def _size_and_time(uri: str) -> tuple[int, int]:
    try:
        system, path = _located(uri)
        info = system.get_file_info(path)
    except (OSError, pa.ArrowException):
        return -1, -1
    return (info.size, info.mtime_ns or -1) if info.type == fs.FileType.File else (-1, -1)


def _read(product_id: str | None, uri: str) -> bytes:
    if not product_id:
        raise _UnreadError(NO_PRODUCT_ID)
    try:
        system, path = _located(uri)
    except (OSError, pa.ArrowException):
        raise _UnreadError(UNSUPPORTED_URI) from None
    try:
        if system.get_file_info(path).type != fs.FileType.File:
            raise _UnreadError(MISSING_IMAGE)
        with system.open_input_stream(path) as stream:
            return bytes(stream.read())
    except OSError:
        raise _UnreadError(UNREADABLE_IMAGE) from None


def _located(uri: str) -> tuple[fs.FileSystem, str]:
    """A file system, opened once a process for each store, and the path in it."""
    scheme, separator, rest = uri.partition("://")
    if not separator:
        return _system(""), uri
    authority = rest.partition("/")[0]
    system = _system(f"{scheme}://{authority}")
    return system, rest if scheme in S3_SCHEMES else rest[len(authority) :]


@lru_cache(maxsize=64)
def _system(store: str) -> fs.FileSystem:
    return Place(store).open()[0]
