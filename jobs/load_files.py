"""The Parquet files of a release on their way into the server: what a Spark task or a thread does with one of them."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
import redis

from loaders import publisher
from loaders.bulk import Pace
from loaders.failures import explained
from loaders.keys import COOKIES, PRODUCTS, Keys, context_key64, key64
from loaders.publisher import Lists
from loaders.releases import Release, ReleaseError
from loaders.servers import Client, connect
from models import columns as C
from storage import Place

ROWS_AT_ONCE = 500_000
SAMPLE_FILES = 8
SAMPLE_ROWS = 2_000
PROGRESS_NAMES = 2  # the last parts of a path tell a run's files apart


@dataclass(frozen=True)
class ReleaseFile:
    """One file of lists."""

    kind: str
    uri: str
    rows: int

    @property
    def field(self) -> str:
        """Its name in the record of what is loaded."""
        return "/".join([self.kind, *self.uri.split("/")[-PROGRESS_NAMES:]])

    def batches(self, rows_at_once: int, with_scores: bool) -> Iterator[pa.RecordBatch]:
        """Its rows in order, always cut at the same places. Scores that are not wanted are not read."""
        system, path = Place(self.uri).open()
        with system.open_input_file(path) as source:
            parquet = pq.ParquetFile(source)
            columns = [name for name in parquet.schema_arrow.names if with_scores or name != C.SCORES]
            yield from parquet.iter_batches(rows_at_once, columns=columns)


@dataclass(frozen=True)
class FileLoad:
    """Loads files; pickles into Spark tasks. per_second: lists a second of one task, 0 without limit."""

    url: str
    namespace: str
    release: Release
    with_scores: bool
    per_second: float = 0.0
    rows_at_once: int = ROWS_AT_ONCE

    def __call__(self, file: ReleaseFile) -> str:
        """Loads what the server has not got of a file. Returns what went wrong, in a line, or nothing."""
        try:
            client = connect(self.url)
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
        progress, pace = Keys(self.namespace).load(self.release.name), Pace(self.per_second)
        known = client.hget(progress, file.field)
        there, at = int(known or 0), 0
        for batch in file.batches(self.rows_at_once, self.with_scores):
            at += batch.num_rows
            if at <= there:
                continue
            lists = as_lists(file.kind, batch)
            publisher.write_lists(client, self.namespace, self.release, file.kind, lists, self.with_scores, pace)
            client.hset(progress, file.field, at)  # only now that the server has confirmed all before


def sample(files: list[ReleaseFile], rows: int = SAMPLE_ROWS, seed: int = 0) -> dict[str, list[Lists]]:
    """Some lists of every kind, from the first batch of some files each, drawn by `seed`."""
    random = np.random.default_rng(seed)
    drawn: dict[str, list[Lists]] = {}
    for kind in dict.fromkeys(file.kind for file in files):
        filled = [file for file in files if file.kind == kind and file.rows]
        some = random.permutation(len(filled))[:SAMPLE_FILES].tolist()
        for number in some:
            part = _some_rows(filled[number], rows // len(some), random)
            drawn.setdefault(kind, []).append(as_lists(kind, part))
    return drawn


def _some_rows(file: ReleaseFile, rows: int, random: np.random.Generator) -> pa.RecordBatch:
    system, path = Place(file.uri).open()
    with system.open_input_file(path) as source:
        parquet = pq.ParquetFile(source)
        group = int(random.integers(parquet.num_row_groups))
        batch = next(parquet.iter_batches(10 * rows, row_groups=[group]))
    return batch.take(pa.array(np.sort(random.permutation(batch.num_rows)[:rows])))


def as_lists(kind: str, batch: pa.RecordBatch) -> Lists:
    """Rows of a release table as lists with their 64-bit keys; no scores where the batch has none."""
    items = batch.column(C.ITEMS)
    scores = batch.column(C.SCORES).flatten().to_numpy() if C.SCORES in batch.schema.names else np.zeros(0)
    lengths = items.value_lengths().to_numpy(zero_copy_only=False)
    offsets = np.concatenate(([0], np.cumsum(lengths)))
    return Lists(_keys(kind, batch), offsets, items.flatten().to_numpy(), scores)


def _keys(kind: str, batch: pa.RecordBatch) -> np.ndarray:
    if kind == COOKIES:
        return batch.column(C.COOKIE_KEY).to_numpy().view(np.uint64)
    if kind == PRODUCTS:
        return np.array([key64(id_) for id_ in batch.column(C.PRODUCT_ID).to_pylist()], np.uint64)
    pairs = zip(batch.column(C.LOCATION).to_pylist(), batch.column(C.DEVICE).to_pylist(), strict=True)
    return np.array([context_key64(location, device) for location, device in pairs], np.uint64)
