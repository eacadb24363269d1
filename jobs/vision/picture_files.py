"""What tasks do with pictures: look at files, fetch them, have them decoded.

A module of its own, so that tasks import it: Spark copies by value what is defined in the file that spark-submit
starts, and an open file system cannot be copied.
"""

from __future__ import annotations

from collections import deque
from collections.abc import Callable, Iterable, Iterator
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from itertools import islice
from typing import Any

import pyarrow as pa
import pyarrow.fs as fs

from larder.jobs.vision.decoding_process import DECODE, TOO_SLOW, DecodingLimits, PictureDecoder
from larder.jobs.vision.picture_listing import FILE_ERRORS, located, sizes_and_times
from larder.models import columns as C
from larder.models.vision.image_decoding import ImageError

NO_PRODUCT_ID = "no_product_id"
UNSUPPORTED_URI = "unsupported_uri"
MISSING_IMAGE = "missing_image"
NOT_A_FILE = "not_a_file"
UNREADABLE_IMAGE = "unreadable_image"
TOO_MANY_BYTES = "too_many_bytes"
FILE_REASONS = (NO_PRODUCT_ID, UNSUPPORTED_URI, MISSING_IMAGE, NOT_A_FILE, UNREADABLE_IMAGE, TOO_MANY_BYTES, TOO_SLOW)
CHUNK_ROWS, CHUNK_BYTES = 128, 16 << 20  # of pictures that are handed on together, whichever is less
CHANNELS = 3
THREADS = 8  # that ask a store about files
URI = "uri"
NAMED = pa.schema([(C.PRODUCT_ID, pa.string()), (C.CATEGORY, pa.string()), (URI, pa.string())])
STATED = NAMED.append(pa.field("size", pa.int64())).append(pa.field("mtime", pa.int64()))
STATED_DDL = "product_id string, category string, uri string, size long, mtime long"
FETCHED = NAMED.append(pa.field(C.PIXELS, pa.binary())).append(pa.field(C.REASON, pa.string()))
FETCHED_DDL = "product_id string, category string, uri string, pixels binary, reason string"

Batches = Iterable[pa.RecordBatch]


def stat(batches: Batches) -> Iterator[pa.RecordBatch]:
    """Maps NAMED to STATED: adds bytes and time of change (nanoseconds) of each file, -1 where there is no file."""
    with ThreadPoolExecutor(THREADS) as pool:
        for batch in batches:
            found = sizes_and_times(batch.column(URI).to_pylist(), pool)
            added = [pa.array([pair[part] for pair in found], pa.int64()) for part in (0, 1)]
            yield pa.record_batch([*batch.columns, *added], schema=STATED)


@dataclass(frozen=True)
class PictureFetcher:
    """Maps NAMED to FETCHED: adds the pixels of each picture, or the reason why there are none.

    Files are read ahead, since a store answers slowly. They are decoded one after the other, since a task has one core,
    in a process of their own that is ended where one takes more than `decode_seconds` of processor time.

    Whatever the number of pictures, a task holds at most `read_ahead` files of `max_bytes`, the file that is being
    decoded, one picture of `max_pixels`, and twice CHUNK_BYTES of finished pictures while they are handed on.
    """

    image_size: int
    max_pixels: int
    max_bytes: int
    min_side: int
    read_ahead: int
    decode_seconds: int = 10
    decoder: str = DECODE

    def __call__(self, batches: Batches) -> Iterator[pa.RecordBatch]:
        limits = DecodingLimits(self.image_size, self.max_pixels, self.min_side, self.decode_seconds)
        with ThreadPoolExecutor(self.read_ahead) as pool, PictureDecoder(limits, self.decoder) as decoder:
            for batch in batches:
                for start in range(0, batch.num_rows, self.chunk_rows):
                    rows = batch.slice(start, self.chunk_rows).to_pylist()
                    read = _ahead(pool, self.read_ahead, self._read, rows)
                    done = [_with_pixels(decoder, row, found) for row, found in zip(rows, read, strict=True)]
                    yield pa.RecordBatch.from_pylist(done, schema=FETCHED)

    @property
    def chunk_rows(self) -> int:
        """Pictures that are handed on together."""
        return min(CHUNK_ROWS, CHUNK_BYTES // (self.image_size**2 * CHANNELS))

    def _read(self, row: dict[str, Any]) -> bytes | _UnreadError:
        try:
            return _read(row[C.PRODUCT_ID], row[URI], self.max_bytes)
        except _UnreadError as error:
            return error


class _UnreadError(Exception):
    def __init__(self, reason: str) -> None:
        super().__init__(reason)
        self.reason = reason


def _with_pixels(decoder: PictureDecoder, row: dict[str, Any], found: bytes | _UnreadError) -> dict[str, Any]:
    try:
        if isinstance(found, _UnreadError):
            raise found
        return {**row, C.PIXELS: decoder.decode(found)}
    except (ImageError, _UnreadError) as error:
        return {**row, C.REASON: error.reason}


def _ahead(pool: ThreadPoolExecutor, many: int, function: Callable[[Any], Any], values: Iterable[Any]) -> Iterator[Any]:
    """Yields results in order; beside the last one taken, at most `many` are being made or wait to be taken."""
    left = iter(values)
    waiting = deque(pool.submit(function, value) for value in islice(left, many))
    while waiting:
        result = waiting.popleft().result()
        waiting.extend(pool.submit(function, value) for value in islice(left, 1))
        yield result


def _read(product_id: str | None, uri: str, max_bytes: int) -> bytes:
    if not product_id:
        raise _UnreadError(NO_PRODUCT_ID)
    try:
        system, path = located(uri)
    except FILE_ERRORS:
        raise _UnreadError(UNSUPPORTED_URI) from None
    try:
        if isinstance(system, fs.S3FileSystem):
            return _read_object(system, path, max_bytes)
        _check_file(system, path, max_bytes)
        with system.open_input_stream(path) as stream:
            return bytes(stream.read(max_bytes))
    except FILE_ERRORS:
        raise _UnreadError(UNREADABLE_IMAGE) from None


def _read_object(system: fs.S3FileSystem, path: str, max_bytes: int) -> bytes:
    """Reads an object whose size comes with opening it: asked for by itself, it would cost a request more."""
    try:
        file = system.open_input_file(path)
    except FileNotFoundError:
        _check_file(system, path, max_bytes)  # which tells a folder from nothing
        raise
    with file:
        if file.size() > max_bytes:
            raise _UnreadError(TOO_MANY_BYTES)
        return bytes(file.read())


def _check_file(system: fs.FileSystem, path: str, max_bytes: int) -> None:
    info = system.get_file_info(path)
    if info.type == fs.FileType.NotFound:
        raise _UnreadError(MISSING_IMAGE)
    if info.type != fs.FileType.File:
        raise _UnreadError(NOT_A_FILE)
    if info.size is not None and info.size > max_bytes:
        raise _UnreadError(TOO_MANY_BYTES)
