"""Reads a delta: the lists that were made since the live whole release, for cookies with events since."""

from __future__ import annotations

import numpy as np
import numpy.typing as npt

from larder.jobs.publishing.load_files import DeltaFile
from larder.jobs.publishing.whole_release import Content, column_of, dictionary_of, name_of, one_run
from larder.loaders import delta as layers
from larder.loaders.keys import COOKIES, DELTA_FORMAT
from larder.loaders.lists import RankedLists, encode_all
from larder.loaders.releases import Release, Releases
from larder.models import columns as C
from larder.models.hours import as_of_partition, as_text, hour
from larder.models.tables import DELTA, DELTA_COOKIES, DELTA_DICTIONARY, DELTA_START
from larder.settings import RedisSettings
from larder.storage import Manifest, MissingPartitionError, Tables

ROWS_COMPARED = 50_000

Flags = npt.NDArray[np.bool_]


class DeltaRelease:
    """The cookies' lists made since the whole release `base`, up to an instant. A later list replaces an earlier one.

    `hours_left_out`: hours since the base without lists; cookies of these hours keep the lists they have. Raises
    MissingPartitionError if no lists were made as of that very instant.
    """

    def __init__(self, tables: Tables, as_of: int, base: Release, settings: RedisSettings) -> None:
        self.tables, self.settings, self.base, self.as_of = tables, settings, base, as_text(as_of)
        begin = hour(base.as_of)
        if as_of <= begin:
            raise MissingPartitionError(
                f"release {base.name} is as of {base.as_of}; a delta over it must be later, not as of {self.as_of}"
            )
        instants = [as_of_partition(instant) for instant in range(begin + 1, as_of + 1)]
        self.deltas = [delta for delta in tables.find_all(DELTA, instants) if delta is not None]
        tables.get(DELTA, instants[-1], made_by(as_text(as_of - 1), self.as_of))
        covered = {hour_ for delta in self.deltas for hour_ in hours_of(delta)}
        self.hours_left_out = len(set(range(begin, as_of)) - covered)
        runs = [delta.run for delta in self.deltas]
        self.name = name_of(self.as_of, [runs, base.name, DELTA_FORMAT, settings.bucket_size, settings.scores])
        self.rows = sum(delta.counts[DELTA_COOKIES] for delta in self.deltas)

    def content(self, releases: Releases) -> Content:
        """Returns what is to be written; reads all lists, and leaves out those that are equal to the base's."""
        ids = layers.read_ids(releases, self.base)
        before, ordinal_of = len(ids), {id_: ordinal for ordinal, id_ in enumerate(ids)}
        files = [file for delta in self.deltas for file in self._files(delta, ordinal_of)]
        latest = latest_rows([column_of(file.uri, C.COOKIE_KEY) for file in files])
        files = [file.keeping(rows) for file, rows in zip(files, latest, strict=True)]
        compared = [self._changed(releases, file) for file in files]
        files = [file.keeping(rows) for file, (rows, _) in zip(files, compared, strict=True)]
        changed, added = sum(int(rows.sum()) for rows, _ in compared), sum(new for _, new in compared)
        products = (before, len(ordinal_of))
        size = self.settings.bucket_size
        release = layers.plan_over(self.base, self.name, self.as_of, changed, added, products, size)
        return Content(release, list(files), list(ordinal_of))

    def _files(self, delta: Manifest, ordinal_of: dict[str, int]) -> list[DeltaFile]:
        """Returns the files of one delta table; appends its new products to the dictionary."""
        command = made_by(delta.parameters[DELTA_START], delta.partition.removeprefix("as_of="))
        run = one_run(self.tables, delta.partition, DELTA, [DELTA_COOKIES, DELTA_DICTIONARY], command)
        named = dictionary_of(self.tables, run[DELTA_DICTIONARY])
        ordinals = np.array([ordinal_of.setdefault(id_, len(ordinal_of)) for id_ in named], np.int32)
        cookies = run[DELTA_COOKIES]
        uris = self.tables.uris([cookies])
        return [
            DeltaFile(COOKIES, uri, file.rows, np.zeros(0, np.uint8), ordinals)
            for uri, file in zip(uris, cookies.files, strict=True)
        ]

    def _changed(self, releases: Releases, file: DeltaFile) -> tuple[Flags, int]:
        """Returns which kept rows of a file differ from the base's lists, and how many of them are new to it."""
        changed, added, at = file.rows_kept(), 0, 0
        for batch in file.batches(ROWS_COMPARED, self.settings.scores):
            here = slice(at, at + batch.num_rows)
            at += batch.num_rows
            lists = file.lists(batch, here)
            there = layers.read_records(releases, self.base, None, COOKIES, lists.keys.tolist())
            records = as_records(lists, self.settings.scores)
            differ = [record != other for record, other in zip(records, there, strict=True)]
            changed[here.start + np.flatnonzero(changed[here])] = differ
            added += sum(other is None for other in there)
        return changed, added


def made_by(start: str, end: str) -> str:
    """Returns the command that makes the lists for the cookies of some hours."""
    return f"larder precompute-cookies --start {start} --end {end}"


def hours_of(delta: Manifest) -> range:
    """Returns the hours whose cookies have lists in a delta table."""
    return range(hour(delta.parameters[DELTA_START]), hour(delta.partition.removeprefix("as_of=")))


def latest_rows(keys: list[npt.NDArray[np.generic]]) -> list[Flags]:
    """Returns for each file, oldest first, which rows have a key that is in no later row of any file."""
    joined = np.concatenate([np.zeros(0, np.int64), *keys])
    latest = np.zeros(len(joined), bool)
    _, last = np.unique(joined[::-1], return_index=True)
    latest[len(joined) - 1 - last] = True
    return np.split(latest, np.cumsum([len(part) for part in keys])[:-1]) if keys else []


def as_records(lists: RankedLists, with_scores: bool) -> list[bytes]:
    """Returns each list as its record."""
    data, ends = encode_all(lists, with_scores)
    raw = data.tobytes()
    return [raw[start:end] for start, end in zip(ends[:-1].tolist(), ends[1:].tolist(), strict=True)]
