"""The tables of a release, written by hand, and what a reader of the server finds."""

from __future__ import annotations

import argparse
from dataclasses import replace
from typing import Any

import numpy as np
import redis
from pyspark.sql import SparkSession
from written_tables import Row, write_table

from larder.jobs import load_redis
from larder.jobs.runtime.stage_report import StageReport
from larder.loaders.codec import bucket_and_field, decode_dictionary, decode_list
from larder.loaders.keys import Keys
from larder.loaders.releases import Releases
from larder.models.hours import as_of_partition
from larder.models.tables import RELEASE, RELEASE_DICTIONARY, RELEASE_LISTS
from larder.settings import Settings
from larder.storage import Tables
from larder.storage.manifests import plan_run

AS_OF = 420_096  # 2017-12-04T00
SCHEMAS = {table: table.schema for table in (*RELEASE_LISTS, RELEASE_DICTIONARY)}
PRODUCTS = 60
FILES = 2


def release_rows(seed: int, cookies: int) -> dict[str, list[Row]]:
    """Rows of each table of a release."""
    draw = np.random.default_rng(seed)

    def with_list(*key: Any) -> Row:
        items = draw.choice(PRODUCTS, draw.integers(0, 8), replace=False).tolist()
        return (*key, items, np.linspace(1, 0.5, len(items)).tolist())

    keys = draw.integers(-(2**63), 2**63, cookies).tolist()
    contexts = [(location, device) for location in ("", "north") for device in ("", "phone")]
    return {
        "release_cookies": [with_list(key) for key in keys],
        "release_products": [with_list(f"p{number}") for number in range(PRODUCTS)],
        "release_contexts": [with_list(*context) for context in contexts],
        "release_category_lists": [with_list(f"without picture {number}") for number in range(5)],
        RELEASE_DICTIONARY: [(number, f"p{number}") for number in range(PRODUCTS)],
    }


def write_release(settings: Settings, as_of: int, seed: int, cookies: int = 40) -> dict[str, list[Row]]:
    """Writes and publishes the tables of a release; returns their rows."""
    tables = Tables(settings.storage.tables)
    planned = plan_run(RELEASE, as_of_partition(as_of), {}, {"seed": seed, "cookies": cookies})
    rows = release_rows(seed, cookies)
    for table, schema in SCHEMAS.items():
        files = 1 if table == RELEASE_DICTIONARY else FILES
        write_table(tables, replace(planned, table=table), schema, rows[table], files)
    tables.publish(replace(planned, counts={table: len(some) for table, some in rows.items()}))
    return rows


def load(spark: SparkSession, settings: Settings, as_of: int, stay: bool = False) -> StageReport:
    flags = {"without_spark": False, "delta": False, "even_if_older": False}
    arguments = argparse.Namespace(settings=settings, as_of=as_of, stay=stay, wait=None, **flags)
    return load_redis.run(spark, arguments)


def contents(client: redis.Redis, namespace: str) -> dict[bytes, Any]:
    """Every key of a namespace, without it, and what it holds."""
    found: dict[bytes, Any] = {}
    for key in client.scan_iter(f"{namespace}:*", 1000):
        name = key.removeprefix(f"{namespace}:".encode())
        found[name] = client.hgetall(key) if client.type(key) == b"hash" else client.get(key)
    return found


def served_list(client: redis.Redis, namespace: str, kind: str, key: int) -> list[str] | None:
    """The product ids that a reader finds under a key of the live release."""
    releases, keys = Releases(client, namespace), Keys(namespace)
    name = releases.live().release
    release = releases.find(name) if name else None
    if name is None or release is None:
        return None
    bucket, field = bucket_and_field(key, release.buckets[kind])
    record = client.hget(keys.bucket(name, kind, bucket), field)
    if record is None:
        return None
    chunks = [client.get(keys.dictionary(name, number)) for number in range(release.chunks)]
    ids = [id_ for chunk in chunks for id_ in decode_dictionary(chunk)]
    return [ids[ordinal] for ordinal in decode_list(record)[0]]
