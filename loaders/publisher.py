"""Writes a release's records, checks them, and only then makes the release live."""

from __future__ import annotations

import json
import math
import time
from collections.abc import Sequence
from dataclasses import replace
from typing import Any

import redis

from larder.loaders.bulk import RateLimiter, send_lists
from larder.loaders.codec import DICTIONARY_CHUNK, encode_dictionary
from larder.loaders.keys import DELTA_FORMAT, FORMAT, Keys
from larder.loaders.lists import RankedLists
from larder.loaders.releases import STAGED, VERIFIED, Release, ReleaseError, Releases
from larder.loaders.servers import Client, nodes, run_ids

LISTPACK_SETTING = "hash-max-listpack-value"
OLD_LISTPACK_SETTING = "hash-max-ziplist-value"
LISTPACK_BYTES = 512
COMMANDS_AT_ONCE = 200
RETRY_SECONDS = (0.1, 0.5, 2.0)
MOVED = ("MOVED", "ASK", "TRYAGAIN", "CLUSTERDOWN")
RESTARTED = "the server was restarted during the load"


class RestartedError(ReleaseError):
    """The server may have lost what it had confirmed, and its settings."""


def plan(name: str, as_of: str, records: dict[str, int], products: int, bucket_size: int) -> Release:
    """A whole release not yet in the server, its order not yet given. `records` counts the lists of each kind."""
    return Release(
        name=name,
        as_of=as_of,
        order=0,
        state=STAGED,
        buckets={kind: max(1, math.ceil(count / bucket_size)) for kind, count in records.items()},
        records=records,
        chunks=math.ceil(products / DICTIONARY_CHUNK),
    )


def stage(releases: Releases, planned: Release) -> Release:
    """Registers a release that is about to be written; returns it with its order."""
    known = releases.find(planned.name)
    release = replace(planned, order=known.order if known else releases.next_order())
    require_listpacks(releases.client)
    releases.register(release)
    return release


def require_listpacks(client: Client) -> None:
    """Sees to it that the server keeps buckets compact. Raises ReleaseError, with the remedy, where it can't."""
    try:
        for node in nodes(client):
            for name, found in node.config_get("hash-max-*-value").items():
                # Redis before 7 knows it as ziplist alone; later ones by both names.
                if name in (LISTPACK_SETTING, OLD_LISTPACK_SETTING) and int(found or 0) < LISTPACK_BYTES:
                    node.config_set(name, LISTPACK_BYTES)
    except redis.ResponseError as error:
        raise ReleaseError(
            f"the server does not let its settings be read or changed ({error}); set {LISTPACK_SETTING} "
            f"{LISTPACK_BYTES} in its configuration and allow this user CONFIG GET"
        ) from None


def write_lists(
    client: Client,
    namespace: str,
    release: Release,
    kind: str,
    lists: RankedLists,
    with_scores: bool,
    pace: RateLimiter | None = None,
) -> int:
    """Writes some lists of one kind; the same lists again change nothing. Returns their number.

    A connection that drops is opened again, unless the server was restarted meanwhile. Raises redis.RedisError.
    """
    if not len(lists.keys):
        return 0
    servers = run_ids(client)
    for pause in (*RETRY_SECONDS, None):
        try:
            send_lists(client, namespace, release, kind, lists, with_scores, pace or RateLimiter())
            break
        except (redis.ConnectionError, redis.TimeoutError, redis.ResponseError, OSError) as error:
            if pause is None or not _may_pass(error):
                raise
            time.sleep(pause)
            if isinstance(client, redis.RedisCluster):
                client.nodes_manager.initialize()
            if run_ids(client) != servers:
                raise RestartedError(RESTARTED) from None
    return len(lists.keys)


def _may_pass(error: Exception) -> bool:
    """Whether the same again may succeed: the connection was lost, or a cluster's slots have moved."""
    lost = isinstance(error, OSError | redis.ConnectionError | redis.TimeoutError)
    return (lost and not isinstance(error, redis.AuthenticationError)) or str(error).startswith(MOVED)


def write_dictionary(client: Client, namespace: str, release: Release, ids: Sequence[str]) -> None:
    """Writes the product ids by ordinal: all of `ids`, or what of them the release's base has not."""
    keys = Keys(namespace)
    own = encode_dictionary(ids[release.first_chunk * DICTIONARY_CHUNK :])
    for number, chunk in enumerate(own[: release.chunks - release.first_chunk], release.first_chunk):
        client.set(keys.dictionary(release.name, number), chunk)


def complete(releases: Releases, release: Release, products: int, with_scores: bool) -> Release:
    """Writes what readers need to know, counts every record in the server, and calls the release verified.

    Raises ReleaseError, with both counts, where the server does not hold what was sent.
    """
    meta: dict[str, Any] = {
        "format": DELTA_FORMAT if release.base else FORMAT,
        "release": release.name,
        "as_of": release.as_of,
        "buckets": release.buckets,
        "records": release.records,
        "products": products,
        "chunk": DICTIONARY_CHUNK,
        "scores": with_scores,
    }
    if release.base:
        meta["base"] = base_meta(releases, release.base, release.first_chunk)
    releases.client.set(releases.keys.meta(release.name), json.dumps(meta, sort_keys=True))
    for kind, expected in release.records.items():
        found = count_records(releases, release, kind)
        if found != expected:
            raise ReleaseError(f"release {release.name} has {found} records of kind {kind}, not {expected}")
    verified = replace(release, state=VERIFIED)
    releases.register(verified)
    return verified


def base_meta(releases: Releases, name: str, chunks: int) -> dict[str, Any]:
    """What a delta's meta says of the whole release beneath. Raises ReleaseError where that is not complete."""
    base = releases.find(name)
    if base is None or base.state != VERIFIED or base.base:
        raise ReleaseError(f"release {name}, which the lists were to be laid over, is no longer whole; run it again")
    return {
        "release": name,
        "as_of": base.as_of,
        "buckets": base.buckets,
        "records": base.records,
        "chunks": chunks,
    }


def count_records(releases: Releases, release: Release, kind: str) -> int:
    """Records of one kind that the server holds."""
    total, buckets = 0, release.buckets[kind]
    for start in range(0, buckets, COMMANDS_AT_ONCE):
        pipeline = releases.client.pipeline(transaction=False)
        for bucket in range(start, min(buckets, start + COMMANDS_AT_ONCE)):
            pipeline.hlen(releases.keys.bucket(release.name, kind, bucket))
        total += sum(pipeline.execute())
    return total
