"""One server or a cluster behind the same client: how to reach it, and which node holds which key."""

from __future__ import annotations

import binascii
from typing import Any, TypeAlias

import redis

Client: TypeAlias = redis.Redis | redis.RedisCluster

SLOTS = 16384
CONNECT_SECONDS, ANSWER_SECONDS = 5.0, 60.0


class RedisUrlError(ValueError):
    """redis.url names no server; the message does not repeat it, since a password may be in it."""


def connect(url: str) -> Client:
    """A client of the server at `url` (redis://, rediss:// with TLS, unix://, user and password in it).

    A server that belongs to a Redis Cluster gives a client of the whole cluster.

    Raises redis.RedisError, RedisUrlError.
    """
    try:
        client = redis.Redis.from_url(url, socket_connect_timeout=CONNECT_SECONDS, socket_timeout=ANSWER_SECONDS)
    except ValueError:
        raise RedisUrlError(
            "redis.url names no server: it must begin with redis://, rediss:// or unix://, its port be a number, and "
            "/, @, : and # in a password be percent-encoded"
        ) from None
    try:
        if not info(client, "cluster").get("cluster_enabled"):
            return client
    except BaseException:
        client.close()
        raise
    client.close()
    return redis.RedisCluster.from_url(url, socket_connect_timeout=CONNECT_SECONDS, socket_timeout=ANSWER_SECONDS)


def nodes(client: Client) -> list[redis.Redis]:
    """The servers that take writes: the one, or a cluster's primaries, in the order of their addresses."""
    if isinstance(client, redis.RedisCluster):
        primaries = sorted(client.get_primaries(), key=lambda node: str(node.name))
        return [client.get_redis_connection(node) for node in primaries]
    return [client]


def owner(client: Client, key: bytes) -> redis.Redis:
    """The server that holds `key`."""
    if isinstance(client, redis.RedisCluster):
        return client.get_redis_connection(client.nodes_manager.get_node_from_slot(slot_of(key)))
    return client


def slot_of(key: bytes) -> int:
    """The cluster slot of a key without {braces}: CRC16 (XMODEM) mod 16384."""
    return binascii.crc_hqx(key, 0) % SLOTS


def info(client: redis.Redis, section: str) -> dict[str, Any]:
    """One section of the server's INFO."""
    found: dict[str, Any] = client.info(section)
    return found


def run_ids(client: Client) -> tuple[str, ...]:
    """What each server drew at its start: other values tell that one was restarted or replaced."""
    return tuple(str(info(node, "server")["run_id"]) for node in nodes(client))
