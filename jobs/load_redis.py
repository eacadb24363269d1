"""A release's tables to Redis: staged under its own keys, counted and compared, and only then made live."""

from __future__ import annotations

import argparse
from collections.abc import Iterable
from concurrent.futures import ThreadPoolExecutor
from contextlib import nullcontext
from dataclasses import replace

import numpy as np
import pyarrow.parquet as pq
import redis
from pyspark.sql import SparkSession

from jobs.arguments import add_as_of, as_of_partition, as_text, job_parser, parse
from jobs.load_files import FileLoad, ReleaseFile, as_lists, sample
from jobs.load_progress import lists_loaded, load_progress
from jobs.precompute import CONTEXT_LISTS, COOKIE_LISTS, DICTIONARY, PRODUCT_LISTS, RELEASE
from jobs.report import StageReport, stage
from jobs.session import spark_session
from loaders import memory, publisher, verifying
from loaders.codec import encode_lists
from loaders.embedded import redis_server
from loaders.failures import LoadError, explained
from loaders.keys import CONTEXTS, COOKIES, FORMAT, PRODUCTS
from loaders.lease import Lease
from loaders.publisher import Lists
from loaders.releases import VERIFIED, Release, ReleaseError, Releases
from loaders.servers import connect, run_ids
from models import columns as C
from settings import Settings
from settings.sections import Redis
from storage import Manifest, MissingPartitionError, Place, Tables
from storage.tables import fingerprint

__all__ = ["as_lists", "main", "parse_arguments", "release_name", "run"]

JOB = "load_redis"
KIND_OF = {COOKIE_LISTS: COOKIES, PRODUCT_LISTS: PRODUCTS, CONTEXT_LISTS: CONTEXTS}
RELEASE_DIGITS = 6
LEASES_WAITED = 2  # so that a loader killed a moment ago holds nobody up for long


def parse_arguments(argv: list[str] | None = None) -> argparse.Namespace:
    parser = job_parser(JOB, "Load a release into Redis, check it there, and make it live.")
    add_as_of(parser)
    parser.add_argument("--stay", action="store_true", help="load and check, but do not make it live")
    parser.add_argument("--without-spark", action="store_true", help="load in this process; redis.threads files a time")
    parser.add_argument(
        "--wait",
        type=float,
        default=None,
        metavar="SECONDS",
        help="wait so long for another loader to end (default: twice redis.lease_seconds), then refuse",
    )
    return parse(parser, argv)


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
    arguments = parse_arguments(argv)
    with nullcontext() if arguments.without_spark else spark_session(JOB, arguments.settings) as spark:
        run(spark, arguments)


def whole_release(tables: Tables, as_of: int) -> dict[str, Manifest]:
    """The manifests of a release, all of one run. Raises MissingPartitionError."""
    partition, made_by = as_of_partition(as_of), f"larder precompute --as-of {as_text(as_of)}"
    manifests = {table: tables.get(table, partition, made_by) for table in (RELEASE, *KIND_OF, DICTIONARY)}
    others = [table for table, manifest in manifests.items() if manifest.run != manifests[RELEASE].run]
    if others:
        raise MissingPartitionError(
            f"{', '.join(others)} of {partition} are not of the run that {RELEASE} names: a later one was cut short; "
            f"run `{made_by}` again"
        )
    return manifests


def release_name(release: Manifest, redis_settings: Redis) -> str:
    """Letters and digits: the instant, and what follows from content and format; another content has another name."""
    made_of = [release.run, FORMAT, redis_settings.bucket_size, redis_settings.scores]
    instant = "".join(character for character in release.partition if character.isdigit())
    return instant + fingerprint(made_of)[:RELEASE_DIGITS]


