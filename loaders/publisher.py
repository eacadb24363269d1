"""Writes a release's records, checks them, and only then makes the release live."""

from __future__ import annotations

import json
import math
from collections.abc import Sequence
from dataclasses import dataclass, replace
from itertools import pairwise
from typing import Any

import numpy as np
import numpy.typing as npt
import redis

from loaders.codec import DICTIONARY_CHUNK, buckets_and_fields, encode_dictionary, encode_lists
from loaders.commands import hset_commands
from loaders.keys import FORMAT, Keys
from loaders.releases import STAGED, VERIFIED, Release, ReleaseError, Releases

LISTPACK_SETTING = "hash-max-listpack-value"
LISTPACK_BYTES = 512
COMMANDS_AT_ONCE = 200


@dataclass(frozen=True)
class Lists:
    """Some lists, as in Arrow: list i is ordinals[offsets[i]:offsets[i + 1]], and likewise its scores.

    keys: shape (n,), unsigned 64-bit keys (loaders/keys.py); offsets: (n + 1,); ordinals and scores: (m,).
    """

    keys: npt.NDArray[np.uint64]
    offsets: npt.NDArray[np.integer]
    ordinals: npt.NDArray[np.integer]
    scores: npt.NDArray[np.floating]


def stage(
    releases: Releases, name: str, as_of: str, records: dict[str, int], products: int, bucket_size: int
) -> Release:
    """Registers a release that is about to be written. `records` counts the lists of each kind."""
    known = releases.find(name)
    release = Release(
        name=name,
        as_of=as_of,
        order=known.order if known else releases.next_order(),
        state=STAGED,
        buckets={kind: max(1, math.ceil(count / bucket_size)) for kind, count in records.items()},
        records=records,
        chunks=math.ceil(products / DICTIONARY_CHUNK),
    )
    require_listpacks(releases.client)
    releases.register(release)
    return release


def require_listpacks(client: redis.Redis) -> None:
    """Sees to it that the server keeps buckets compact. Raises ReleaseError, with the remedy, where it can't."""
    try:
        found = client.config_get(LISTPACK_SETTING).get(LISTPACK_SETTING)
        if found is not None and int(found) < LISTPACK_BYTES:
            client.config_set(LISTPACK_SETTING, LISTPACK_BYTES)
    except redis.ResponseError as error:
        raise ReleaseError(
            f"the server does not let its settings be read or changed ({error}); set {LISTPACK_SETTING} "
            f"{LISTPACK_BYTES} in its configuration and allow this user CONFIG GET"
        ) from None


def write_lists(
    connection: redis.Redis, namespace: str, release: Release, kind: str, lists: Lists, with_scores: bool
) -> int:
    """Writes some lists of one kind; the same lists again change nothing. Returns their number."""
    if not len(lists.keys):
        return 0
    buckets, fields = buckets_and_fields(lists.keys, release.buckets[kind])
    order = np.argsort(buckets, kind="stable")
    offsets, ordinals, scores = _in_order(lists, order)
    records = encode_lists(offsets, ordinals, scores if with_scores else None)
    distinct, key_of_record = np.unique(buckets[order], return_inverse=True)
    keys = Keys(namespace)
    names = [keys.bucket(release.name, kind, int(bucket)) for bucket in distinct]
    ends = np.searchsorted(key_of_record, np.arange(COMMANDS_AT_ONCE, len(names), COMMANDS_AT_ONCE))
    edges = [0, *ends.tolist(), len(order)]
    data, ends_of_records = records
    batches = []
    for at, (start, end) in enumerate(pairwise(edges)):
        some = names[at * COMMANDS_AT_ONCE : (at + 1) * COMMANDS_AT_ONCE]
        part = (data, ends_of_records[start : end + 1])
        number = key_of_record[start:end] - at * COMMANDS_AT_ONCE
        batches.append((len(some), hset_commands(some, number, fields[order[start:end]], part)))
    _send(connection, batches)
    return len(lists.keys)


def write_dictionary(client: redis.Redis, namespace: str, release: Release, ids: Sequence[str]) -> None:
    """Writes the product ids by ordinal."""
    keys = Keys(namespace)
    for number, chunk in enumerate(encode_dictionary(ids)):
        client.set(keys.dictionary(release.name, number), chunk)


def complete(releases: Releases, release: Release, products: int, with_scores: bool) -> Release:
    """Writes what readers need to know, counts every record in the server, and calls the release verified.

    Raises ReleaseError, with both counts, where the server does not hold what was sent.
    """
    meta: dict[str, Any] = {
        "format": FORMAT,
        "release": release.name,
        "as_of": release.as_of,
        "buckets": release.buckets,
        "records": release.records,
        "products": products,
        "chunk": DICTIONARY_CHUNK,
        "scores": with_scores,
    }
    releases.client.set(releases.keys.meta(release.name), json.dumps(meta, sort_keys=True))
    for kind, expected in release.records.items():
        found = count_records(releases, release, kind)
        if found != expected:
            raise ReleaseError(f"release {release.name} has {found} records of kind {kind}, not {expected}")
    verified = replace(release, state=VERIFIED)
    releases.register(verified)
    return verified


def count_records(releases: Releases, release: Release, kind: str) -> int:
    """Records of one kind that the server holds."""
    total, buckets = 0, release.buckets[kind]
    for start in range(0, buckets, COMMANDS_AT_ONCE):
        pipeline = releases.client.pipeline(transaction=False)
        for bucket in range(start, min(buckets, start + COMMANDS_AT_ONCE)):
            pipeline.hlen(releases.keys.bucket(release.name, kind, bucket))
        total += sum(pipeline.execute())
    return total


def _in_order(
    lists: Lists, order: npt.NDArray[np.integer]
) -> tuple[npt.NDArray[np.int64], npt.NDArray[np.integer], npt.NDArray[np.floating]]:
    lengths = np.diff(lists.offsets)[order]
    offsets = np.concatenate(([0], np.cumsum(lengths)))
    take = np.arange(offsets[-1]) + np.repeat(lists.offsets[:-1][order] - offsets[:-1], lengths)
    return offsets, lists.ordinals[take], lists.scores[take]


def _send(client: redis.Redis, batches: list[tuple[int, Any]]) -> None:
    """Sends commands while the replies to the batch before are still on their way. Raises what the server replies."""
    connection = client.connection_pool.get_connection()
    try:
        waiting = 0
        for count, commands in batches:
            connection.send_packed_command([commands.tobytes()])
            for _ in range(waiting):
                connection.read_response()
            waiting = count
        for _ in range(waiting):
            connection.read_response()
    except BaseException:
        connection.disconnect()  # replies are left in it
        raise
    finally:
        client.connection_pool.release(connection)
