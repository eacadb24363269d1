"""A client of one server, of a cluster or of what Sentinel names, and which node holds which key."""

from __future__ import annotations

import binascii
from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any, TypeAlias

import redis
from redis.credentials import CredentialProvider
from redis.sentinel import Sentinel

from larder.loaders.redis_password import NO_SOURCE, PasswordSource
from larder.loaders.redis_url import RedisUrl, RedisUrlError, parse_redis_url

Client: TypeAlias = redis.Redis | redis.RedisCluster

SLOTS = 16384
CONNECT_SECONDS, ANSWER_SECONDS = 5.0, 60.0
# Without HELLO, which older servers and some proxies do not know, and which redis-py 8 would send first.
RESP = 2


@dataclass(frozen=True)
class RedisServer:
    """How a server is reached: its URL, and where its password comes from if it expires. Can be pickled."""

    url: str = field(repr=False)
    password: PasswordSource = NO_SOURCE


class ExpiringPassword(CredentialProvider):
    """Asks for the password anew whenever a connection is opened."""

    def __init__(self, source: PasswordSource, username: str) -> None:
        self.source, self.username = source, username

    def get_credentials(self) -> tuple[str] | tuple[str, str]:
        """Returns user and password, or the password alone. Raises PasswordError."""
        password = self.source.password()
        return (self.username, password) if self.username else (password,)


def connect(server: RedisServer | str) -> Client:
    """Returns a client of the server; if it belongs to a Redis Cluster, a client of the whole cluster.

    Raises redis.RedisError, RedisUrlError, redis_password.PasswordError.
    """
    server = RedisServer(server) if isinstance(server, str) else server
    address = parse_redis_url(server.url)
    options = {**_connection_options(server, address), **_tls_options(address)}
    if address.sentinels:
        return _sentinel_client(address, options)
    if address.socket:
        client = redis.Redis(unix_socket_path=address.socket, db=address.database, **options)
    else:
        client = redis.Redis(address.host, address.port, address.database, **options)
    try:
        if address.socket or not is_cluster(client):
            return client
    except BaseException:
        client.close()
        raise
    client.close()
    if address.database:
        raise RedisUrlError("redis.url names a database, and its server is a cluster, which has none but 0")
    return redis.RedisCluster(host=address.host, port=address.port, **options)


def _connection_options(server: RedisServer, address: RedisUrl) -> dict[str, Any]:
    options: dict[str, Any] = {
        "protocol": RESP,
        "socket_connect_timeout": CONNECT_SECONDS,
        "socket_timeout": ANSWER_SECONDS,
    }
    if server.password:
        return options | {"credential_provider": ExpiringPassword(server.password, address.username)}
    return options | {"username": address.username or None, "password": address.password or None}


def _tls_options(address: RedisUrl) -> dict[str, Any]:
    if not address.is_tls:
        return {}
    files = {name: value for name, value in address.tls_options.items() if name.endswith(("certs", "file"))}
    return {
        "ssl": True,
        "ssl_cert_reqs": "required" if address.verifies_certificates else "none",
        "ssl_check_hostname": address.checks_hostname,
        **files,
    }


def _sentinel_client(address: RedisUrl, options: Mapping[str, Any]) -> redis.Redis:
    """Returns a client that asks the sentinels for the primary whenever it opens a connection."""
    login = {"username": address.sentinel_username or None, "password": address.sentinel_password or None}
    no_login = {name: value for name, value in options.items() if name not in (*login, "credential_provider")}
    sentinel = Sentinel(list(address.sentinels), sentinel_kwargs={**no_login, **login}, **options)
    client: redis.Redis = sentinel.master_for(address.service, db=address.database)
    return client


def is_cluster(client: redis.Redis) -> bool:
    """Whether the server belongs to a cluster; where INFO does not say, whether it answers CLUSTER SLOTS."""
    enabled = info(client, "cluster").get("cluster_enabled")
    if enabled is not None:
        return str(enabled) == "1"
    try:
        return bool(client.execute_command("CLUSTER SLOTS"))
    except redis.ResponseError:
        return False


def nodes(client: Client) -> list[redis.Redis]:
    """Returns the servers that take writes: the one, or a cluster's primaries in the order of their addresses."""
    if isinstance(client, redis.RedisCluster):
        primaries = sorted(client.get_primaries(), key=lambda node: str(node.name))
        return [client.get_redis_connection(node) for node in primaries]
    return [client]


def owner(client: Client, key: bytes) -> redis.Redis:
    """Returns the server that holds `key`."""
    if isinstance(client, redis.RedisCluster):
        return client.get_redis_connection(client.nodes_manager.get_node_from_slot(slot_of(key)))
    return client


def slot_of(key: bytes) -> int:
    """Returns the cluster slot of a key without {braces}: CRC16 (XMODEM) modulo 16384."""
    return binascii.crc_hqx(key, 0) % SLOTS


def info(client: redis.Redis, section: str) -> dict[str, Any]:
    """Returns one section of the server's INFO; empty if this user may not ask for it, as on some managed servers."""
    try:
        found: dict[str, Any] = client.info(section)
    except redis.ResponseError:
        return {}
    return found if isinstance(found, dict) else {}


def number_of(fields: Mapping[str, Any], name: str) -> int | None:
    """Returns a field of INFO as a number, or None if the server leaves it out or says something like `tbd`."""
    try:
        return int(fields[name])
    except (KeyError, TypeError, ValueError):
        return None


def run_ids(client: Client) -> tuple[str, ...]:
    """Returns what each server drew at its start: another value means that it was restarted or replaced.

    Empty strings where the servers do not tell it; then the count at the end of a load shows what was lost.
    """
    return tuple(str(info(node, "server").get("run_id", "")) for node in nodes(client))
