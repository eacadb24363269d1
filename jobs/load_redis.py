"""A release's tables to Redis: staged under its own keys, counted and compared, and only then made live."""

from __future__ import annotations

import argparse
from collections.abc import Iterable
from concurrent.futures import ThreadPoolExecutor
from contextlib import nullcontext
from dataclasses import replace

import numpy as np
import redis
from pyspark.sql import SparkSession

from larder.jobs.publishing.delta_release import DeltaRelease
from larder.jobs.publishing.load_files import FileLoad, ReleaseFile, sample
from larder.jobs.publishing.load_progress import lists_loaded, load_progress
from larder.jobs.publishing.whole_release import Content, WholeRelease
from larder.jobs.runtime.commands import parse
from larder.jobs.runtime.expected_errors import errors_in_a_line
from larder.jobs.runtime.session import spark_session
from larder.jobs.runtime.stage_report import StageReport, stage
from larder.loaders import memory_estimate, publisher, verification
from larder.loaders.codec import DICTIONARY_CHUNK, encode_lists
from larder.loaders.embedded import redis_server
from larder.loaders.lease import Lease
from larder.loaders.lists import RankedLists
from larder.loaders.releases import VERIFIED, Release, ReleaseError, Releases
from larder.loaders.server_errors import LoadError, explained
from larder.loaders.servers import connect, run_ids
from larder.models.hours import as_text
from larder.settings import Settings
from larder.storage import Tables

JOB = "load_redis"
LEASES_WAITED = 2  # so that a loader killed a moment ago holds nobody up for long


def parse_arguments(argv: list[str] | None = None) -> argparse.Namespace:
    """Returns the job's arguments; `argv` is the process's own if None."""
    return parse(JOB, argv)


def run(spark: SparkSession | None, arguments: argparse.Namespace) -> StageReport:
    """Publishes the release of arguments.as_of, in Spark tasks or, without a session, in threads.

    Raises ReleaseError (LoadError, LockError), with what to do about it, and MissingPartitionError. Whatever is
    raised, the live release is as it was.
    """
    settings: Settings = arguments.settings
    with (
        stage(None, JOB, as_text(arguments.as_of)) as report,
        redis_server(settings.redis.url, settings.redis.directory) as url,
    ):
        try:
            _publish(spark, url, arguments, report)
        except (redis.RedisError, OSError) as error:
            raise LoadError(explained(error)) from None
    return report


def main(argv: list[str] | None = None) -> None:
    """Runs the job as the command line says."""
    start(parse_arguments(argv))


def start(arguments: argparse.Namespace) -> None:
    """Runs the job in a Spark session, or without one if the arguments say so."""
    with nullcontext() if arguments.without_spark else spark_session(JOB, arguments.settings) as spark:
        run(spark, arguments)


def _publish(spark: SparkSession | None, url: str, arguments: argparse.Namespace, report: StageReport) -> None:
    settings: Settings = arguments.settings
    wait = LEASES_WAITED * settings.redis.lease_seconds if arguments.wait is None else arguments.wait
    client = connect(url)
    try:
        releases = Releases(client, settings.redis.namespace)
        if not arguments.delta:
            WholeRelease(Tables(settings.storage.tables), arguments.as_of, settings.redis)  # or say so before waiting
        with Lease(client, settings.redis.namespace, settings.redis.lease_seconds, wait) as lease:
            source = _source(releases, arguments, report)
            if source is None:
                report.details["skipped"] = "no release is live, over which lists could be laid"
                return
            if not arguments.stay and not arguments.even_if_older:
                _refuse_if_older(releases, source.as_of, arguments.delta)
            _load_and_flip(spark, url, releases, source, arguments, lease, report)
        report.details |= {"release": source.name, "live": releases.live().release or "none"}
    finally:
        client.close()
    report.rows_in = report.rows_out = source.rows


def _source(
    releases: Releases, arguments: argparse.Namespace, report: StageReport
) -> WholeRelease | DeltaRelease | None:
    """What is to be loaded; None for a delta where nothing is live yet."""
    settings: Settings = arguments.settings
    tables = Tables(settings.storage.tables)
    if not arguments.delta:
        return WholeRelease(tables, arguments.as_of, settings.redis)
    base = live_base(releases)
    if base is None:
        return None
    delta = DeltaRelease(tables, arguments.as_of, base, settings.redis)
    report.details |= {"over": base.name, "hours_left_out": delta.hours_left_out}
    return delta


def live_base(releases: Releases) -> Release | None:
    """The whole release that is live, or that lies beneath the delta that is."""
    live = releases.find(releases.live().release or "")
    return releases.find(live.base) if live is not None and live.base else live


def _refuse_if_older(releases: Releases, as_of: str, is_delta: bool) -> None:
    """A whole release may take the place of a later delta over an older one: the next delta lies over it."""
    live = live_base(releases) if not is_delta else releases.find(releases.live().release or "")
    if live is not None and live.as_of > as_of:
        raise ReleaseError(
            f"release {live.name}, which is live, is as of {live.as_of}, later than {as_of}; "
            "to go back, `larder rollback`; to load it all the same, --stay or --even-if-older"
        )


