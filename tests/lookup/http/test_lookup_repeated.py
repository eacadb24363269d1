"""Requests that are like the one before on their connection: answered as if each were parsed."""

from __future__ import annotations

import asyncio
from collections.abc import Mapping, Sequence
from typing import Any, NamedTuple

import pytest
from hypothesis import example, given
from hypothesis import strategies as st

from larder.lookup.http import http_connection
from larder.lookup.http.connections import Connections
from larder.lookup.http.http_connection import HttpConnection
from larder.lookup.http.http_errors import BadRequestError
from larder.lookup.http.repeated_request import MAX_REMEMBERED_BYTES, RepeatedRequest
from larder.lookup.http.request import Request

LINES = b" HTTP/1.1\r\nHost: x\r\nX-Api-Key: key\r\n\r\n"
A, B = b"GET /a?q=1" + LINES, b"GET /b" + LINES
OTHER = b"GET /o HTTP/1.1\r\nHost: x\r\nX-Api-Key: other\r\n\r\n"


class Heard(NamedTuple):
    """What came of some chunks, and how many requests were taken as alike."""

    requests: list[tuple[object, ...]]
    sent: bytes
    ended: list[str]
    state: tuple[object, ...]
    alike: int


class App:
    def __init__(self) -> None:
        self.requests: list[tuple[object, ...]] = []

    def take(self, request: Request) -> None:
        code = request.problem and request.problem.code
        said = (request.method, request.path, request.query, dict(request.headers), request.body, request.last, code)
        self.requests.append(said)
        request.respond(200, b"", b"x")

    def admit_body(self, path: str, headers: Mapping[str, str]) -> None:
        if path == "/closed":
            raise BadRequestError(401, "unauthorised", "no")


class Transport:
    def __init__(self) -> None:
        self.sent = b""
        self.ended: list[str] = []

    def write(self, data: bytes) -> None:
        self.sent += data

    def can_write_eof(self) -> bool:
        return True

    def __getattr__(self, name: str) -> Any:
        return lambda: self.ended.append(name)


class Noticing:
    """A RepeatedRequest that counts, or one that knows nothing."""

    def __init__(self, knows: bool) -> None:
        self.knows = knows
        self.found = 0
        self.alike = RepeatedRequest()
        self.remember, self.forget = self.alike.remember, self.alike.forget

    def target(self, data: bytes) -> bytes:
        found = self.alike.target(data) if self.knows else b""
        self.found += bool(found)
        return found


def heard(chunks: Sequence[bytes], knows: bool = True, ending: int = -1) -> Heard:
    """What a connection makes of chunks; before one of them the endpoint begins to end."""

    async def main() -> Heard:
        app, transport, noticing = App(), Transport(), Noticing(knows)
        connections = Connections(app, 1000)
        connections.date = b"date: d\r\n"
        with pytest.MonkeyPatch.context() as patch:
            patch.setattr(http_connection, "RepeatedRequest", lambda: noticing)
            connection = HttpConnection(connections)
        connection.connection_made(transport)  # type: ignore[arg-type]
        for number, chunk in enumerate(chunks):
            connections.now += 1
            connections.ending = connections.ending or number == ending
            connection.data_received(chunk)
            connections._flush()
        state = (connection._ignores_input, connection._receiving, connection._since)
        return Heard(app.requests, transport.sent, transport.ended, state, noticing.found)

    return asyncio.run(main())


def test_what_differs_in_its_target_alone_is_not_parsed() -> None:
    found = heard([A, B, A, OTHER, b"GET /c?%41#d" + OTHER[6:], A])
    assert found.alike == 3
    assert [request[1] for request in found.requests] == ["/a", "/b", "/a", "/o", "/c", "/a"]
    assert [request[3] for request in found.requests] == [
        {"x-api-key": each} for each in ("key",) * 3 + ("other",) * 2 + ("key",)
    ]


