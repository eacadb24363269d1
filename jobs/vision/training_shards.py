"""What each worker trains on, decoded and put together once: one file a worker, mapped into memory wherever it lies.

A sample is a record of its pixels and its labels, all of them bytes. Rounds pass only the names of files to workers, so
no picture is sent or copied again; where the place is not local, a machine fetches a file once and keeps it.
"""

from __future__ import annotations

import hashlib
import io
import json
import math
import os
import tempfile
from collections.abc import Iterable
from dataclasses import asdict, dataclass, replace
from pathlib import Path

import numpy as np
import numpy.typing as npt
import pyarrow.fs as fs

from larder.storage import StoragePath

Bytes = npt.NDArray[np.uint8]
Rows = npt.NDArray[np.integer]
# Pixels (n, height, width, channels) and labels (n, labels) of many samples.
Block = tuple[Bytes, Bytes]
COMPLETE = "shards.json"
COPY_BYTES = 1 << 24


@dataclass(frozen=True)
class Shard:
    """The samples of one worker. Small enough to go with every task."""

    uri: str
    samples: int
    shape: tuple[int, ...]  # of one picture
    labels: int
    partners_uri: str = ""

    def partners(self) -> Rows | None:
        """Rows of each sample's partners in this shard (samples, most), -1 for none; None where it has no such file."""
        return np.load(io.BytesIO(StoragePath(self.partners_uri).read())) if self.partners_uri else None

    def batch(self, records: Bytes, rows: Rows) -> Block:
        """Pixels and labels of these rows of `records`."""
        some, pixels = records[rows], math.prod(self.shape)
        return some[:, :pixels].reshape(len(some), *self.shape), some[:, pixels:]

    def records(self) -> Bytes:
        """All samples (samples, bytes of one), not writable and not yet read."""
        if not self.samples:  # which cannot be mapped
            return np.zeros((0, self.record_bytes), np.uint8)
        place = StoragePath(self.uri)
        path = place.path if place.is_local else _fetched(place)
        return np.memmap(path, np.uint8, "r", shape=(self.samples, self.record_bytes))

    @property
    def record_bytes(self) -> int:
        return math.prod(self.shape) + self.labels


def write_shard(place: StoragePath, blocks: Iterable[Block], shape: tuple[int, ...], labels: int) -> Shard:
    """Writes a worker's samples, in their order, block by block; a reader never sees half a file."""
    samples = 0
    with tempfile.NamedTemporaryFile(suffix=".shard", dir=_local_folder()) as scratch:
        for pixels, marks in blocks:
            np.concatenate([pixels.reshape(len(pixels), math.prod(shape)), marks], axis=1).tofile(scratch)
            samples += len(pixels)
        scratch.flush()
        _put(scratch.name, place)
    return Shard(place.uri, samples, shape, labels)


def with_partners(shard: Shard, partners: Rows) -> Shard:
    """The shard with a file of its samples' partners beside it."""
    place, sink = StoragePath(f"{shard.uri}.partners"), io.BytesIO()
    np.save(sink, partners)
    place.write(sink.getvalue())
    return replace(shard, partners_uri=place.uri)


def complete_shards(folder: StoragePath) -> list[Shard] | None:
    """The shards that an earlier run has left whole, or None."""
    listed = folder / COMPLETE
    if not listed.exists():
        return None
    return [Shard(**{**values, "shape": tuple(values["shape"])}) for values in json.loads(listed.read())]


def mark_complete(folder: StoragePath, shards: list[Shard]) -> None:
    (folder / COMPLETE).write(json.dumps([asdict(shard) for shard in shards], indent=1).encode())


def _put(path: str, place: StoragePath) -> None:
    system, target = place.open()
    whole = isinstance(system, fs.S3FileSystem)  # an object is seen only once it is complete
    part = target if whole else f"{target}.{os.getpid()}"
    if not whole:
        system.create_dir(target.rpartition("/")[0], recursive=True)
    with open(path, "rb") as source, system.open_output_stream(part) as sink:
        while data := source.read(COPY_BYTES):
            sink.write(data)
    if whole:
        return
    if not place.is_local and place.exists():
        system.delete_file(target)  # HDFS does not rename onto a file
    system.move(part, target)


def _fetched(place: StoragePath) -> str:
    """The file's copy on this machine, fetched if it is not there."""
    name = hashlib.sha256(place.uri.encode()).hexdigest()[:16]
    copy = _local_folder() / f"larder-{name}.shard"
    if not copy.exists():
        system, source = place.open()
        part = copy.with_suffix(f".{os.getpid()}")
        with system.open_input_stream(source) as stream, part.open("wb") as sink:
            while data := stream.read(COPY_BYTES):
                sink.write(data)
        part.replace(copy)
    return str(copy)


def _local_folder() -> Path:
    """Where a task may keep files: Spark removes it when the application ends."""
    return Path(os.environ.get("SPARK_LOCAL_DIRS", tempfile.gettempdir()).split(",")[0])
