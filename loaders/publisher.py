"""Writes a release's records, checks them, and only then calls the release verified."""

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
from larder.loaders.servers import Client, run_ids

RETRY_SECONDS = (0.1, 0.5, 2.0)
MOVED = ("MOVED", "ASK", "TRYAGAIN", "CLUSTERDOWN")
RESTARTED = "the server was restarted during the load"


class RestartedError(ReleaseError):
    """The server was restarted and may have lost what it had confirmed, and its settings."""


def plan(name: str, as_of: str, records: dict[str, int], products: int, bucket_size: int) -> Release:
    """Returns a whole release that is not yet in the server and has no order yet. `records` counts lists by kind."""
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
    """Registers a release that is about to be written. Returns it with its order."""
    known = releases.find(planned.name)
    release = replace(planned, order=known.order if known else releases.next_order())
    releases.register(release)
    return release


def write_lists(
    client: Client,
    namespace: str,
    release: Release,
    kind: str,
    lists: RankedLists,
    with_scores: bool,
    pace: RateLimiter | None = None,
) -> int:
    """Writes lists of one kind and returns their number. Writing the same lists again changes nothing.

    A connection that drops is opened again, unless the server was restarted meanwhile. Raises redis.RedisError,
    OSError, RestartedError.
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
    """Whether the same again may succeed: the connection was lost, or slots of a cluster have moved."""
    lost = isinstance(error, OSError | redis.ConnectionError | redis.TimeoutError)
    return (lost and not isinstance(error, redis.AuthenticationError)) or str(error).startswith(MOVED)


def write_dictionary(client: Client, namespace: str, release: Release, ids: Sequence[str]) -> list[bytes]:
    """Writes the product ids by ordinal: all of `ids`, or for a delta those that its base does not have.

    Returns the chunks that were written, from the release's first one.
    """
    keys = Keys(namespace)
    own = encode_dictionary(ids[release.first_chunk * DICTIONARY_CHUNK :])[: release.chunks - release.first_chunk]
    for number, chunk in enumerate(own, release.first_chunk):
        client.set(keys.dictionary(release.name, number), chunk)
    return own


def complete(
    releases: Releases, release: Release, products: int, with_scores: bool, dictionary: Sequence[bytes] = ()
) -> Release:
    """Writes what readers need to know, counts every record in the server, and calls the release verified.

    dictionary: what `write_dictionary` returned; chunks that come back as they were sent are not counted id by id.
    Raises ReleaseError, with both counts, if the server does not hold what was sent.
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
    if problems := releases.completeness(release, dictionary).problems:
        raise ReleaseError(f"release {release.name} {'; '.join(problems)}")
    verified = replace(release, state=VERIFIED)
    releases.register(verified)
    return verified


def base_meta(releases: Releases, name: str, chunks: int) -> dict[str, Any]:
    """Returns what a delta's meta says of its base. Raises ReleaseError if the base is not complete."""
    base = releases.find(name)
    if base is None or base.state != VERIFIED or base.base:
        raise ReleaseError(f"release {name}, which the delta was made for, is no longer whole; run it again")
    return {
        "release": name,
        "as_of": base.as_of,
        "buckets": base.buckets,
        "records": base.records,
        "chunks": chunks,
    }
