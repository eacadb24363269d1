"""One HTTP/1.1 connection: requests come in, and their answers leave in the same order.

httptools parses the bytes. This module decides when a request is complete, too large or too late, and when to close.
No class here inherits from asyncio.Protocol: when compiled, it would then keep its attributes in a dictionary.
"""

from __future__ import annotations

import asyncio
import logging
from collections import deque
from http import HTTPStatus
from typing import Any, Final, cast, final

import httptools

from larder.lookup.http.connections import Connections, ManagedConnection
from larder.lookup.http.http_errors import BadRequestError
from larder.lookup.http.repeated_request import RepeatedRequest
from larder.lookup.http.request import Request
from larder.lookup.http.request_parts import content_length, path_of, unacknowledged

# The request line and the headers together.
MAX_HEAD_BYTES: Final = 65_536
# Chunked framing may cost up to 8 wire bytes a body byte.
WIRE_BYTES_PER_BODY_BYTE: Final = 8
# The time limits for a whole request to arrive, for a caller to read something of its answer, and between two requests.
# The last is longer than the 60 seconds after which most proxies close an idle connection themselves.
REQUEST_SECONDS: Final = 10
UNREAD_SECONDS: Final = 10
IDLE_SECONDS: Final = 75
# How long a refused caller that is still sending may read why it was refused.
LINGER_SECONDS: Final = 2
# Reading pauses while this many requests of one connection wait to be answered.
MAX_PIPELINED: Final = 16

# Bytes of answers that one connection may hold back until the end of a turn of the event loop.
MAX_UNSENT_BYTES: Final = 65_536

HTTP_1_1: Final = "1.1"
GET: Final = b"GET"
HOST: Final = b"host"
METHODS: Final = {b"GET": "GET", b"POST": "POST", b"HEAD": "HEAD"}
# All other headers are ignored.
KNOWN_HEADERS: Final = {
    name.encode(): name
    for name in (
        *("x-api-key", "x-request-id", "traceparent", "tracestate"),
        *("content-length", "transfer-encoding", "expect"),
    )
}
STATUS_LINES: Final = {each.value: f"HTTP/1.1 {each.value} {each.phrase}\r\n".encode() for each in HTTPStatus}
CLOSE_HEADER: Final = b"connection: close\r\n"

log = logging.getLogger("larder.lookup")


def accept(connections: Connections) -> asyncio.BaseProtocol:
    """Returns the protocol of a connection that was just accepted."""
    return cast(asyncio.BaseProtocol, HttpConnection(connections))


