"""HTTP on real connections, before an application that answers when it is told to."""

from __future__ import annotations

import asyncio
import json
from collections.abc import Awaitable, Callable, Mapping

import pytest

from lookup.connections import Connections
from lookup.http import (
    IDLE_SECONDS,
    LINGER_SECONDS,
    MOST_HEAD,
    MOST_PIPELINED,
    REQUEST_SECONDS,
    UNREAD_SECONDS,
    Request,
)
from lookup.refusals import BadRequestError

MOST_BODY = 1000
GET = b"GET /%b HTTP/1.1\r\nHost: x\r\n\r\n"


class Echo:
    """Says what it was asked; of paths that begin with `later`, only when told."""

    def __init__(self) -> None:
        self.later: list[Request] = []
        self.connections = Connections(self, MOST_BODY)

    def take(self, request: Request) -> None:
        if request.path.startswith("/later"):
            self.later.append(request)
        else:
            self.answer(request)

    def answer(self, request: Request) -> None:
        if request.problem is not None:
            request.respond(request.problem.status, b"", request.problem.code.encode())
        else:
            said = [request.method, request.path, request.query, request.headers, request.body.decode()]
            request.respond(200, b"x-said: yes\r\n", json.dumps(said).encode())

    def admit_body(self, path: str, headers: Mapping[str, str]) -> None:
        if path == "/closed":
            raise BadRequestError(401, "unauthorised", "no")


