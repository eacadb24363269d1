"""The address and credentials of Redis, parsed from a `redis://`, `rediss://` or `unix://` URL."""

from __future__ import annotations

import ssl
from dataclasses import dataclass, field

from larder.loaders.redis_password import NO_SOURCE, PasswordSource
from larder.loaders.redis_url import DEFAULT_PORT, RedisUrl, RedisUrlError, parse_redis_url


class AddressError(ValueError):
    """The Redis URL cannot be used; the message says what to change."""


@dataclass(frozen=True)
class RedisAddress:
    """A Redis server: at `socket` (a path), at `host` and `port`, or the primary of `service` by `sentinels`.

    `tls` is None for an unencrypted connection. `expiring`, if it is set, gives the password of each connection.
    """

    host: str = ""
    port: int = DEFAULT_PORT
    socket: str = ""
    username: str = ""
    password: str = field(default="", repr=False)
    tls: ssl.SSLContext | None = None
    database: int = 0
    sentinels: tuple[tuple[str, int], ...] = ()
    service: str = ""
    sentinel_username: str = ""
    sentinel_password: str = field(default="", repr=False)
    expiring: PasswordSource = NO_SOURCE

    def __str__(self) -> str:
        """Returns the address for logs, without the password."""
        if self.sentinels:
            return f"{self.service} of {len(self.sentinels)} sentinels"
        return f"unix://{self.socket}" if self.socket else f"{self.host}:{self.port}"


def parse_address(url: str, expiring: PasswordSource = NO_SOURCE) -> RedisAddress:
    """Returns the address in a URL, by the same rules as a load. Raises AddressError."""
    try:
        read = parse_redis_url(url)
    except RedisUrlError as error:
        raise AddressError(str(error)) from None
    return RedisAddress(
        host=read.host,
        port=read.port,
        socket=read.socket,
        username=read.username,
        password=read.password,
        tls=_tls(read) if read.is_tls else None,
        database=read.database,
        sentinels=read.sentinels,
        service=read.service,
        sentinel_username=read.sentinel_username,
        sentinel_password=read.sentinel_password,
        expiring=expiring,
    )


def _tls(url: RedisUrl) -> ssl.SSLContext:
    options = url.tls_options
    try:
        context = ssl.create_default_context(cafile=options.get("ssl_ca_certs"))
        if "ssl_certfile" in options:
            context.load_cert_chain(options["ssl_certfile"], options.get("ssl_keyfile"))
    except OSError as error:
        raise AddressError(f"a certificate file in redis.url cannot be read: {error}") from None
    context.check_hostname = url.checks_hostname
    context.verify_mode = ssl.CERT_REQUIRED if url.verifies_certificates else ssl.CERT_NONE
    return context
