"""Starts the endpoint in the foreground, after checking its settings."""

from __future__ import annotations

import logging.config
import socket
from contextlib import ExitStack
from functools import partial
from importlib.util import find_spec
from tempfile import TemporaryDirectory

from larder.lookup.operations.journal import journey_places
from larder.lookup.operations.logs import logging_config
from larder.lookup.operations.supervisor import supervise
from larder.lookup.operations.worker_process import run, server_context
from larder.lookup.redis.address import AddressError, parse_address
from larder.settings import LookupSettings, Settings


class ServeError(RuntimeError):
    """The endpoint cannot start; the message says which setting to change."""


def serve(settings: Settings) -> None:
    """Answers requests at lookup.host and lookup.port until SIGINT or SIGTERM; prints its URL.

    `settings.redis.url` must be set. Port 0 stands for any free port. Raises ServeError, and SystemExit(1) if a worker
    cannot start.
    """
    try:
        parse_address(settings.redis.url.get_secret_value())
    except AddressError as error:
        raise ServeError(str(error)) from None
    _check_certificate(settings.lookup)
    _check_parts(settings.lookup)
    _check_kafka(settings.lookup)
    host, port = free_address(settings.lookup.host, settings.lookup.port)
    with ExitStack() as stack:
        workers = settings.lookup.workers
        folder = stack.enter_context(TemporaryDirectory(prefix="larder-lookup-")) if workers > 1 else ""
        scheme = "https" if settings.lookup.tls_certificate else "http"
        shown = f"[{host}]" if ":" in host else host
        listens = partial(print, f"larder lookup listens at {scheme}://{shown}:{port}", flush=True)
        logging.config.dictConfig(logging_config(settings.lookup.log_format))
        supervise(partial(run, settings, host, port, folder), workers, listens)


def _check_parts(settings: LookupSettings) -> None:
    """Raises ServeError if a setting needs a package that is not installed. The extra has the setting's name."""
    parts = (
        ("journey", settings.journey, "pyarrow"),
        ("kafka", settings.kafka, "confluent_kafka"),
        ("traces", settings.traces, "opentelemetry.exporter.otlp.proto.http"),
    )
    for name, value, module in parts:
        if value and not _is_installed(module):
            package = module.partition(".")[0]
            raise ServeError(f"lookup.{name} needs {package}: pip install 'larder[{name}]', or leave it empty")


def _is_installed(module: str) -> bool:
    try:
        return find_spec(module) is not None
    except ModuleNotFoundError:
        # Its parent package is missing too.
        return False


def _check_kafka(settings: LookupSettings) -> None:
    places = journey_places(settings)
    if places is None or places.kafka is None:
        return
    from larder.journey.kafka import KafkaOptionsError, check

    try:
        check(places.kafka)
    except KafkaOptionsError as error:
        raise ServeError(f"lookup.kafka_options cannot be used: {error}") from None


def _check_certificate(settings: LookupSettings) -> None:
    if bool(settings.tls_certificate) != bool(settings.tls_key):
        raise ServeError("set both lookup.tls_certificate and lookup.tls_key, or neither")
    try:
        server_context(settings)
    except OSError as error:
        raise ServeError(f"lookup.tls_certificate and lookup.tls_key cannot be used: {error}") from None


def free_address(host: str, port: int) -> tuple[str, int]:
    """Returns the numeric address of `host`, and `port` or, for 0, a free port. Raises ServeError if the port is taken.

    Workers share the port through SO_REUSEPORT, so a second server would silently take half of the requests.
    """
    try:
        found = socket.getaddrinfo(host, port, type=socket.SOCK_STREAM, flags=socket.AI_PASSIVE)
    except OSError as error:
        raise ServeError(f"lookup.host {host!r} is not a valid address: {error}") from None
    family, kind, protocol, _, address = found[0]
    with socket.socket(family, kind, protocol) as probe:
        # Ignore lingering connections of a server that just ended.
        probe.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        try:
            probe.bind(address)
        except OSError as error:
            raise ServeError(
                f"cannot listen at {host} port {port}: {error.strerror}; "
                "stop what listens there, or set lookup.host and lookup.port"
            ) from None
        return str(address[0]), int(probe.getsockname()[1])
