"""Counts records where they lie: one HLEN a bucket, sent in bulk, because a large release has hundreds of thousands."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass, field
from typing import Any

import redis

from larder.loaders.bulk import PipelinedSocket
from larder.loaders.keys import Keys
from larder.loaders.registered_release import Release
from larder.loaders.servers import Client, owner

KEYS_AT_ONCE = 2_000
WRONG_TYPE = "WRONGTYPE"


@dataclass
class RecordCount:
    """The records of one kind that the server holds. foreign: keys that should be hashes and are something else."""

    records: int = 0
    foreign: list[bytes] = field(default_factory=list)


def count_records(client: Client, namespace: str, release: Release, kind: str) -> RecordCount:
    """Counts the records of one kind of a release, its base not included. Raises redis.RedisError, OSError."""
    count = RecordCount()
    for keys in _key_batches(Keys(namespace), release, kind):
        if isinstance(client, redis.RedisCluster):
            by_node: dict[int, tuple[redis.Redis, list[bytes]]] = {}
            for key in keys:
                node = owner(client, key)
                by_node.setdefault(id(node), (node, []))[1].append(key)
            batches = list(by_node.values())
        else:
            batches = [(client, keys)]
        for node, some in batches:
            try:
                count.records += _hash_lengths(node, some)
            except redis.ResponseError:  # slots that are being moved, or a key of another type: ask key by key
                _count_each(client, some, count)
    return count


def _key_batches(keys: Keys, release: Release, kind: str) -> Iterator[list[bytes]]:
    buckets = release.buckets.get(kind, 0)
    for start in range(0, buckets, KEYS_AT_ONCE):
        yield keys.buckets(release.name, kind, range(start, min(buckets, start + KEYS_AT_ONCE)))


def _hash_lengths(node: redis.Redis, keys: Sequence[bytes]) -> int:
    """Returns the number of fields of all these hashes of one node."""
    commands = b"".join([b"*2\r\n$4\r\nHLEN\r\n$%d\r\n%s\r\n" % (len(key), key) for key in keys])
    with PipelinedSocket(node) as connection:
        return connection.sum_of_replies(commands, len(keys))


def _count_each(client: Any, keys: Sequence[bytes], count: RecordCount) -> None:
    pipeline = client.pipeline(transaction=False)
    for key in keys:
        pipeline.hlen(key)
    for key, reply in zip(keys, pipeline.execute(raise_on_error=False), strict=True):
        if isinstance(reply, int):
            count.records += reply
        elif str(reply).startswith(WRONG_TYPE):
            count.foreign.append(key)
        else:
            raise reply
