"""HTTP/1.1 for callers: on each connection requests come in, and their answers leave in the same order.

httptools takes the bytes apart; what is here says when a request is whole, too large or too late, and when to hang up.
No class here inherits from asyncio's: compiled, it would lose its plain memory to a dictionary.
"""

from __future__ import annotations

import asyncio
import logging
from collections import deque
from http import HTTPStatus
from typing import TYPE_CHECKING, Any, Final, final
from urllib.parse import unquote

import httptools

from larder.lookup.http.http_errors import BadRequestError
from larder.lookup.http.repeated_request import Alike
from larder.lookup.http.request import Request

if TYPE_CHECKING:
    from larder.lookup.http.connections import Connections

# Of a request line and its headers together, in bytes.
MOST_HEAD: Final = 65_536
# For each byte of a body, in how many it may come.
MOST_A_BYTE: Final = 8
# For a whole request, since its first byte; for an answer that a caller does not read; between two requests, which is
# longer than the 60 seconds after which proxies give a connection up of themselves.
REQUEST_SECONDS: Final = 10
UNREAD_SECONDS: Final = 10
IDLE_SECONDS: Final = 75
# For which a caller may still read why it was refused while it goes on sending.
LINGER_SECONDS: Final = 2
# Requests that may wait on one connection before no more are read from it.
MOST_PIPELINED: Final = 16

# Of answers that wait for the end of a turn of the event loop, on one connection.
MOST_UNSENT: Final = 65_536

NEWEST: Final = "1.1"
GET: Final = b"GET"
HOST: Final = b"host"
METHODS: Final = {b"GET": "GET", b"POST": "POST", b"HEAD": "HEAD"}
# No other header is looked at.
HEARD: Final = {
    name.encode(): name
    for name in (
        *("x-api-key", "x-request-id", "traceparent", "tracestate"),
        *("content-length", "transfer-encoding", "expect"),
    )
}
STATUS_LINES: Final = {each.value: f"HTTP/1.1 {each.value} {each.phrase}\r\n".encode() for each in HTTPStatus}
HANG_UP: Final = b"connection: close\r\n"

log = logging.getLogger("larder.lookup")


