"""Loads a release into Redis: checks the server, stages, writes in tasks or threads, counts and compares."""

from __future__ import annotations

from collections.abc import Iterable
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass, replace

import numpy as np
from pyspark.sql import SparkSession

from larder.jobs.publishing.load_files import FileLoad, ReleaseFile, sample
from larder.jobs.publishing.load_progress import lists_loaded, load_progress
from larder.jobs.publishing.whole_release import Content
from larder.loaders import memory_estimate, publisher, verification
from larder.loaders.codec import DICTIONARY_CHUNK, encode_lists
from larder.loaders.completeness import Completeness
from larder.loaders.lease import Lease
from larder.loaders.lists import RankedLists
from larder.loaders.releases import Release, ReleaseError, Releases
from larder.loaders.server_errors import LoadError
from larder.loaders.server_limits import ServerLimits
from larder.loaders.servers import RedisServer, run_ids
from larder.settings import RedisSettings


@dataclass(frozen=True)
class ReleaseLoading:
    """Loads releases while `lease` is held, in Spark tasks or, without a session, in threads."""

    spark: SparkSession | None
    server: RedisServer
    releases: Releases
    settings: RedisSettings
    lease: Lease

    def load(self, content: Content, everything: bool = False) -> Completeness:
        """Stages, writes, counts, compares. Returns what was there before. Raises ReleaseError.

        Lists that the server has already are not written again, unless `everything` is to be: kinds that are complete,
        and files that an earlier load noted as written. If they prove to be lost after all, everything is written: a
        node of a cluster may lose lists while another keeps the note of them.
        """
        releases, name, drawn = self.releases, content.release.name, sample(content.files)
        there = releases.completeness(content.release)
        self._look_at_server(content, drawn, there)
        release = publisher.stage(releases, content.release)
        if everything:
            releases.client.unlink(releases.keys.load(name))
        else:
            self._note_complete_kinds(content, there)
        self._clear_foreign(content, there)
        trusts_notes = lists_loaded(releases, name) > 0
        while True:
            dictionary = self._write(release, content)
            self.lease.check()
            try:
                self._check(release, drawn, len(content.ids), dictionary)
                break
            except ReleaseError:
                releases.client.unlink(releases.keys.load(name))
                if not trusts_notes:
                    raise
                trusts_notes = False
        releases.client.unlink(releases.keys.load(name))
        return there

    def _look_at_server(self, content: Content, drawn: dict[str, list[RankedLists]], there: Completeness) -> None:
        """Raises ReleaseError if the server has no room for what is missing, or would hold it at a great cost."""
        release = content.release
        ids = content.ids[release.first_chunk * DICTIONARY_CHUNK :]
        sizes = memory_estimate.ReleaseSizes(
            records=release.records,
            lengths={kind: record_lengths(some, self.settings.scores) for kind, some in drawn.items()},
            buckets=release.buckets,
            dictionary_bytes=len("".join(ids).encode()) + len(ids),
            chunks=release.chunks - release.first_chunk,
        )
        client = self.releases.client
        parts = memory_estimate.estimate(sizes, memory_estimate.allocator_of(client)).by_part
        missing = {kind: there.share_missing(kind) for kind in release.records}
        missing[memory_estimate.DICTIONARY_PART] = len(there.missing_chunks) / max(1, sizes.chunks)
        needed = sum(int(part * missing[name]) for name, part in parts.items())
        ServerLimits(client, self.settings.namespace, self.settings.check).before_load(needed, release.name)

    def _note_complete_kinds(self, content: Content, there: Completeness) -> None:
        """Notes the files of complete kinds as loaded, and forgets notes that tell more lists than the server holds."""
        key, client = self.releases.keys.load(content.release.name), self.releases.client
        notes = {field.decode(errors="replace"): int(rows) for field, rows in client.hgetall(key).items()}
        for kind in content.release.records:
            if not there.lacks(kind):
                if files := {file.field: file.rows for file in content.files if file.kind == kind}:
                    client.hset(key, mapping=files)
                continue
            noted = {field: rows for field, rows in notes.items() if field.partition("/")[0] == kind}
            if sum(noted.values()) > there.counts[kind].records:
                client.hdel(key, *noted)

    def _clear_foreign(self, content: Content, there: Completeness) -> None:
        """Removes keys that are no hashes, and whole kinds that have more records than they should."""
        client, release = self.releases.client, content.release
        for kind, count in there.counts.items():
            keys = count.foreign
            if count.records > release.records[kind]:
                keys = self.releases.keys.buckets(release.name, kind, range(release.buckets[kind]))
            for key in keys:
                client.unlink(key)

    def _write(self, release: Release, content: Content) -> list[bytes]:
        """Writes the lists that are not noted as written, and the dictionary, which it returns. Raises LoadError."""
        servers = run_ids(self.releases.client)
        with load_progress(self.releases, release, sum(file.rows for file in content.files)):
            self._load_files(release, content.files)
        client, namespace = self.releases.client, self.settings.namespace
        dictionary = publisher.write_dictionary(client, namespace, release, content.ids)
        if run_ids(client) != servers:
            raise LoadError(f"{publisher.RESTARTED}; run it again; the live release is as it was")
        return dictionary

    def _check(
        self, release: Release, drawn: dict[str, list[RankedLists]], products: int, dictionary: list[bytes]
    ) -> None:
        """Compares the sample and counts all. Raises ReleaseError."""
        for kind, some in drawn.items():
            for lists in some:
                verification.compare_lists(self.releases, release, kind, lists, self.settings.scores)
        publisher.complete(self.releases, release, products, self.settings.scores, dictionary)

    def _load_files(self, release: Release, files: list[ReleaseFile]) -> None:
        """Raises LoadError with what the first task that failed says."""
        spark, settings = self.spark, self.settings
        at_once = spark.sparkContext.defaultParallelism if spark is not None else settings.threads
        tasks = max(1, min(at_once, len(files)))
        load = FileLoad(self.server, settings.namespace, release, settings.scores)
        load = replace(load, per_second=settings.lists_per_second / tasks)
        if spark is not None and files:
            failures = spark.sparkContext.parallelize(files, len(files)).map(load).collect()
        else:
            with ThreadPoolExecutor(tasks) as pool:
                failures = list(pool.map(load, files))
        if failed := [failure for failure in failures if failure]:
            raise LoadError(failed[0])


def record_lengths(some: Iterable[RankedLists], with_scores: bool) -> np.ndarray:
    """Returns the bytes of each of these lists as a record, shape (n,)."""
    encoded = [encode_lists(lists.offsets, lists.ordinals, lists.scores if with_scores else None) for lists in some]
    return np.concatenate([np.diff(offsets) for _, offsets in encoded])
