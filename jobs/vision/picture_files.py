"""What tasks do with pictures: look at files, fetch them, decode them.

A module of its own, so that it is imported where tasks run: what stands in the file that spark-submit starts is copied
there by value, and an open file system cannot be.
"""

from __future__ import annotations

from collections import deque
from collections.abc import Callable, Iterable, Iterator
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from functools import lru_cache
from itertools import islice
from typing import Any

import pyarrow as pa
import pyarrow.fs as fs

from larder.models import columns as C
from larder.models.vision.image_decoding import ImageError, decode
from larder.storage import StoragePath

NO_PRODUCT_ID = "no_product_id"
UNSUPPORTED_URI = "unsupported_uri"
MISSING_IMAGE = "missing_image"
NOT_A_FILE = "not_a_file"
UNREADABLE_IMAGE = "unreadable_image"
TOO_MANY_BYTES = "too_many_bytes"
FILE_REASONS = (NO_PRODUCT_ID, UNSUPPORTED_URI, MISSING_IMAGE, NOT_A_FILE, UNREADABLE_IMAGE, TOO_MANY_BYTES)
CHUNK_ROWS, CHUNK_BYTES = 128, 16 << 20  # of pictures that are handed on together, whichever is less
CHANNELS = 3
STATERS = 8
# What file systems raise of stores that are down, files that may not be read, and names that cannot be.
FILE_ERRORS = (OSError, ValueError, pa.ArrowException)
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
    with ThreadPoolExecutor(STATERS) as pool:
        for batch in batches:
            found = list(pool.map(_size_and_time, batch.column(URI).to_pylist()))
            added = [pa.array([pair[place] for pair in found], pa.int64()) for place in (0, 1)]
            yield pa.record_batch([*batch.columns, *added], schema=STATED)


@dataclass(frozen=True)
class PictureFetcher:
    """NAMED to FETCHED: pictures as pixels, or the reason why not.

    Files are read ahead, since a store answers slowly; they are decoded one after the other, as a task has one core. So
    a task holds at most `read_ahead` files of `max_bytes` and the one that it decodes, one picture of `max_pixels`, and
    CHUNK_BYTES of finished ones, twice while they are handed on, however many there are.
    """

    image_size: int
    max_pixels: int
    max_bytes: int
    min_side: int
    read_ahead: int

    def __call__(self, batches: Batches) -> Iterator[pa.RecordBatch]:
        with ThreadPoolExecutor(self.read_ahead) as pool:
            for batch in batches:
                for start in range(0, batch.num_rows, self.chunk_rows):
                    rows = batch.slice(start, self.chunk_rows).to_pylist()
                    read = _ahead(pool, self.read_ahead, self._read, rows)
                    done = [self._with_pixels(row, found) for row, found in zip(rows, read, strict=True)]
                    yield pa.RecordBatch.from_pylist(done, schema=FETCHED)

    @property
    def chunk_rows(self) -> int:
        return min(CHUNK_ROWS, CHUNK_BYTES // (self.image_size**2 * CHANNELS))

    def _with_pixels(self, row: dict[str, Any], found: bytes | _UnreadError) -> dict[str, Any]:
        try:
            if isinstance(found, _UnreadError):
                raise found
            pixels = decode(found, self.image_size, self.max_pixels, self.min_side)
        except (ImageError, _UnreadError) as error:
            return {**row, C.REASON: error.reason}
        return {**row, C.PIXELS: pixels.tobytes()}

    def _read(self, row: dict[str, Any]) -> bytes | _UnreadError:
        try:
            return _read(row[C.PRODUCT_ID], row[URI], self.max_bytes)
        except _UnreadError as error:
            return error


class _UnreadError(Exception):
    def __init__(self, reason: str) -> None:
        super().__init__(reason)
        self.reason = reason


def _ahead(pool: ThreadPoolExecutor, many: int, function: Callable[[Any], Any], values: Iterable[Any]) -> Iterator[Any]:
    """Results in order, of which at most `many` are being made or wait to be taken, beside the one taken last."""
    left = iter(values)
    waiting = deque(pool.submit(function, value) for value in islice(left, many))
    while waiting:
        result = waiting.popleft().result()
        waiting.extend(pool.submit(function, value) for value in islice(left, 1))
        yield result


def _size_and_time(uri: str) -> tuple[int, int]:
    try:
        system, path = _located(uri)
        info = system.get_file_info(path)
    except FILE_ERRORS:
        return -1, -1
    return (info.size, info.mtime_ns or -1) if info.type == fs.FileType.File else (-1, -1)


def _read(product_id: str | None, uri: str, max_bytes: int) -> bytes:
    if not product_id:
        raise _UnreadError(NO_PRODUCT_ID)
    try:
        system, path = _located(uri)
    except FILE_ERRORS:
        raise _UnreadError(UNSUPPORTED_URI) from None
    try:
        info = system.get_file_info(path)
        if info.type == fs.FileType.NotFound:
            raise _UnreadError(MISSING_IMAGE)
        if info.type != fs.FileType.File:
            raise _UnreadError(NOT_A_FILE)
        if info.size is not None and info.size > max_bytes:
            raise _UnreadError(TOO_MANY_BYTES)
        with system.open_input_stream(path) as stream:
            return bytes(stream.read(max_bytes))
    except FILE_ERRORS:
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
    return StoragePath(store).open()[0]