@pytest.mark.parametrize(
    "chunks",
    [
        # Two in one piece, of which both, one or neither is sound: never one of a longer head.
        [A + B, A + B],
        [A, OTHER + B, A],
        [b"GET /1 HTTP/1.1\r\n\r\n" + A] * 2,
        [A + b"GET /1 HTTP/1.1\r\n\r\n"] * 2,
        # Without a host, and an upgrade.
        [b"GET /1 HTTP/1.1\r\nUpgrade: h2c\r\nConnection: Upgrade\r\n\r\n"] * 2,
        # The version stands in a header, and another protocol's in the request line.
        [b"GET /x RTSP/1.1\r\nX-Api-Key: secret\r\nX: k" + LINES, b"GET /y" + LINES],
        [b"GET /x HTTP/1.1\nX-Api-Key: secret\r\nX: k" + LINES, b"GET /y" + LINES],
        [b"GET /x HTTP/1.1\r\nX: k" + LINES, b"GET /y" + LINES],
        # Whole requests in the midst of another one.
        [A, b"GET /x HTTP/1.1\r\nX: ", B, B],
        [b"GET /x HTTP/1.1\r\nX-Api-Key: other\r\nX: ", B, B],
        [A, b"POST /x HTTP/1.1\r\nHost: x\r\nContent-Length: %d\r\n\r\n" % len(B), B, B],
        # Bodies, of which the second request has another one.
        [b"GET /x HTTP/1.1\r\nHost: x\r\nContent-Length: 2\r\n\r\n{}"] * 3,
        [b"GET /x HTTP/1.1\r\nHost: x\r\nTransfer-Encoding: chunked\r\n\r\n0\r\n\r\n"] * 3,
        [b"GET /x HTTP/1.1\r\nHost: x\r\nConnection: close\r\n\r\n"] * 2,
        [b"GET /x HTTP/1.0\r\n\r\n"] * 2,
        [b"HEAD /x" + LINES, b"GET /x" + LINES, b"HEAD /x" + LINES],
        [
            b"GET /%b HTTP/1.1\r\nHost: x\r\nTransfer-Encoding: chunked\r\n\r\n0\r\n\r\n" % path
            for path in (b"x", b"closed")
        ],
        [A, b"PUT /x" + LINES],
        [A, b"GET x" + LINES],
        [A, b"GET  /x" + LINES],
        [A, b"GET /x\xff" + LINES],
        [A, b"GET" + LINES],
    ],
)
def test_it_is_all_the_same_whether_it_is_parsed(chunks: list[bytes]) -> None:
    assert heard(chunks)[:-1] == heard(chunks, knows=False)[:-1]


hosts = st.sampled_from([b"Host: x\r\n"] * 4 + [b"", b"Host: x\r\nHost: y\r\n"])
MORE = [
    b"X-Api-Key: key",
    b"X: k HTTP/1.1",
    b"Connection: close",
    b"Upgrade: h2c\r\nConnection: Upgrade",
    b"A:",
    b" fold",
]
MORE += [b"Content-Length: 0", b"Content-Length: 2", b"Transfer-Encoding: chunked", b"Expect: 100-continue", b"A : b"]
lines = st.builds(
    lambda host, more: host + b"".join(each + b"\r\n" for each in more),
    hosts,
    st.lists(st.sampled_from(MORE), max_size=2),
)
targets = st.sampled_from(
    [b"/a", b"/b?x=1", b"/c#d", b"/?", b"//x", b"http://h/p", b"*", b"a", b"/a b", b"/\x80", b"/%zz", b""]
)
methods = st.sampled_from([b"GET"] * 6 + [b"HEAD", b"POST", b"get", b"CONNECT"])
versions = st.sampled_from([b"HTTP/1.1"] * 8 + [b"HTTP/1.0", b"RTSP/1.1", b"HTTP/2.0"])


@st.composite
def talks(draw: st.DrawFn) -> list[bytes]:
    """Requests that mostly have the same headers, whole, together or in pieces."""
    usual = draw(lines)
    chunks: list[bytes] = []
    for _ in range(draw(st.integers(2, 5))):
        of_this = usual if draw(st.integers(0, 3)) else draw(lines)
        start = b"%b %b %b\r\n" % (draw(methods), draw(targets), draw(versions))
        request = start + of_this + b"\r\n" + draw(st.sampled_from([b""] * 6 + [b"{}", b"0\r\n\r\n"]))
        kind = draw(st.integers(0, 9))
        if kind == 0:
            cut = draw(st.integers(1, len(request) - 1))
            chunks += [request[:cut], request[cut:]]
        elif kind == 1 and chunks:
            chunks[-1] += request
        elif kind == 2 and chunks:
            chunks.append(draw(st.sampled_from(chunks)))
        else:
            chunks.append(request)
    return chunks


@given(talks(), st.integers(-1, 4))
@example([A, A, A], 1)
def test_any_talk_is_all_the_same_whether_it_is_parsed(chunks: list[bytes], ending: int) -> None:
    assert heard(chunks, True, ending)[:-1] == heard(chunks, False, ending)[:-1]


def test_long_heads_are_not_remembered() -> None:
    head = b" HTTP/1.1\r\nHost: x\r\nX: \r\n\r\n"
    for size, alike in ((MAX_REMEMBERED_BYTES, 1), (MAX_REMEMBERED_BYTES + 1, 0)):
        head = head[:-4] + b"x" * (size - len(head)) + b"\r\n\r\n"
        assert len(head) == size
        assert heard([b"GET /a" + head, b"GET /b" + head]).alike == alike


def test_one_connection_that_cannot_send_keeps_no_other_from_it() -> None:
    class Broken(Transport):
        def write(self, data: bytes) -> None:
            raise RuntimeError("the handle is closed")

    async def main() -> None:
        connections = Connections(App(), 1000)
        transports = [Transport(), Broken(), Transport()]
        each = [HttpConnection(connections) for _ in transports]
        for connection, transport in zip(each, transports, strict=True):
            connection.connection_made(transport)  # type: ignore[arg-type]
            connection.data_received(A)
        connections._flush()
        assert [bool(transport.sent) for transport in transports] == [True, False, True]
        assert transports[1].ended == ["abort"]

    asyncio.run(main())
