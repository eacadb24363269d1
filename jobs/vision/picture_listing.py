"""Sizes and times of picture files: S3 is asked for a thousand at once where their names lie close together."""

from __future__ import annotations

from bisect import bisect_right
from collections import defaultdict
from collections.abc import Iterator, Sequence
from concurrent.futures import Executor
from functools import lru_cache

import pyarrow as pa
import pyarrow.fs as fs

from larder.storage import StoragePath
from larder.storage.s3 import SCHEMES as S3_SCHEMES
from larder.storage.s3 import objects_after, open_s3

# What file systems raise of stores that are down, files that may not be read, and names that cannot be.
FILE_ERRORS = (OSError, ValueError, pa.ArrowException)
# A listing costs about as much as a dozen questions about single objects.
WORTH_LISTING = 16
SizeAndTime = tuple[int, int]
NOT_THERE = (-1, -1)
NANOSECONDS = 1_000_000_000


def sizes_and_times(uris: Sequence[str], pool: Executor) -> list[SizeAndTime]:
    """Returns bytes and time of change (nanoseconds) of each file, in the order of `uris`; NOT_THERE for no file.

    Objects of a folder on S3 are listed rather than asked for one by one, as long as a listing finds WORTH_LISTING of
    them. Others are asked for one by one in `pool`, and so are all where the store refuses to list.
    """
    found: dict[str, SizeAndTime] = {}
    for folder, paths in _by_folder(uris).items():
        if len(paths) >= WORTH_LISTING:
            found.update(_listed(folder, paths))
    missing = sorted({uri for uri in uris if _s3_path(uri) not in found})
    asked = dict(zip(missing, pool.map(size_and_time, missing), strict=True))
    return [found[path] if (path := _s3_path(uri)) in found else asked[uri] for uri in uris]


def size_and_time(uri: str) -> SizeAndTime:
    """Returns bytes and time of change of one file; NOT_THERE for no file."""
    try:
        system, path = located(uri)
        info = system.get_file_info(path)
    except FILE_ERRORS:
        return NOT_THERE
    return (info.size, info.mtime_ns or -1) if info.type == fs.FileType.File else NOT_THERE


def located(uri: str) -> tuple[fs.FileSystem, str]:
    """Returns a file system, opened once a process for each store, and the path in it."""
    scheme, separator, rest = uri.partition("://")
    if not separator:
        return _system(""), uri
    if scheme in S3_SCHEMES:
        return open_s3(), rest  # as the environment has it now; not to be kept by the bucket's name
    authority = rest.partition("/")[0]
    return _system(f"{scheme}://{authority}"), rest[len(authority) :]


@lru_cache(maxsize=64)
def _system(store: str) -> fs.FileSystem:
    return StoragePath(store).open()[0]


def _s3_path(uri: str) -> str:
    """`BUCKET/KEY` of a URI on S3; empty for others."""
    scheme, _, path = uri.partition("://")
    return path if scheme in S3_SCHEMES else ""


def _by_folder(uris: Sequence[str]) -> dict[str, list[str]]:
    """Paths on S3 by the `BUCKET/FOLDER/` that they lie in, sorted and each once."""
    folders: dict[str, set[str]] = defaultdict(set)
    for path in filter(None, map(_s3_path, uris)):
        folders[path.rpartition("/")[0] + "/"].add(path)
    return {folder: sorted(paths) for folder, paths in folders.items()}


def _listed(folder: str, paths: list[str]) -> Iterator[tuple[str, SizeAndTime]]:
    """What listings say of the first of `paths`, and of as many more as they are worth it for."""
    at, more = 0, True
    while at < len(paths) and more:
        key = paths[at].partition("/")[2]
        try:
            objects, more = objects_after(folder, key[:-1])  # which is just before it
        except OSError:  # who may read objects may not always list them
            return
        sizes = {path: (size, int(time.timestamp()) * NANOSECONDS) for path, size, time in objects}
        covered = bisect_right(paths, objects[-1][0]) if more else len(paths)
        yield from ((path, sizes.get(path, NOT_THERE)) for path in paths[at:covered])
        if covered - at < WORTH_LISTING:
            return
        at = covered