def _publish(spark: SparkSession | None, url: str, arguments: argparse.Namespace, report: StageReport) -> None:
    settings: Settings = arguments.settings
    tables = Tables(settings.storage.tables)
    manifests = whole_release(tables, arguments.as_of)
    name = release_name(manifests[RELEASE], settings.redis)
    wait = LEASES_WAITED * settings.redis.lease_seconds if arguments.wait is None else arguments.wait
    client = connect(url)
    try:
        releases = Releases(client, settings.redis.namespace)
        with Lease(client, settings.redis.namespace, settings.redis.lease_seconds, wait) as lease:
            if releases.live().release == name:
                report.details["up_to_date"] = True
            else:
                if releases.state(name) != VERIFIED:
                    _load(spark, url, releases, name, tables, manifests, settings, lease)
                if not arguments.stay:
                    lease.check()
                    releases.flip(name)
            if not arguments.stay:  # also where it is live already: the run that made it so may have ended there
                retired = releases.retire_beyond(settings.redis.keep_releases, settings.redis.retired_keys_per_second)
                report.details["retired"] = len(retired)
        report.details |= {"release": name, "live": releases.live().release or "none"}
    finally:
        client.close()
    report.rows_in = report.rows_out = sum(manifests[table].rows for table in KIND_OF)


def _load(
    spark: SparkSession | None,
    url: str,
    releases: Releases,
    name: str,
    tables: Tables,
    manifests: dict[str, Manifest],
    settings: Settings,
    lease: Lease,
) -> None:
    """Stages, writes, counts, compares. What a load before this one has written already is not written again."""
    files = [
        ReleaseFile(kind, uri, file.rows)
        for table, kind in KIND_OF.items()
        for uri, file in zip(tables.uris([manifests[table]]), manifests[table].files, strict=True)
    ]
    records = {kind: manifests[table].rows for table, kind in KIND_OF.items()}
    products = manifests[DICTIONARY].rows
    ids = [id_ for uri in tables.uris([manifests[DICTIONARY]]) for id_ in _product_ids(Place(uri))]
    drawn = sample(files)
    as_of = manifests[RELEASE].partition.removeprefix("as_of=")
    release = publisher.plan(name, as_of, records, products, settings.redis.bucket_size)
    _require_room(releases, release, drawn, ids, settings.redis.scores)
    release = publisher.stage(releases, name, as_of, records, products, settings.redis.bucket_size)
    servers = run_ids(releases.client)
    with load_progress(releases, release):
        _load_files(spark, url, release, files, settings)
    publisher.write_dictionary(releases.client, settings.redis.namespace, release, ids)
    if run_ids(releases.client) != servers:
        raise LoadError(f"{publisher.RESTARTED}; run it again; the live release is as it was")
    lease.check()
    try:
        for kind, some in drawn.items():
            for lists in some:
                verifying.compare_lists(releases, release, kind, lists, settings.redis.scores)
        publisher.complete(releases, release, products, settings.redis.scores)
    except ReleaseError:  # what is noted as loaded is not to be believed: the next run writes everything
        releases.client.unlink(releases.keys.load(name))
        raise
    releases.client.unlink(releases.keys.load(name))


def _product_ids(place: Place) -> list[str]:
    """By ordinal: the order in which the dictionary is written."""
    system, path = place.open()  # pyarrow itself knows no s3a://
    return pq.read_table(path, columns=[C.PRODUCT_ID], filesystem=system)[C.PRODUCT_ID].to_numpy().tolist()


def _require_room(
    releases: Releases, release: Release, drawn: dict[str, list[Lists]], ids: list[str], with_scores: bool
) -> None:
    sizes = memory.Sizes(
        records=release.records,
        lengths={kind: record_lengths(some, with_scores) for kind, some in drawn.items()},
        buckets=release.buckets,
        dictionary_bytes=len("".join(ids).encode()) + len(ids),
        chunks=release.chunks,
    )
    total = sum(release.records.values())
    missing = 1 - lists_loaded(releases, release.name) / total if total else 1.0
    memory.require_room(releases.client, int(memory.estimate(sizes).total * missing), release.name)


def record_lengths(some: Iterable[Lists], with_scores: bool) -> np.ndarray:
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
    main()
