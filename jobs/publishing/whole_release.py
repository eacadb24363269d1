"""Reads a whole release from its tables, which must all be of one run."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
import numpy.typing as npt

from larder.jobs.publishing.load_files import ReleaseFile
from larder.loaders import publisher
from larder.loaders.keys import BY_CATEGORY, CONTEXTS, COOKIES, FORMAT, KINDS, PRODUCTS
from larder.loaders.releases import Release, Releases
from larder.models import columns as C
from larder.models.hours import as_of_partition, as_text
from larder.models.tables import (
    RELEASE,
    RELEASE_CATEGORY_LISTS,
    RELEASE_CONTEXTS,
    RELEASE_COOKIES,
    RELEASE_DICTIONARY,
    RELEASE_PRODUCTS,
)
from larder.settings import RedisSettings
from larder.storage import Manifest, MissingPartitionError, Tables
from larder.storage.manifests import fingerprint
from larder.storage.parquet_reading import read_columns

KIND_OF = {
    RELEASE_COOKIES: COOKIES,
    RELEASE_PRODUCTS: PRODUCTS,
    RELEASE_CONTEXTS: CONTEXTS,
    RELEASE_CATEGORY_LISTS: BY_CATEGORY,
}
RELEASE_DIGITS = 6


@dataclass(frozen=True)
class Content:
    """What is to be written: a release that is not yet in the server, its files, and the product ids by ordinal."""

    release: Release
    files: list[ReleaseFile]
    ids: list[str]


class WholeRelease:
    """All lists as of an instant. Raises MissingPartitionError if a table is missing, or tables are of several runs."""

    def __init__(self, tables: Tables, as_of: int, settings: RedisSettings) -> None:
        self.tables, self.settings, self.as_of = tables, settings, as_text(as_of)
        made_by = f"larder precompute --as-of {self.as_of}"
        partition = as_of_partition(as_of)
        made = tables.get(RELEASE, partition, made_by).counts
        self.kind_of = {table: kind for table, kind in KIND_OF.items() if kind in KINDS or made.get(table)}
        self.manifests = one_run(tables, partition, RELEASE, [*self.kind_of, RELEASE_DICTIONARY], made_by)
        self.name = release_name(self.manifests[RELEASE], settings)
        self.rows = sum(self.manifests[table].rows for table in self.kind_of)

    def content(self, releases: Releases) -> Content:
        """Returns what is to be written; reads the dictionary."""
        files = [
            ReleaseFile(kind, uri, file.rows)
            for table, kind in self.kind_of.items()
            for uri, file in zip(self.tables.uris([self.manifests[table]]), self.manifests[table].files, strict=True)
        ]
        return Content(self.planned(), files, dictionary_of(self.tables, self.manifests[RELEASE_DICTIONARY]))

    def planned(self) -> Release:
        """Returns the release as it will be registered, without its order."""
        records = {kind: self.manifests[table].rows for table, kind in self.kind_of.items()}
        products = self.manifests[RELEASE_DICTIONARY].rows
        return publisher.plan(self.name, self.as_of, records, products, self.settings.bucket_size)


def one_run(tables: Tables, partition: str, first: str, others: list[str], made_by: str) -> dict[str, Manifest]:
    """Returns the manifests of these tables, all of the run of the first one. Raises MissingPartitionError."""
    manifests = {table: tables.get(table, partition, made_by) for table in (first, *others)}
    astray = [table for table, manifest in manifests.items() if manifest.run != manifests[first].run]
    if astray:
        raise MissingPartitionError(
            f"{', '.join(astray)} of {partition} are not of the run that {first} names: a later one was cut short; "
            f"run `{made_by}` again"
        )
    return manifests


def release_name(release: Manifest, settings: RedisSettings) -> str:
    """Returns a release's name: the instant and a digest of content and format, so other content has another name."""
    return name_of(release.partition, [release.run, FORMAT, settings.bucket_size, settings.scores])


def name_of(instant: str, made_of: list[object]) -> str:
    """Returns the digits of the instant and a few characters of a digest of `made_of`."""
    return "".join(filter(str.isdigit, instant)) + fingerprint(made_of)[:RELEASE_DIGITS]


def dictionary_of(tables: Tables, manifest: Manifest) -> list[str]:
    """Returns the product ids by ordinal."""
    return [id_ for uri in tables.uris([manifest]) for id_ in column_of(uri, C.PRODUCT_ID).tolist()]


def column_of(uri: str, name: str) -> npt.NDArray[np.generic]:
    """Returns one column of a Parquet file."""
    return read_columns(uri, [name])[name].to_numpy()
