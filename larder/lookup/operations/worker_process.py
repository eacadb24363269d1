"""One worker process: its event loop, its listening socket, and its shutdown."""

from __future__ import annotations

import asyncio
import logging.config
import resource
import signal
import socket
import ssl
from contextlib import suppress
from functools import partial
from multiprocessing.connection import Connection
from typing import cast

import uvloop

from larder.lookup.http.application import LookupApp
from larder.lookup.http.connections import Connections
from larder.lookup.http.http_connection import accept
from larder.lookup.operations.logs import logging_config
from larder.settings import LookupSettings, Settings

BACKLOG = 2048
HANDSHAKE_SECONDS = 10.0
# How long a closed TLS connection waits for the peer to close it too.
SHUTDOWN_SECONDS = 1.0
# How long requests under way may take at shutdown.
END_SECONDS = 10.0

log = logging.getLogger("larder.lookup")


def run(settings: Settings, host: str, port: int, folder: str, parent: Connection) -> None:
    """Answers requests until SIGTERM or until the pipe is closed; sends a message through the pipe once it listens."""
    # An interrupt at a terminal reaches all processes; the parent ends the workers.
    for each in (signal.SIGINT, signal.SIGHUP):
        signal.signal(each, signal.SIG_IGN)
    logging.config.dictConfig(logging_config(settings.lookup.log_format))
    _allow_connections()
    loop = uvloop.new_event_loop()
    asyncio.set_event_loop(loop)
    app = LookupApp(settings, folder)
    ending = Ending()
    app.start(loop, ending.fail)
    try:
        loop.run_until_complete(_answer(app, settings.lookup, host, port, parent, ending))
    finally:
        app.stop(loop)
        loop.close()
    if ending.has_failed:
        raise SystemExit(1)


class Ending:
    """Whether the process is to end, and whether because something in it failed."""

    def __init__(self) -> None:
        self.begun = asyncio.Event()
        self.has_failed = False

    def fail(self) -> None:
        """Ends the process, with an exit status that is not 0; the supervisor starts another."""
        self.has_failed = True
        self.begun.set()


async def _answer(
    app: LookupApp, settings: LookupSettings, host: str, port: int, parent: Connection, ending: Ending
) -> None:
    loop = cast(uvloop.Loop, asyncio.get_running_loop())

    def end() -> None:
        loop.remove_reader(parent.fileno())
        ending.begun.set()

    loop.add_signal_handler(signal.SIGTERM, end)
    loop.add_reader(parent.fileno(), end)
    connections = Connections(app, settings.max_body_bytes)
    tls = server_context(settings)
    server = await loop.create_server(
        partial(accept, connections),
        sock=_listening(host, port),
        backlog=BACKLOG,
        ssl=tls,
        ssl_handshake_timeout=HANDSHAKE_SECONDS if tls else None,
        ssl_shutdown_timeout=SHUTDOWN_SECONDS if tls else None,
    )
    watch = loop.create_task(connections.watch())

    def watch_ended(task: asyncio.Task[None]) -> None:
        log.critical("the watch over connections ended; the process ends", exc_info=task.exception())
        ending.fail()

    watch.add_done_callback(watch_ended)
    with suppress(OSError):  # a dead parent is noticed below
        parent.send(True)
    await ending.begun.wait()
    watch.remove_done_callback(watch_ended)
    server.close()
    await connections.end(END_SECONDS)
    watch.cancel()


def server_context(settings: LookupSettings) -> ssl.SSLContext | None:
    """Returns the TLS context, or None without a certificate. Raises OSError (including ssl.SSLError)."""
    if not settings.tls_certificate:
        return None
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    context.set_alpn_protocols(["http/1.1"])
    context.load_cert_chain(settings.tls_certificate, settings.tls_key)
    return context


def _listening(host: str, port: int) -> socket.socket:
    """Returns a socket of this process alone; the kernel spreads connections over the sockets on the same port."""
    made = socket.socket(socket.AF_INET6 if ":" in host else socket.AF_INET)
    made.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
    made.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEPORT, 1)
    made.setblocking(False)
    made.bind((host, port))
    return made


def _allow_connections() -> None:
    """Raises the limit of open files to its maximum; the usual limit of 1,024 is too low."""
    _, most = resource.getrlimit(resource.RLIMIT_NOFILE)
    resource.setrlimit(resource.RLIMIT_NOFILE, (most, most))
