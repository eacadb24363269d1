"""The samples that each worker trains on: one file a worker, written once and mapped into memory where it is used.

A record of the file is a sample: its pixels and its labels, one byte each. Rounds pass only the files' names to
workers, so no picture is sent or copied again. Where the store is not local, a machine fetches a file once and keeps it
until the training is done.
"""

from __future__ import annotations

import hashlib
import io
import json
import math
import os
import tempfile
import time
import uuid
from collections.abc import Iterable
from dataclasses import asdict, dataclass, replace
from pathlib import Path

import numpy as np
import numpy.typing as npt
import pyarrow as pa

from larder.storage import StoragePath

Bytes = npt.NDArray[np.uint8]
Rows = npt.NDArray[np.integer]
# Pixels (n, height, width, channels) and labels (n, labels) of many samples.
Block = tuple[Bytes, Bytes]
COMPLETE = "shards.json"
COPY_BYTES = 1 << 24
COPIES = "larder-*.shard*"  # fetched shards, and parts of them
UNUSED_SECONDS = 2 * 24 * 3600  # after which a copy, of a training that was killed, is removed


@dataclass(frozen=True)
class Shard:
    """The name and shape of one worker's samples. Small enough to be sent with every task."""

    uri: str
    samples: int
    shape: tuple[int, ...]  # of one picture
    labels: int
    partners_uri: str = ""

    def partners(self) -> Rows | None:
        """Returns the rows of each sample's partners in this shard (samples, most), padded with -1; None if no file."""
        return np.load(io.BytesIO(StoragePath(self.partners_uri).read())) if self.partners_uri else None

    def batch(self, records: Bytes, rows: Rows) -> Block:
        """Returns pixels and labels of these rows of `records`."""
        some, pixels = records[rows], math.prod(self.shape)
        return some[:, :pixels].reshape(len(some), *self.shape), some[:, pixels:]

    def records(self) -> Bytes:
        """Returns all samples (samples, record_bytes), read-only; they are read from the file as they are used."""
        if not self.samples:  # an empty file cannot be mapped
            return np.zeros((0, self.record_bytes), np.uint8)
        place = StoragePath(self.uri)
        path = place.path if place.is_local else _fetched(place)
        return np.memmap(path, np.uint8, "r", shape=(self.samples, self.record_bytes))

    @property
    def record_bytes(self) -> int:
        """Bytes of one sample."""
        return math.prod(self.shape) + self.labels

    def remove_copy(self) -> None:
        """Removes what this machine has fetched of the shard, if anything."""
        if not StoragePath(self.uri).is_local:
            _copy_of(self.uri).unlink(missing_ok=True)


def write_shard(place: StoragePath, blocks: Iterable[Block], shape: tuple[int, ...], labels: int) -> Shard:
    """Writes a worker's samples, in their order, block by block. After an error there is no file, or the one before."""
    samples = 0
    with tempfile.NamedTemporaryFile(suffix=".shard", dir=_local_folder()) as scratch:
        for pixels, marks in blocks:
            np.concatenate([pixels.reshape(len(pixels), math.prod(shape)), marks], axis=1).tofile(scratch)
            samples += len(pixels)
        scratch.flush()
        place.write(pa.memory_map(scratch.name).read_buffer() if samples else b"")
    return Shard(place.uri, samples, shape, labels)


def with_partners(shard: Shard, partners: Rows) -> Shard:
    """Writes a file of the samples' partners beside the shard, and returns the shard with its name."""
    place, sink = StoragePath(f"{shard.uri}.partners"), io.BytesIO()
    np.save(sink, partners)
    place.write(sink.getvalue())
    return replace(shard, partners_uri=place.uri)


def complete_shards(folder: StoragePath) -> list[Shard] | None:
    """Returns the shards that an earlier run has written completely, or None."""
    listed = folder / COMPLETE
    if not listed.exists():
        return None
    return [Shard(**{**values, "shape": tuple(values["shape"])}) for values in json.loads(listed.read())]


def mark_complete(folder: StoragePath, shards: list[Shard]) -> None:
    """Notes in `folder` that it has all of these shards."""
    (folder / COMPLETE).write(json.dumps([asdict(shard) for shard in shards], indent=1).encode())


def _fetched(place: StoragePath) -> str:
    """The path of the file's copy on this machine, which is fetched if there is none."""
    copy = _copy_of(place.uri)
    if copy.exists():
        os.utime(copy)  # it is in use
        return str(copy)
    _remove_unused(copy.parent)
    system, source = place.open()
    # Named at random: machines that share a disk, and containers, have the same process ids.
    part = copy.with_name(f"{copy.name}.{uuid.uuid4().hex}")
    try:
        with system.open_input_stream(source) as stream, part.open("wb") as sink:
            while data := stream.read(COPY_BYTES):
                sink.write(data)
        part.replace(copy)
    finally:
        part.unlink(missing_ok=True)
    return str(copy)


def _copy_of(uri: str) -> Path:
    return _local_folder() / f"larder-{hashlib.sha256(uri.encode()).hexdigest()[:16]}.shard"


def _remove_unused(folder: Path) -> None:
    """Removes copies that no training has used for two days: a training that is killed leaves its own."""
    for copy in folder.glob(COPIES):
        try:
            if time.time() - copy.stat().st_mtime > UNUSED_SECONDS:
                copy.unlink()
        except OSError:  # gone already, or another user's
            continue


def _local_folder() -> Path:
    """Where a task may keep files. On a cluster Spark removes the folder when the application ends."""
    return Path(os.environ.get("SPARK_LOCAL_DIRS", tempfile.gettempdir()).split(",")[0])
