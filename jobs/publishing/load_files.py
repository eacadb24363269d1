"""Loads one Parquet file of a release into the server: the work of a Spark task or a thread."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass, replace
from typing import TypeAlias

import numpy as np
import numpy.typing as npt
import pyarrow as pa
import redis

from larder.loaders import publisher
from larder.loaders.bulk import RateLimiter
from larder.loaders.keys import BY_CATEGORY, COOKIES, PRODUCTS, Keys, context_key64, key64
from larder.loaders.lists import RankedLists
from larder.loaders.releases import Release, ReleaseError
from larder.loaders.server_errors import explained
from larder.loaders.servers import Client, RedisServer, connect
from larder.models import columns as C
from larder.storage.parquet_reading import table_file

ROWS_AT_ONCE = 500_000
SAMPLE_FILES = 8
SAMPLE_ROWS = 2_000
PROGRESS_NAMES = 2  # the last parts of a path distinguish the files of a run

Rows: TypeAlias = slice | npt.NDArray[np.integer]


@dataclass(frozen=True)
class ReleaseFile:
    """One file of lists."""

    kind: str
    uri: str
    rows: int

    @property
    def field(self) -> str:
        """The file's name in the notes of what is loaded."""
        return "/".join([self.kind, *self.uri.split("/")[-PROGRESS_NAMES:]])

    def batches(self, rows_at_once: int, with_scores: bool) -> Iterator[pa.RecordBatch]:
        """Yields the rows in order, always cut at the same places. Scores are read only if they are wanted."""
        with table_file(self.uri) as parquet:
            columns = [name for name in parquet.schema_arrow.names if with_scores or name != C.SCORES]
            # Other files are read at the same time: threads for the columns of one file would slow them down.
            yield from parquet.iter_batches(rows_at_once, columns=columns, use_threads=False)

    def rows_kept(self) -> npt.NDArray[np.bool_]:
        """Returns which rows are written, shape (self.rows,)."""
        return np.ones(self.rows, bool)

    def lists(self, batch: pa.RecordBatch, rows: Rows) -> RankedLists:
        """Returns the lists to be written of a batch, which holds these rows of the file."""
        return as_lists(self.kind, batch)


@dataclass(frozen=True)
class DeltaFile(ReleaseFile):
    """A file of a delta: some of its lists are written, with the ordinals of another dictionary.

    kept: one bit per row (numpy.packbits). ordinals: shape (products of the file's dictionary,), the new ordinals.
    """

    kept: npt.NDArray[np.uint8]
    ordinals: npt.NDArray[np.int32]

    def keeping(self, rows: npt.NDArray[np.bool_]) -> DeltaFile:
        """Returns the same file, of which only these rows are written; rows: shape (self.rows,)."""
        return replace(self, kept=np.packbits(rows))

    def rows_kept(self) -> npt.NDArray[np.bool_]:
        return np.unpackbits(self.kept, count=self.rows).view(bool)

    def lists(self, batch: pa.RecordBatch, rows: Rows) -> RankedLists:
        lists = as_lists(self.kind, batch.filter(pa.array(self.rows_kept()[rows])))
        return replace(lists, ordinals=self.ordinals[lists.ordinals])


@dataclass(frozen=True)
class FileLoad:
    """Loads files. Can be pickled into Spark tasks. per_second: lists per second of one task; 0 means no limit."""

    server: RedisServer
    namespace: str
    release: Release
    with_scores: bool
    per_second: float = 0.0
    rows_at_once: int = ROWS_AT_ONCE

    def __call__(self, file: ReleaseFile) -> str:
        """Loads the rows of a file that are not noted as loaded. Returns a line that says what went wrong, or \"\"."""
        try:
            client = connect(self.server)
            try:
                self._load(client, file)
            finally:
                client.close()
        except ReleaseError as error:
            return str(error)
        except (redis.RedisError, OSError) as error:
            return explained(error)
        return ""

    def _load(self, client: Client, file: ReleaseFile) -> None:
        progress, pace = Keys(self.namespace).load(self.release.name), RateLimiter(self.per_second)
        known = client.hget(progress, file.field)
        there, at = int(known or 0), 0
        for batch in file.batches(self.rows_at_once, self.with_scores):
            at += batch.num_rows
            if at <= there:
                continue
            lists = file.lists(batch, slice(at - batch.num_rows, at))
            publisher.write_lists(client, self.namespace, self.release, file.kind, lists, self.with_scores, pace)
            client.hset(progress, file.field, at)  # only after the server has confirmed all rows up to here


def sample(files: list[ReleaseFile], rows: int = SAMPLE_ROWS, seed: int = 0) -> dict[str, list[RankedLists]]:
    """Returns a sample of each kind's lists, from one batch of some files each, drawn by `seed`."""
    random = np.random.default_rng(seed)
    drawn: dict[str, list[RankedLists]] = {}
    for kind in dict.fromkeys(file.kind for file in files):
        filled = [file for file in files if file.kind == kind and file.rows]
        some = random.permutation(len(filled))[:SAMPLE_FILES].tolist()
        for number in some:
            drawn.setdefault(kind, []).append(_some_lists(filled[number], rows // len(some), random))
    return drawn


def _some_lists(file: ReleaseFile, rows: int, random: np.random.Generator) -> RankedLists:
    with table_file(file.uri) as parquet:
        sizes = [parquet.metadata.row_group(number).num_rows for number in range(parquet.num_row_groups)]
        for group in random.permutation(len(sizes)).tolist():
            before = sum(sizes[:group])
            wanted = np.flatnonzero(file.rows_kept()[before : before + sizes[group]])
            if len(wanted):
                break
        batch = next(parquet.iter_batches(int(wanted[0]) + 10 * rows if len(wanted) else 1, row_groups=[group]))
    wanted = wanted[wanted < batch.num_rows]
    some = np.sort(random.permutation(wanted)[:rows])
    return file.lists(batch.take(pa.array(some)), before + some)


def as_lists(kind: str, batch: pa.RecordBatch) -> RankedLists:
    """Returns rows of a release table as lists with their 64-bit keys, without scores if the batch has none."""
    items = batch.column(C.ITEMS)
    scores = batch.column(C.SCORES).flatten().to_numpy() if C.SCORES in batch.schema.names else np.zeros(0)
    lengths = items.value_lengths().to_numpy(zero_copy_only=False)
    offsets = np.concatenate(([0], np.cumsum(lengths)))
    return RankedLists(_keys(kind, batch), offsets, items.flatten().to_numpy(), scores)


def _keys(kind: str, batch: pa.RecordBatch) -> np.ndarray:
    if kind == COOKIES:
        return batch.column(C.COOKIE_KEY).to_numpy().view(np.uint64)
    if kind in (PRODUCTS, BY_CATEGORY):
        return np.array([key64(id_) for id_ in batch.column(C.PRODUCT_ID).to_pylist()], np.uint64)
    pairs = zip(batch.column(C.LOCATION).to_pylist(), batch.column(C.DEVICE).to_pylist(), strict=True)
    return np.array([context_key64(location, device) for location, device in pairs], np.uint64)
