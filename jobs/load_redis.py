"""A release's tables to Redis: staged under its own keys, counted, and only then made live."""

from __future__ import annotations

import argparse
from collections.abc import Callable

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
import redis
from pyspark.sql import SparkSession

from jobs.arguments import add_as_of, as_of_partition, as_text, job_parser, parse
from jobs.precompute import CONTEXT_LISTS, COOKIE_LISTS, DICTIONARY, PRODUCT_LISTS, RELEASE
from jobs.report import StageReport, stage
from jobs.session import spark_session
from loaders import publisher
from loaders.embedded import redis_server
from loaders.keys import CONTEXTS, COOKIES, FORMAT, PRODUCTS, context_key64, key64
from loaders.publisher import Lists
from loaders.releases import Release, Releases
from models import columns as C
from settings import Settings
from settings.sections import Redis
from storage import Manifest, MissingPartitionError, Place, Tables
from storage.tables import fingerprint

JOB = "load_redis"
KIND_OF = {COOKIE_LISTS: COOKIES, PRODUCT_LISTS: PRODUCTS, CONTEXT_LISTS: CONTEXTS}
ROWS_AT_ONCE = 50_000
RELEASE_DIGITS = 6


def parse_arguments(argv: list[str] | None = None) -> argparse.Namespace:
    parser = job_parser(JOB, "Load a release into Redis, check it there, and make it live.")
    add_as_of(parser)
    parser.add_argument("--stay", action="store_true", help="load and check, but do not make it live")
    return parse(parser, argv)


def run(spark: SparkSession, arguments: argparse.Namespace) -> StageReport:
    """Publishes the release of arguments.as_of. Raises ReleaseError, MissingPartitionError, redis.RedisError."""
    settings: Settings = arguments.settings
    with (
        stage(spark, JOB, as_text(arguments.as_of)) as report,
        redis_server(settings.redis.url, settings.redis.directory) as url,
    ):
        tables = Tables(settings.storage.tables)
        manifests = whole_release(tables, arguments.as_of)
        with redis.Redis.from_url(url) as client:
            releases = Releases(client, settings.redis.namespace)
            name = release_name(manifests[RELEASE], settings.redis)
            if releases.live().release == name:
                report.details["up_to_date"] = True
            else:
                _load(spark, url, releases, name, tables, manifests, settings)
                if not arguments.stay:
                    releases.flip(name)
            if not arguments.stay:  # also where it is live already: the run that made it so may have ended there
                report.details["retired"] = len(releases.retire_beyond(settings.redis.keep_releases))
            report.details |= {"release": name, "live": releases.live().release or "none"}
        report.rows_in = report.rows_out = sum(manifests[table].rows for table in KIND_OF)
    return report


def main(argv: list[str] | None = None) -> None:
    arguments = parse_arguments(argv)
    with spark_session(JOB, arguments.settings) as spark:
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


def _load(
    spark: SparkSession,
    url: str,
    releases: Releases,
    name: str,
    tables: Tables,
    manifests: dict[str, Manifest],
    settings: Settings,
) -> None:
    records = {kind: manifests[table].rows for table, kind in KIND_OF.items()}
    products = manifests[DICTIONARY].rows
    as_of = manifests[RELEASE].partition.removeprefix("as_of=")
    release = publisher.stage(releases, name, as_of, records, products, settings.redis.bucket_size)
    files = [(kind, uri) for table, kind in KIND_OF.items() for uri in tables.uris([manifests[table]])]
    if files:
        load = _file_loader(url, release, settings.redis)
        spark.sparkContext.parallelize(files, len(files)).foreach(load)
    ids = [id_ for uri in tables.uris([manifests[DICTIONARY]]) for id_ in _product_ids(Place(uri))]
    publisher.write_dictionary(releases.client, settings.redis.namespace, release, ids)
    publisher.complete(releases, release, products, settings.redis.scores)


def _product_ids(place: Place) -> list[str]:
    """By ordinal: the order in which the dictionary is written."""
    system, path = place.open()  # pyarrow itself knows no s3a://
    return pq.read_table(path, columns=[C.PRODUCT_ID], filesystem=system)[C.PRODUCT_ID].to_pylist()


def _file_loader(url: str, release: Release, redis_settings: Redis) -> Callable[[tuple[str, str]], None]:
    """Runs in Spark tasks: one Parquet file into Redis over one connection."""

    def load(kind_and_uri: tuple[str, str]) -> None:
        kind, uri = kind_and_uri
        system, path = Place(uri).open()
        with redis.Redis.from_url(url) as client, system.open_input_file(path) as source:
            for batch in pq.ParquetFile(source).iter_batches(ROWS_AT_ONCE):
                lists = as_lists(kind, batch)
                publisher.write_lists(client, redis_settings.namespace, release, kind, lists, redis_settings.scores)

    return load


def as_lists(kind: str, batch: pa.RecordBatch) -> Lists:
    """Rows of a release table as lists with their 64-bit keys."""
    items, scores = batch.column(C.ITEMS), batch.column(C.SCORES)
    lengths = items.value_lengths().to_numpy(zero_copy_only=False)
    offsets = np.concatenate(([0], np.cumsum(lengths)))
    return Lists(_keys(kind, batch), offsets, items.flatten().to_numpy(), scores.flatten().to_numpy())


def _keys(kind: str, batch: pa.RecordBatch) -> np.ndarray:
    if kind == COOKIES:
        return batch.column(C.COOKIE_KEY).to_numpy().view(np.uint64)
    if kind == PRODUCTS:
        return np.array([key64(id_) for id_ in batch.column(C.PRODUCT_ID).to_pylist()], np.uint64)
    pairs = zip(batch.column(C.LOCATION).to_pylist(), batch.column(C.DEVICE).to_pylist(), strict=True)
    return np.array([context_key64(location, device) for location, device in pairs], np.uint64)


if __name__ == "__main__":
    main()