@final
class HttpConnection:
    """One connection: what asyncio calls a protocol."""

    def __init__(self, connections: Connections) -> None:
        self._all = connections
        self._app = connections.app
        self._transport: Any = None
        self._parser: Any = httptools.HttpRequestParser(self)
        # The request that is being read.
        self._receiving = False
        self._in_head = True
        self._read = 0  # its bytes, but for those that came together with the end of the one before
        self._url = b""
        self._headers: dict[str, str] = {}
        self._body: list[bytes] = []
        self._bodied = False
        self._size = 0
        self._hosts = 0
        self._ended = 0  # requests, by what came last
        self._alike = Alike()
        # Those that were read, and the one of them that is being answered.
        self._queue: deque[Request] = deque()
        self._current: Request | None = None
        self._working = False
        self._blocked = False
        # Nothing that comes is looked at any more; of the caller's last request, all was read that will be.
        self._deaf = False
        self._unsent: list[bytes] = []
        self._unsent_bytes = 0
        self._refused = False
        self._lingering = False
        self._closing = False
        self._since = connections.now

    # What the transport calls.

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        self._transport = transport
        self._all.open.add(self)

    def connection_lost(self, error: Exception | None) -> None:
        self._all.open.discard(self)
        self._queue.clear()
        self._deaf = True
        self._transport = self._parser = None

    def data_received(self, data: bytes) -> None:
        if self._deaf:
            return
        begins = not self._receiving
        if begins and (target := self._alike.target(data)):
            # Its headers are those of the last one.
            self._url = target
            self._take(GET, False, None)
            return
        self._alike.forget()
        self._ended = 0
        self._read += len(data)
        try:
            self._parse(data)
        except httptools.HttpParserCallbackError:
            log.exception("a connection failed")
            self.abort()
        except httptools.HttpParserError as error:
            self._refuse(BadRequestError(400, "invalid_http", f"this is not HTTP/1.1: {error}"))
        else:
            # Chunks of a body may be small, and trailers follow them.
            most = MOST_HEAD if self._in_head else 2 * MOST_HEAD + MOST_A_BYTE * self._size
            if self._receiving and (self._read > most or len(self._url) > MOST_HEAD):
                self._refuse(self._too_long())
            elif begins and self._ended == 1 and not self._receiving and not self._bodied and not self._deaf:
                self._alike.remember(data)

    def eof_received(self) -> bool:
        # Whoever closes one way may still wait for an answer.
        self._hang_up_when_answered()
        return self._transport is not None and bool(self._transport.can_write_eof())

    def pause_writing(self) -> None:
        self._blocked = True
        self._since = self._all.now

    def resume_writing(self) -> None:
        self._blocked = False
        self._work()

    # What the parser calls.

    def on_message_begin(self) -> None:
        self._receiving = self._in_head = True
        self._read = self._size = self._hosts = 0
        self._url = b""
        self._headers = {}
        self._body = []
        if not self._blocked:
            self._since = self._all.now

    def on_url(self, url: bytes) -> None:
        self._url += url

    def on_header(self, name: bytes, value: bytes) -> None:
        # What follows a body in chunks is no header.
        name = name.lower()
        heard = HEARD.get(name) if self._in_head else None
        if self._in_head and name == HOST:
            self._hosts += 1
        if heard is not None and heard not in self._headers:
            self._headers[heard] = value.decode("utf-8", "surrogateescape")

    def on_headers_complete(self) -> None:
        self._in_head = False
        self._bodied = "transfer-encoding" in self._headers or "content-length" in self._headers
        if "transfer-encoding" in self._headers or self._headers.get("content-length", "0") != "0":
            self._expect_body()

    def on_body(self, body: bytes) -> None:
        self._size += len(body)
        if self._deaf:
            return
        if self._size > self._all.most_body:
            self._refuse(self._too_large())
        else:
            self._body.append(body)

    def on_message_complete(self) -> None:
        if self._deaf:
            return
        self._receiving, self._in_head, self._read = False, True, 0
        self._ended += 1
        newest = self._parser.get_http_version() == NEWEST
        # RFC 9112, section 3.2.
        if self._hosts > 1 or (newest and not self._hosts):
            self._refuse(BadRequestError(400, "invalid_http", "send one Host header, as HTTP/1.1 asks"))
            return
        self._take(self._parser.get_method(), not newest or not self._parser.should_keep_alive(), None)

    # What comes of it.

    def _parse(self, data: bytes) -> None:
        while data:
            try:
                self._parser.feed_data(data)
                return
            except httptools.HttpParserUpgrade as upgrade:
                # Whoever offers another protocol is answered in this one, and goes on in it.
                data = data[upgrade.args[0] :]

    def respond(self, request: Request, status: int, headers: bytes, body: bytes) -> None:
        """See Request.respond."""
        self._current = None
        if self._transport is None or self._lingering or self._closing:
            return
        self._write(
            b"%b%b%b%bcontent-length: %d\r\n\r\n%b"
            % (
                STATUS_LINES[status],
                headers,
                self._all.date,
                HANG_UP if request.last else b"",
                len(body),
                b"" if request.method == "HEAD" else body,
            )
        )
        self._since = self._all.now
        if request.last:
            self._hang_up()
        elif self._queue:
            self._work()

    def flush(self) -> None:
        """Sends what was written."""
        unsent, self._unsent, self._unsent_bytes = self._unsent, [], 0
        if self._transport is not None and unsent:
            self._transport.write(unsent[0] if len(unsent) == 1 else b"".join(unsent))

    def end(self) -> None:
        """No further request is taken; the connection ends when those that were read have their answers."""
        if not self._receiving:
            self._hang_up_when_answered()

    def abort(self) -> None:
        """Ends it as it is."""
        if self._transport is not None:
            self._transport.abort()

    def look(self) -> None:
        """Ends what takes too long; called every second."""
        waited = self._all.now - self._since
        if self._lingering or self._closing or self._blocked:
            if waited >= (LINGER_SECONDS if self._lingering else UNREAD_SECONDS):
                self.abort()
        elif self._current is not None or self._queue:
            pass
        elif self._receiving:
            if waited >= REQUEST_SECONDS:
                message = f"the request did not arrive within {REQUEST_SECONDS} seconds; send it again"
                self._refuse(BadRequestError(408, "request_timeout", message))
        elif waited >= IDLE_SECONDS:
            self._hang_up()

    def _write(self, data: bytes) -> None:
        if not self._unsent:
            self._all.flush_later(self)
        self._unsent.append(data)
        self._unsent_bytes += len(data)
        # So that the transport says when it is too much.
        if self._unsent_bytes > MOST_UNSENT:
            self.flush()

    def _take(self, method: bytes, last: bool, problem: BadRequestError | None) -> None:
        path, query = self._url, b""
        if b"?" in path:
            path, _, query = path.partition(b"?")
        text = ""
        try:
            text = query.decode()
        except UnicodeDecodeError:
            problem = problem or BadRequestError(400, "invalid_encoding", "the query is not percent-encoded UTF-8")
        body = b"".join(self._body) if self._body else b""
        known = METHODS.get(method)
        request = Request(
            self,
            known if known is not None else method.decode("latin-1"),
            _path(path),
            text,
            self._headers,
            body,
            last or self._all.ending,
            problem,
        )
        if request.last:
            self._deaf = True
        if self._current is None and not self._queue and not self._blocked:
            self._current = request
            self._app.take(request)
            return
        self._queue.append(request)
        if len(self._queue) == MOST_PIPELINED:
            self._transport.pause_reading()

    def _work(self) -> None:
        # Not by each answer for the next one: thousands of short requests may have come at once.
        if self._working:
            return
        self._working = True
        while self._queue and self._current is None and not self._blocked:
            self._current = self._queue.popleft()
            if len(self._queue) == MOST_PIPELINED - 1 and self._transport is not None:
                self._transport.resume_reading()
            self._app.take(self._current)
        self._working = False

    def _expect_body(self) -> None:
        if self._deaf:
            return
        if self._parser.should_upgrade():
            # Then the parser takes the body for what comes after the upgrade.
            self._refuse(BadRequestError(400, "upgrade_with_body", "send no Upgrade header with a body"))
            return
        try:
            self._app.admit_body(_path(self._url.partition(b"?")[0]), self._headers)
        except BadRequestError as error:
            self._refuse(error)
            return
        if int(self._headers.get("content-length", "0")) > self._all.most_body:
            self._refuse(self._too_large())
        elif self._headers.get("expect", "").lower() == "100-continue" and self._is_waited_for():
            self._write(b"HTTP/1.1 100 Continue\r\n\r\n")

    def _is_waited_for(self) -> bool:
        """Does nothing come before what is said to the request that is being read?"""
        return self._current is None and not self._queue and self._parser.get_http_version() == NEWEST

    def _too_long(self) -> BadRequestError:
        message = f"request line and headers have more than {MOST_HEAD} bytes together; a batch may have more"
        if len(self._url) > MOST_HEAD // 2:
            return BadRequestError(414, "uri_too_long", message)
        return BadRequestError(431, "headers_too_large", message)

    def _too_large(self) -> BadRequestError:
        return BadRequestError(
            413, "body_too_large", f"the body has more than {self._all.most_body} bytes; split the batch"
        )

    def _refuse(self, problem: BadRequestError) -> None:
        """Answers a request of which the rest will not be read."""
        if self._deaf:
            return
        self._refused = True
        self._take(self._parser.get_method(), True, problem)

    def _hang_up_when_answered(self) -> None:
        self._deaf = True
        if self._queue:
            self._queue[-1].last = True
        elif self._current is not None:
            self._current.last = True
        else:
            self._hang_up()

    def _hang_up(self) -> None:
        self._deaf = True
        if self._transport is None or self._lingering or self._closing:
            return
        self._since = self._all.now
        self.flush()
        if self._refused and self._transport.can_write_eof():
            # To close with something unread would take the answer from the caller too.
            self._lingering = True
            self._transport.write_eof()
        else:
            # It is closed when all that was written has left.
            self._closing = True
            self._transport.close()


def _path(url: bytes) -> str:
    """The path of a URL without its query."""
    text = url.decode("latin-1")
    if not text.startswith("/"):
        # As a proxy is asked: scheme and host come first.
        text = "/" + text.partition("://")[2].partition("/")[2]
    return unquote(text) if "%" in text else text