def _load_and_flip(
    spark: SparkSession | None,
    url: str,
    releases: Releases,
    source: WholeRelease | DeltaRelease,
    arguments: argparse.Namespace,
    lease: Lease,
    report: StageReport,
) -> None:
    settings: Settings = arguments.settings
    if releases.live().release == source.name:
        report.details["up_to_date"] = True
    else:
        if releases.state(source.name) != VERIFIED:
            _load(spark, url, releases, source.content(releases), settings, lease)
        if not arguments.stay:
            lease.check()
            releases.flip(source.name)
    if not arguments.stay:  # also where it is live already: the run that made it so may have ended there
        retired = releases.retire_beyond(settings.redis.keep_releases, settings.redis.retired_keys_per_second)
        report.details["retired"] = len(retired)
    loaded = releases.find(source.name)
    if loaded is not None and loaded.base:
        report.details |= {"changed": sum(loaded.records.values()), "new": loaded.added}


def _load(
    spark: SparkSession | None, url: str, releases: Releases, content: Content, settings: Settings, lease: Lease
) -> None:
    """Stages, writes, counts, compares. What a load before this one has written already is not written again, unless
    it proves to be lost: a node of a cluster may lose lists while another keeps the note of them.
    """
    name, drawn = content.release.name, sample(content.files)
    _require_room(releases, content, drawn, settings.redis.scores)
    release = publisher.stage(releases, content.release)
    goes_on = lists_loaded(releases, name) > 0
    while True:
        _write(spark, url, releases, release, content, settings)
        lease.check()
        try:
            _check(releases, release, drawn, len(content.ids), settings.redis.scores)
            break
        except ReleaseError:
            releases.client.unlink(releases.keys.load(name))  # what is noted as loaded is not to be believed
            if not goes_on:
                raise
            goes_on = False
    releases.client.unlink(releases.keys.load(name))


def _write(
    spark: SparkSession | None,
    url: str,
    releases: Releases,
    release: Release,
    content: Content,
    settings: Settings,
) -> None:
    """Writes the lists that are not noted as written, and the dictionary. Raises LoadError."""
    servers = run_ids(releases.client)
    with load_progress(releases, release, sum(file.rows for file in content.files)):
        _load_files(spark, url, release, content.files, settings)
    publisher.write_dictionary(releases.client, settings.redis.namespace, release, content.ids)
    if run_ids(releases.client) != servers:
        raise LoadError(f"{publisher.RESTARTED}; run it again; the live release is as it was")


def _check(
    releases: Releases, release: Release, drawn: dict[str, list[RankedLists]], products: int, with_scores: bool
) -> None:
    """Compares the sample and counts all. Raises ReleaseError."""
    for kind, some in drawn.items():
        for lists in some:
            verification.compare_lists(releases, release, kind, lists, with_scores)
    publisher.complete(releases, release, products, with_scores)


def _require_room(releases: Releases, content: Content, drawn: dict[str, list[RankedLists]], with_scores: bool) -> None:
    release = content.release
    ids = content.ids[release.first_chunk * DICTIONARY_CHUNK :]
    sizes = memory_estimate.ReleaseSizes(
        records=release.records,
        lengths={kind: record_lengths(some, with_scores) for kind, some in drawn.items()},
        buckets=release.buckets,
        dictionary_bytes=len("".join(ids).encode()) + len(ids),
        chunks=release.chunks - release.first_chunk,
    )
    total = sum(file.rows for file in content.files)
    missing = 1 - lists_loaded(releases, release.name) / total if total else 1.0
    reckoned = memory_estimate.estimate(sizes, memory_estimate.allocator_of(releases.client))
    memory_estimate.require_room(releases.client, int(reckoned.total * missing), release.name)


def record_lengths(some: Iterable[RankedLists], with_scores: bool) -> np.ndarray:
    """Bytes of each of these lists as a record, shape (n,)."""
    encoded = [encode_lists(lists.offsets, lists.ordinals, lists.scores if with_scores else None) for lists in some]
    return np.concatenate([np.diff(offsets) for _, offsets in encoded])


def _load_files(
    spark: SparkSession | None, url: str, release: Release, files: list[ReleaseFile], settings: Settings
) -> None:
    """Raises ReleaseError with what the first task to fail says."""
    at_once = spark.sparkContext.defaultParallelism if spark is not None else settings.redis.threads
    tasks = max(1, min(at_once, len(files)))
    load = FileLoad(url, settings.redis.namespace, release, settings.redis.scores)
    load = replace(load, per_second=settings.redis.lists_per_second / tasks)
    if spark is not None and files:
        failures = spark.sparkContext.parallelize(files, len(files)).map(load).collect()
    else:
        with ThreadPoolExecutor(tasks) as pool:
            failures = list(pool.map(load, files))
    if failed := [failure for failure in failures if failure]:
        raise LoadError(failed[0])


if __name__ == "__main__":
    with errors_in_a_line():
        main()
