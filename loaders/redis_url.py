"""Reads `redis.url`: the one place that decides which URLs and options loader and endpoint understand.

Standard library only. No message repeats any part of a URL, because a password with an unencoded `/`, `?`, `#` or `@`
may turn up in every part of it.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from urllib.parse import SplitResult, parse_qsl, unquote, urlsplit

DEFAULT_PORT, SENTINEL_PORT = 6379, 26379
SCHEMES = ("redis", "rediss", "unix", "redis+sentinel", "rediss+sentinel")
LOGIN_OPTIONS = ("db", "password", "username")
TLS_OPTIONS = ("ssl_ca_certs", "ssl_cert_reqs", "ssl_certfile", "ssl_check_hostname", "ssl_keyfile")
SENTINEL_OPTIONS = ("sentinel_password", "sentinel_username")
FALSE = ("false", "0", "no")
ENCODE = "characters such as / ? # @ : in a password must be percent-encoded"


class RedisUrlError(ValueError):
    """`redis.url` names no server that Larder can reach; the message says what to change and repeats nothing of it."""


@dataclass(frozen=True)
class RedisUrl:
    """The parts of a URL. A server is named by `socket`, by `host` and `port`, or by `sentinels` and `service`."""

    host: str = ""
    port: int = DEFAULT_PORT
    socket: str = ""
    database: int = 0
    username: str = ""
    password: str = field(default="", repr=False)
    is_tls: bool = False
    tls_options: Mapping[str, str] = field(default_factory=dict)
    sentinels: tuple[tuple[str, int], ...] = ()
    service: str = ""
    sentinel_username: str = ""
    sentinel_password: str = field(default="", repr=False)

    def __str__(self) -> str:
        """The address without user, password and options."""
        if self.sentinels:
            return f"{self.service} at {','.join(f'{host}:{port}' for host, port in self.sentinels)}"
        return f"unix://{self.socket}" if self.socket else f"{self.host}:{self.port}"

    @property
    def verifies_certificates(self) -> bool:
        """Whether the server's TLS certificate must be signed by a known authority."""
        return self.tls_options.get("ssl_cert_reqs", "required") == "required"

    @property
    def checks_hostname(self) -> bool:
        """Whether the server's TLS certificate must bear the host's name."""
        return self.verifies_certificates and self.tls_options.get("ssl_check_hostname", "true").lower() not in FALSE


def parse_redis_url(url: str) -> RedisUrl:
    """Returns the parts of `redis.url`. Raises RedisUrlError.

    Known are `redis://`, `rediss://` (TLS), `unix:///path/to/redis.sock` and
    `redis+sentinel://HOST:PORT,HOST:PORT/SERVICE` (`rediss+sentinel://` with TLS), with the options `username`,
    `password`, `db`, with TLS `ssl_*`, and with Sentinel `sentinel_username` and `sentinel_password`.
    """
    try:
        parts = urlsplit(url)
    except ValueError:
        raise RedisUrlError(f"redis.url can't be read: {ENCODE}") from None
    if parts.scheme not in SCHEMES:
        raise RedisUrlError(f"redis.url names no server: it must begin with {'://, '.join(SCHEMES)}://")
    if "@" in parts.path + parts.query or parts.fragment:
        raise RedisUrlError(f"redis.url can't be read: {ENCODE}")
    options = _options(parts)
    login, _, address = parts.netloc.rpartition("@")
    user, _, password = login.partition(":")
    has_tls = parts.scheme.startswith("rediss")
    found = RedisUrl(
        username=unquote(user) or options.get("username", ""),
        password=unquote(password) or options.get("password", ""),
        is_tls=has_tls,
        tls_options={name: value for name, value in options.items() if name in TLS_OPTIONS},
        sentinel_username=options.get("sentinel_username", ""),
        sentinel_password=options.get("sentinel_password", ""),
    )
    if parts.scheme == "unix":
        if address or not parts.path.strip("/"):
            raise RedisUrlError("redis.url names no socket: write unix:///path/to/redis.sock")
        return _with(found, socket=unquote(parts.path), database=_database(options.get("db", "")))
    if parts.scheme.endswith("+sentinel"):
        service, _, database = parts.path.strip("/").partition("/")
        if not service:
            raise RedisUrlError("redis.url names no service: write redis+sentinel://HOST:PORT,HOST:PORT/SERVICE")
        sentinels = tuple(_host_and_port(each, SENTINEL_PORT) for each in address.split(","))
        database = options.get("db", "") or database
        return _with(found, sentinels=sentinels, service=unquote(service), database=_database(database))
    host, port = _host_and_port(address, DEFAULT_PORT)
    database = options.get("db", "") or parts.path.strip("/")
    return _with(found, host=host, port=port, database=_database(database))


def _options(parts: SplitResult) -> dict[str, str]:
    options = dict(parse_qsl(parts.query, keep_blank_values=True))
    known: tuple[str, ...] = LOGIN_OPTIONS
    known += TLS_OPTIONS if parts.scheme.startswith("rediss") else ()
    known += SENTINEL_OPTIONS if parts.scheme.endswith("+sentinel") else ()
    if not set(options) <= set(known):
        raise RedisUrlError(
            f"redis.url has an option that is not known; {parts.scheme}:// knows {', '.join(sorted(known))}; {ENCODE}"
        )
    if options.get("ssl_cert_reqs", "required") not in ("required", "none"):
        raise RedisUrlError("ssl_cert_reqs of redis.url must be required or none")
    return options


def _host_and_port(address: str, default: int) -> tuple[str, int]:
    try:
        parts = urlsplit(f"//{address}")
        return parts.hostname or "localhost", parts.port or default
    except ValueError:
        raise RedisUrlError(
            f"redis.url names no server: a port must be a number from 1 to 65535, and {ENCODE}"
        ) from None


def _database(text: str) -> int:
    if not text:
        return 0
    if not (text.isascii() and text.isdigit() and len(text) < 6):
        raise RedisUrlError(f"redis.url names no database: it must be a number such as 0, and {ENCODE}")
    return int(text)


def _with(url: RedisUrl, **changes: object) -> RedisUrl:
    return RedisUrl(**{**url.__dict__, **changes})