class Caller:
    """A connection to it."""

    def __init__(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        self.reader = reader
        self.writer = writer

    def send(self, data: bytes) -> None:
        self.writer.write(data)

    async def head(self) -> tuple[int, dict[str, str]]:
        lines = (await self.reader.readuntil(b"\r\n\r\n")).decode().split("\r\n")
        headers = dict(line.split(": ", 1) for line in lines[1:] if line)
        return int(lines[0].split()[1]), headers

    async def answer(self) -> tuple[int, str]:
        status, headers = await self.head()
        return status, (await self.reader.readexactly(int(headers["content-length"]))).decode()

    async def said(self) -> list[object]:
        status, body = await self.answer()
        assert status == 200, body
        found: list[object] = json.loads(body)
        return found

    async def is_ended(self) -> bool:
        return await self.reader.read() == b""


Talk = Callable[[Echo, Callable[[], Awaitable[Caller]]], Awaitable[None]]


def talk(test: Talk) -> None:
    async def main() -> None:
        echo, callers = Echo(), []
        server = await asyncio.get_running_loop().create_server(echo.connections.connect, "127.0.0.1", 0)

        async def call() -> Caller:
            callers.append(Caller(*await asyncio.open_connection(*server.sockets[0].getsockname())))
            return callers[-1]

        try:
            await asyncio.wait_for(test(echo, call), 20)
        finally:
            for caller in callers:
                caller.writer.close()
            server.close()
            await echo.connections.end(0)

    asyncio.run(main())


async def later(echo: Echo, count: int) -> None:
    while len(echo.later) < count:
        await asyncio.sleep(0.001)


def test_a_request_is_taken_as_it_was_sent() -> None:
    async def test(echo: Echo, call: Callable[[], Awaitable[Caller]]) -> None:
        caller = await call()
        whole = (
            b"POST /a%20b?q=%20x HTTP/1.1\r\nHost: x\r\nX-API-KEY: key\r\nX-Api-Key: other\r\nAccept: */*\r\n"
            b"Content-Length: 5\r\n\r\nhello"
        )
        for byte in whole:
            caller.send(bytes([byte]))
            await caller.writer.drain()
        assert await caller.said() == ["POST", "/a b", "q=%20x", {"x-api-key": "key", "content-length": "5"}, "hello"]
        caller.send(
            b"PUT http://host:1/y?z HTTP/1.1\r\nHost: x\r\nTransfer-Encoding: chunked\r\n\r\n"
            b"3\r\nabc\r\n2\r\nde\r\n0\r\n\r\n"
        )
        assert await caller.said() == ["PUT", "/y", "z", {"transfer-encoding": "chunked"}, "abcde"]

    talk(test)


def test_answers_leave_in_the_order_of_their_requests() -> None:
    async def test(echo: Echo, call: Callable[[], Awaitable[Caller]]) -> None:
        caller = await call()
        many = 3 * MOST_PIPELINED
        caller.send(b"".join(GET % (b"later1" if number == 1 else b"%d" % number) for number in range(many)))
        assert (await caller.said())[1] == "/0"
        await later(echo, 1)
        echo.answer(echo.later[0])
        assert [(await caller.said())[1] for _ in range(many - 1)] == ["/later1", *(f"/{n}" for n in range(2, many))]
        caller.send(GET % b"after")
        assert (await caller.said())[1] == "/after"

    talk(test)


def test_thousands_of_requests_at_once() -> None:
    async def test(echo: Echo, call: Callable[[], Awaitable[Caller]]) -> None:
        caller = await call()
        caller.send(GET % b"later" + GET % b"x" * 5000)
        await later(echo, 1)
        echo.answer(echo.later[0])
        assert [(await caller.said())[1] for _ in range(5001)] == ["/later"] + ["/x"] * 5000

    talk(test)


@pytest.mark.parametrize(
    ("request_line", "stays"),
    [
        (b"GET / HTTP/1.1\r\n", True),
        (b"GET / HTTP/1.1\r\nConnection: close\r\n", False),
        (b"GET / HTTP/1.0\r\n", False),
        (b"GET / HTTP/1.0\r\nConnection: keep-alive\r\n", False),
    ],
)
def test_a_connection_stays_as_long_as_its_caller_wants(request_line: bytes, stays: bool) -> None:
    async def test(echo: Echo, call: Callable[[], Awaitable[Caller]]) -> None:
        caller = await call()
        caller.send(request_line + b"Host: x\r\n\r\n")
        status, headers = await caller.head()
        assert (status, headers["x-said"]) == (200, "yes")
        assert headers["date"].endswith("GMT")
        await caller.reader.readexactly(int(headers["content-length"]))
        assert headers.get("connection") == (None if stays else "close")
        if stays:
            caller.send(GET % b"again")
            assert (await caller.said())[1] == "/again"
        else:
            assert await caller.is_ended()

    talk(test)


def test_head_has_no_body() -> None:
    async def test(echo: Echo, call: Callable[[], Awaitable[Caller]]) -> None:
        caller = await call()
        caller.send(b"HEAD /x HTTP/1.1\r\nHost: x\r\n\r\n" + GET % b"y")
        status, headers = await caller.head()
        assert (status, int(headers["content-length"]) > 0) == (200, True)
        assert (await caller.said())[1] == "/y"

    talk(test)


@pytest.mark.parametrize(
    ("sent", "status", "code"),
    [
        (b"hello\r\n\r\n", 400, "invalid_http"),
        (b"GET / HTTP/1.1\r\nHost: x\r\nContent-Length: 1\r\nTransfer-Encoding: chunked\r\n\r\n", 400, "invalid_http"),
        (b"GET /?q=\xff HTTP/1.1\r\nHost: x\r\n\r\n", 400, None),
        (b"GET /" + b"x" * 2 * MOST_HEAD, 414, "uri_too_long"),
        (b"GET / HTTP/1.1\r\nX: " + b"x" * 2 * MOST_HEAD, 431, "headers_too_large"),
        (b"GET / HTTP/1.1\r\n" + b"X: x\r\n" * MOST_HEAD, 431, "headers_too_large"),
        (b"POST / HTTP/1.1\r\nHost: x\r\nContent-Length: 1001\r\n\r\n" + b"x" * 1001, 413, "body_too_large"),
        (b"POST / HTTP/1.1\r\nHost: x\r\nContent-Length: 99999999999\r\n\r\n", 413, "body_too_large"),
        (
            b"POST / HTTP/1.1\r\nHost: x\r\nTransfer-Encoding: chunked\r\n\r\n" + b"64\r\n" + b"x" * 100 + b"\r\n",
            None,
            None,
        ),
        (
            b"POST / HTTP/1.1\r\nHost: x\r\nTransfer-Encoding: chunked\r\n\r\n"
            + 11 * (b"64\r\n" + b"x" * 100 + b"\r\n"),
            413,
            "body_too_large",
        ),
        (b"POST /closed HTTP/1.1\r\nHost: x\r\nContent-Length: 10\r\n\r\n", 401, "unauthorised"),
        (
            b"POST / HTTP/1.1\r\nHost: x\r\nConnection: Upgrade\r\nUpgrade: h2c\r\nContent-Length: 2\r\n\r\n{}",
            400,
            "upgrade_with_body",
        ),
    ],
)
def test_what_cannot_be_answered_is_told_and_the_connection_ends(
    sent: bytes, status: int | None, code: str | None
) -> None:
    async def test(echo: Echo, call: Callable[[], Awaitable[Caller]]) -> None:
        caller = await call()
        caller.send(GET % b"before")
        assert (await caller.said())[1] == "/before"
        caller.send(sent)
        if status is None:
            caller.send(b"0\r\n\r\n")
            assert (await caller.said())[-1] == "x" * 100
            return
        found = await caller.answer()
        assert found[0] == status
        assert code is None or found[1] == code
        if code is not None:
            assert await caller.is_ended()

    talk(test)


@pytest.mark.parametrize(
    "sent",
    [
        b"POST /closed HTTP/1.1\r\nHost: x\r\nTransfer-Encoding: chunked\r\n\r\nZZ\r\n",
        b"GET /closed HTTP/1.1\r\nHost: x\r\nConnection: close\r\n\r\nGET /more HTTP/1.1\r\n\r\n",
        b"POST / HTTP/1.1\r\nHost: x\r\nConnection: Upgrade\r\nUpgrade: h2c\r\nContent-Length: 2\r\n\r\n{}",
    ],
)
def test_a_connection_ends_once(sent: bytes) -> None:
    async def test(echo: Echo, call: Callable[[], Awaitable[Caller]]) -> None:
        caller = await call()
        taken: list[Request] = []
        take = echo.take
        echo.connections.app = echo
        echo.take = lambda request: (taken.append(request), take(request))[1]  # type: ignore[method-assign]
        caller.send(sent)
        await caller.answer()
        assert await caller.is_ended()
        assert len(taken) == 1

    talk(test)


def test_trailers_are_bounded_and_no_headers() -> None:
    async def test(echo: Echo, call: Callable[[], Awaitable[Caller]]) -> None:
        caller, greedy = await call(), await call()
        begun = b"POST /x HTTP/1.1\r\nHost: x\r\nTransfer-Encoding: chunked\r\n\r\n2\r\nok\r\n0\r\n"
        caller.send(begun + b"X-API-Key: key\r\n\r\n")
        assert await caller.said() == ["POST", "/x", "", {"transfer-encoding": "chunked"}, "ok"]
        greedy.send(begun + b"X: " + b"x" * 9 * MOST_HEAD)
        assert await greedy.answer() == (431, "headers_too_large")

    talk(test)


def test_what_a_caller_does_not_read_of_its_last_answer_does_not_keep_the_connection() -> None:
    async def test(echo: Echo, call: Callable[[], Awaitable[Caller]]) -> None:
        caller = await call()
        caller.send(b"GET /later HTTP/1.1\r\nHost: x\r\nConnection: close\r\n\r\n")
        await later(echo, 1)
        caller.writer.transport.pause_reading()  # type: ignore[attr-defined]
        echo.later[0].respond(200, b"", b"x" * 20_000_000)
        [connection] = echo.connections.open
        echo.connections.now += UNREAD_SECONDS
        connection.look()
        await asyncio.sleep(0.05)
        assert not echo.connections.open

    talk(test)


def test_the_refusal_can_be_read_while_more_is_sent() -> None:
    async def test(echo: Echo, call: Callable[[], Awaitable[Caller]]) -> None:
        caller = await call()
        caller.send(b"POST / HTTP/1.1\r\nHost: x\r\nContent-Length: 9000000\r\n\r\n")
        for _ in range(20):
            caller.send(b"x" * 100_000)
        assert await caller.answer() == (413, "body_too_large")
        [connection] = echo.connections.open
        echo.connections.now += LINGER_SECONDS
        connection.look()
        await asyncio.sleep(0.01)
        assert not echo.connections.open

    talk(test)


def test_a_caller_that_waits_for_leave_gets_it() -> None:
    async def test(echo: Echo, call: Callable[[], Awaitable[Caller]]) -> None:
        caller = await call()
        caller.send(b"POST /x HTTP/1.1\r\nHost: x\r\nContent-Length: 2\r\nExpect: 100-continue\r\n\r\n")
        assert await caller.reader.readuntil(b"\r\n\r\n") == b"HTTP/1.1 100 Continue\r\n\r\n"
        caller.send(b"ok")
        assert (await caller.said())[-1] == "ok"

    talk(test)


def test_another_protocol_is_not_taken_up() -> None:
    async def test(echo: Echo, call: Callable[[], Awaitable[Caller]]) -> None:
        caller = await call()
        offer = b"GET /%d HTTP/1.1\r\nHost: x\r\nConnection: Upgrade, HTTP2-Settings\r\nUpgrade: h2c\r\n\r\n"
        caller.send(offer % 1 + offer % 2)
        caller.send(GET % b"3")
        assert [(await caller.said())[1] for _ in range(3)] == ["/1", "/2", "/3"]

    talk(test)


@pytest.mark.parametrize("begun", [b"GET /x HT", b"POST /x HTTP/1.1\r\nHost: x\r\nContent-Length: 9\r\n\r\n1234"])
def test_a_request_that_does_not_end_is_told_in_time(begun: bytes) -> None:
    async def test(echo: Echo, call: Callable[[], Awaitable[Caller]]) -> None:
        caller = await call()
        caller.send(begun)
        await asyncio.sleep(0.05)
        [connection] = echo.connections.open
        echo.connections.now += REQUEST_SECONDS - 1
        connection.look()
        echo.connections.now += 1
        connection.look()
        assert await caller.answer() == (408, "request_timeout")
        assert await caller.is_ended()

    talk(test)


def test_an_idle_connection_ends_and_one_that_waits_for_an_answer_does_not() -> None:
    async def test(echo: Echo, call: Callable[[], Awaitable[Caller]]) -> None:
        idle, waiting = await call(), await call()
        idle.send(GET % b"x")
        assert (await idle.said())[1] == "/x"
        waiting.send(GET % b"later")
        await later(echo, 1)
        echo.connections.now += IDLE_SECONDS
        for connection in list(echo.connections.open):
            connection.look()
        assert await idle.is_ended()
        echo.answer(echo.later[0])
        assert (await waiting.said())[1] == "/later"

    talk(test)


def test_a_caller_that_does_not_read_is_given_up() -> None:
    async def test(echo: Echo, call: Callable[[], Awaitable[Caller]]) -> None:
        caller = await call()
        caller.send((GET % b"later") * 2)
        await later(echo, 1)
        caller.writer.transport.pause_reading()  # type: ignore[attr-defined]
        echo.later[0].respond(200, b"", b"x" * 20_000_000)
        [connection] = echo.connections.open
        await asyncio.sleep(0.05)
        # The second waits until the first has left.
        assert len(echo.later) == 1
        echo.connections.now += REQUEST_SECONDS
        connection.look()
        await asyncio.sleep(0.05)
        assert not echo.connections.open

    talk(test)


def test_whoever_stops_sending_is_still_answered() -> None:
    async def test(echo: Echo, call: Callable[[], Awaitable[Caller]]) -> None:
        caller = await call()
        caller.send(GET % b"later")
        caller.writer.write_eof()
        await later(echo, 1)
        await asyncio.sleep(0.02)
        echo.answer(echo.later[0])
        assert (await caller.said())[1] == "/later"
        assert await caller.is_ended()

    talk(test)


def test_the_end_waits_for_answers() -> None:
    async def test(echo: Echo, call: Callable[[], Awaitable[Caller]]) -> None:
        idle, waiting = await call(), await call()
        idle.send(GET % b"x")
        assert (await idle.said())[1] == "/x"
        waiting.send(GET % b"later")
        await later(echo, 1)
        end = asyncio.ensure_future(echo.connections.end(5))
        assert await idle.is_ended()
        assert not end.done()
        echo.answer(echo.later[0])
        assert (await waiting.said())[1] == "/later"
        assert await waiting.is_ended()
        await end

    talk(test)


def test_an_answer_to_nobody_is_let_go() -> None:
    async def test(echo: Echo, call: Callable[[], Awaitable[Caller]]) -> None:
        caller = await call()
        caller.send(GET % b"later")
        await later(echo, 1)
        caller.writer.transport.abort()
        await asyncio.sleep(0.02)
        echo.answer(echo.later[0])
        while echo.connections.open:
            await asyncio.sleep(0.001)

    talk(test)