@final
class HttpConnection(ManagedConnection):
    """One connection. It has the methods of asyncio.Protocol, and those that httptools calls."""

    def __init__(self, connections: Connections) -> None:
        self._all = connections
        self._app = connections.app
        self._transport: Any = None
        self._parser: Any = httptools.HttpRequestParser(self)
        # The request that is being read.
        self._receiving = False
        self._in_head = True
        self._read = 0  # its bytes so far, without those that arrived together with the end of the request before it
        self._url = b""
        self._headers: dict[str, str] = {}
        self._body: list[bytes] = []
        self._bodied = False
        self._size = 0
        self._host_headers = 0
        self._ended = 0  # requests that the last data completed
        self._repeated = RepeatedRequest()
        # Requests that were read and wait, and the request that is being answered.
        self._queue: deque[Request] = deque()
        self._current: Request | None = None
        self._working = False
        self._blocked = False
        # True once nothing more will be read from this caller.
        self._ignores_input = False
        self._unsent: list[bytes] = []
        self._unsent_bytes = 0
        self._refused = False
        self._lingering = False
        self._closing = False
        self._since = connections.now
        # The bytes that the caller had not yet taken when this was last looked at.
        self._untaken = 0

    # Called by the transport.

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        self._transport = transport
        self._all.open.add(self)

    def connection_lost(self, error: Exception | None) -> None:
        self._all.open.discard(self)
        self._queue.clear()
        self._ignores_input = True
        self._transport = self._parser = None

    def data_received(self, data: bytes) -> None:
        if self._ignores_input:
            return
        begins = not self._receiving
        if begins and (target := self._repeated.target(data)):
            # The headers are those of the request before.
            self._url = target
            self._take(GET, False, None)
            return
        self._repeated.forget()
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
            # Chunks of a body may be small, and trailers may follow.
            most = MAX_HEAD_BYTES if self._in_head else 2 * MAX_HEAD_BYTES + WIRE_BYTES_PER_BODY_BYTE * self._size
            if self._receiving and (self._read > most or len(self._url) > MAX_HEAD_BYTES):
                self._refuse(self._too_long())
            elif begins and self._ended == 1 and not self._receiving and not self._bodied and not self._ignores_input:
                self._repeated.remember(data)

    def eof_received(self) -> bool:
        # A caller that closed its sending side may still wait for an answer.
        self._close_when_answered()
        return self._transport is not None and bool(self._transport.can_write_eof())

    def pause_writing(self) -> None:
        self._blocked = True
        self._since = self._all.now

    def resume_writing(self) -> None:
        self._blocked = False
        self._work()

    # Called by the parser.

    def on_message_begin(self) -> None:
        self._receiving = self._in_head = True
        self._read = self._size = self._host_headers = 0
        self._url = b""
        self._headers = {}
        self._body = []
        if not self._blocked:
            self._since = self._all.now

    def on_url(self, url: bytes) -> None:
        self._url += url

    def on_header(self, name: bytes, value: bytes) -> None:
        # A field after a chunked body is a trailer, not a header.
        name = name.lower()
        heard = KNOWN_HEADERS.get(name) if self._in_head else None
        if self._in_head and name == HOST:
            self._host_headers += 1
        if heard is not None and heard not in self._headers:
            self._headers[heard] = value.decode("utf-8", "surrogateescape")

    def on_headers_complete(self) -> None:
        self._in_head = False
        self._bodied = "transfer-encoding" in self._headers or "content-length" in self._headers
        if "transfer-encoding" in self._headers or self._headers.get("content-length", "0") != "0":
            self._expect_body()

    def on_body(self, body: bytes) -> None:
        self._size += len(body)
        if self._ignores_input:
            return
        if self._size > self._all.most_body:
            self._refuse(self._too_large())
        else:
            self._body.append(body)

    def on_message_complete(self) -> None:
        if self._ignores_input:
            return
        self._receiving, self._in_head, self._read = False, True, 0
        self._ended += 1
        newest = self._parser.get_http_version() == HTTP_1_1
        # RFC 9112, section 3.2.
        if self._host_headers > 1 or (newest and not self._host_headers):
            self._refuse(BadRequestError(400, "invalid_http", "send one Host header, as HTTP/1.1 asks"))
            return
        self._take(self._parser.get_method(), not newest or not self._parser.should_keep_alive(), None)

    # Called by this class, by Request and by Connections.

    def _parse(self, data: bytes) -> None:
        while data:
            try:
                self._parser.feed_data(data)
                return
            except httptools.HttpParserUpgrade as upgrade:
                # A caller that offers another protocol is answered in HTTP/1.1 and stays with it.
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
                CLOSE_HEADER if request.last else b"",
                len(body),
                b"" if request.method == "HEAD" else body,
            )
        )
        self._since = self._all.now
        if request.last:
            self._close()
        elif self._queue:
            self._work()

    def flush(self) -> None:
        """See ManagedConnection."""
        unsent, self._unsent, self._unsent_bytes = self._unsent, [], 0
        if self._transport is not None and unsent:
            self._transport.write(unsent[0] if len(unsent) == 1 else b"".join(unsent))

    def end(self) -> None:
        """See ManagedConnection."""
        if not self._receiving:
            self._close_when_answered()

    def abort(self) -> None:
        """See ManagedConnection."""
        if self._transport is not None:
            self._transport.abort()

    def check_timeouts(self) -> None:
        """See ManagedConnection."""
        waited = self._all.now - self._since
        if (self._closing or self._blocked) and self._takes_more():
            # A caller that reads slowly but steadily is not given up.
            self._since = self._all.now
        elif self._lingering or self._closing or self._blocked:
            if waited >= (LINGER_SECONDS if self._lingering else UNREAD_SECONDS):
                self.abort()
        elif self._current is not None or self._queue:
            pass
        elif self._receiving:
            if waited >= REQUEST_SECONDS:
                message = f"the request did not arrive within {REQUEST_SECONDS} seconds; send it again"
                self._refuse(BadRequestError(408, "request_timeout", message))
        elif waited >= IDLE_SECONDS:
            self._close()

    def _takes_more(self) -> bool:
        """Returns whether the caller took some of its answers since the last call."""
        untaken: int = self._transport.get_write_buffer_size() + unacknowledged(self._transport)
        before, self._untaken = self._untaken, untaken
        return untaken < before

    def _write(self, data: bytes) -> None:
        if not self._unsent:
            self._all.flush_later(self)
        self._unsent.append(data)
        self._unsent_bytes += len(data)
        # The transport then says when the caller reads too slowly.
        if self._unsent_bytes > MAX_UNSENT_BYTES:
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
            path_of(path),
            text,
            self._headers,
            body,
            last or self._all.ending,
            problem,
        )
        if request.last:
            self._ignores_input = True
        if self._current is None and not self._queue and not self._blocked:
            self._current = request
            self._app.take(request)
            return
        self._queue.append(request)
        if len(self._queue) == MAX_PIPELINED:
            self._transport.pause_reading()

    def _work(self) -> None:
        # A loop, not a recursion from answer to answer: thousands of short requests may have arrived at once.
        if self._working:
            return
        self._working = True
        while self._queue and self._current is None and not self._blocked:
            self._current = self._queue.popleft()
            if len(self._queue) == MAX_PIPELINED - 1 and self._transport is not None:
                self._transport.resume_reading()
            self._app.take(self._current)
        self._working = False

    def _expect_body(self) -> None:
        if self._ignores_input:
            return
        if self._parser.should_upgrade():
            # The parser would take the body for data of the new protocol.
            self._refuse(BadRequestError(400, "upgrade_with_body", "send no Upgrade header with a body"))
            return
        try:
            self._app.admit_body(path_of(self._url.partition(b"?")[0]), self._headers)
        except BadRequestError as error:
            self._refuse(error)
            return
        if content_length(self._headers.get("content-length", "0")) > self._all.most_body:
            self._refuse(self._too_large())
        elif self._headers.get("expect", "").lower() == "100-continue" and self._is_waited_for():
            self._write(b"HTTP/1.1 100 Continue\r\n\r\n")

    def _is_waited_for(self) -> bool:
        """Is the request that is being read the next to be answered?"""
        return self._current is None and not self._queue and self._parser.get_http_version() == HTTP_1_1

    def _too_long(self) -> BadRequestError:
        message = f"request line and headers have more than {MAX_HEAD_BYTES} bytes together; a batch may have more"
        if len(self._url) > MAX_HEAD_BYTES // 2:
            return BadRequestError(414, "uri_too_long", message)
        return BadRequestError(431, "headers_too_large", message)

    def _too_large(self) -> BadRequestError:
        return BadRequestError(
            413, "body_too_large", f"the body has more than {self._all.most_body} bytes; split the batch"
        )

    def _refuse(self, problem: BadRequestError) -> None:
        """Refuses the request that is being read; its rest will not be read."""
        if self._ignores_input:
            return
        self._refused = True
        self._take(self._parser.get_method(), True, problem)

    def _close_when_answered(self) -> None:
        self._ignores_input = True
        if self._queue:
            self._queue[-1].last = True
        elif self._current is not None:
            self._current.last = True
        else:
            self._close()

    def _close(self) -> None:
        self._ignores_input = True
        if self._transport is None or self._lingering or self._closing:
            return
        self._since = self._all.now
        self.flush()
        if self._refused and self._transport.can_write_eof():
            # Closing a socket with unread data resets the connection, and the caller would lose the answer too.
            self._lingering = True
            self._transport.write_eof()
        else:
            # The transport closes the socket after all written data was sent.
            self._closing = True
            self._transport.close()
