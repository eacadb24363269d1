"""The address and credentials of Redis, parsed from a `redis://`, `rediss://` or `unix://` URL."""

from __future__ import annotations

import ssl
from dataclasses import dataclass, field
from urllib.parse import parse_qs, unquote, urlsplit

DEFAULT_PORT = 6379
TLS_OPTIONS = ("ssl_ca_certs", "ssl_cert_reqs", "ssl_certfile", "ssl_check_hostname", "ssl_keyfile")
PLAIN_OPTIONS = ("db", "password", "username")


class AddressError(ValueError):
    """The Redis URL cannot be used; the message says what to change."""


@dataclass(frozen=True)
class RedisAddress:
    """A Redis server, at `socket` (a path) or at `host` and `port`. `tls` is None for an unencrypted connection."""

    host: str = ""
    port: int = DEFAULT_PORT
    socket: str = ""
    username: str = ""
    password: str = field(default="", repr=False)
    tls: ssl.SSLContext | None = None

    def __str__(self) -> str:
        """Returns the address for logs, without the password."""
        return f"unix://{self.socket}" if self.socket else f"{self.host}:{self.port}"


def parse_address(url: str) -> RedisAddress:
    """Returns the address in a URL, read as redis-py reads it. Raises AddressError."""
    parts = urlsplit(url)
    options = {name: values[-1] for name, values in parse_qs(parts.query).items()}
    if parts.scheme not in ("redis", "rediss", "unix"):
        raise AddressError(f"redis.url begins with {parts.scheme!r}; it must be redis://, rediss:// or unix://")
    _check_options(parts.scheme, options)
    _check_database(options.get("db", "") or ("" if parts.scheme == "unix" else parts.path.strip("/")))
    username = unquote(parts.username or "") or options.get("username", "")
    password = unquote(parts.password or "") or options.get("password", "")
    if parts.scheme == "unix":
        if not parts.path:
            raise AddressError("redis.url has no socket path; write unix:///path/to/redis.sock")
        return RedisAddress(socket=unquote(parts.path), username=username, password=password)
    return RedisAddress(
        host=parts.hostname or "localhost",
        port=_port(url),
        username=username,
        password=password,
        tls=_tls(options) if parts.scheme == "rediss" else None,
    )


def _port(url: str) -> int:
    try:
        return urlsplit(url).port or DEFAULT_PORT
    except ValueError:
        raise AddressError("the port of redis.url is not a number from 1 to 65535") from None


def _check_options(scheme: str, options: dict[str, str]) -> None:
    known = PLAIN_OPTIONS + (TLS_OPTIONS if scheme == "rediss" else ())
    unknown = sorted(set(options) - set(known))
    if unknown:
        raise AddressError(f"redis.url has unknown options {unknown}; the endpoint takes {sorted(known)}")


def _check_database(database: str) -> None:
    if database not in ("", "0"):
        raise AddressError(f"redis.url selects database {database!r}; only database 0 is supported")


def _tls(options: dict[str, str]) -> ssl.SSLContext:
    try:
        context = ssl.create_default_context(cafile=options.get("ssl_ca_certs"))
        if "ssl_certfile" in options:
            context.load_cert_chain(options["ssl_certfile"], options.get("ssl_keyfile"))
    except OSError as error:
        raise AddressError(f"a certificate file in redis.url cannot be read: {error}") from None
    if options.get("ssl_check_hostname", "true").lower() in ("false", "0", "no"):
        context.check_hostname = False
    requirement = options.get("ssl_cert_reqs", "required")
    if requirement not in ("required", "none"):
        raise AddressError(f"ssl_cert_reqs of redis.url is {requirement!r}; it must be required or none")
    if requirement == "none":
        context.check_hostname = False
        context.verify_mode = ssl.CERT_NONE
    return context
