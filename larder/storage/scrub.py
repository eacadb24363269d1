"""Finds damage that no size shows: reads every file that a manifest names and compares its bytes with the digest."""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass

import pyarrow as pa
import pyarrow.parquet as pq

from larder.storage.filesystems import StoragePath
from larder.storage.manifests import DamagedTableError, DataFile, Manifest, StoredFile, Tables

READERS = 4
MANIFESTS, SUFFIX = "manifests", ".json"


@dataclass
class ScrubReport:
    """Counts of what was read, and what to tell of each damage."""

    partitions: int
    files: int
    bytes: int
    without_digest: int  # files of before there were digests: only that they can be decoded is known
    damages: list[str]


def scrub(tables: Tables, names: Iterable[str] = ()) -> ScrubReport:
    """Reads the tables of these names, or all; a file at a time in each of a few threads."""
    report = ScrubReport(0, 0, 0, 0, [])
    found = list(_manifests(tables, list(names) or StoragePath(tables.root).folders(), report))
    report.partitions = len(found)
    files = [(manifest, file) for manifest in found for file in manifest.files]
    with ThreadPoolExecutor(READERS) as pool:
        for (_, file), damage in zip(files, pool.map(lambda each: _damage(tables, *each), files), strict=True):
            report.files += 1
            report.bytes += file.bytes
            report.without_digest += not file.digest
            if damage:
                report.damages.append(damage)
    return report


def _manifests(tables: Tables, names: Iterable[str], report: ScrubReport) -> Iterator[Manifest]:
    for name in names:
        folder = tables.place(name) / MANIFESTS
        root = folder.path
        for info in folder.files():
            partition = info.path[len(root) :].lstrip("/").removesuffix(SUFFIX)
            try:
                manifest = tables.find(name, partition)
            except DamagedTableError as error:
                report.damages.append(str(error))
                continue
            if manifest is not None:
                yield manifest


def _damage(tables: Tables, manifest: Manifest, file: DataFile) -> str | None:
    place = tables.run_folder(manifest) / file.name
    again = f"make {manifest.table} of {manifest.partition} again"
    try:
        data = StoredFile(place.uri, file.digest, again).read()
        if len(data) != file.bytes:
            return f"{place.uri} has {len(data):,} bytes, where its manifest says {file.bytes:,}; {again}"
        if not file.digest and file.name.endswith(".parquet"):
            for _ in pq.ParquetFile(pa.BufferReader(data)).iter_batches():
                pass
    except DamagedTableError as error:
        return str(error)
    except FileNotFoundError:
        return f"{place.uri} is gone; {again}"
    except (OSError, pa.ArrowException, UnicodeDecodeError) as error:  # a name in a broken footer may be no text
        return f"{place.uri} can't be read ({error}); {again}"
    return None
