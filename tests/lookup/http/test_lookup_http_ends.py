"""How connections end: refused, late, unread, idle, or with the endpoint."""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable
from time import perf_counter

import pytest
from http_talk import GET, Caller, Echo, later, talk

from larder.lookup.http.http_connection import (
    IDLE_SECONDS,
    LINGER_SECONDS,
    MAX_HEAD_BYTES,
    REQUEST_SECONDS,
    UNREAD_SECONDS,
)
from larder.lookup.http.request import Request


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
        picked: list[Request] = []
        take = echo.take
        echo.connections.app = echo
        echo.take = lambda request: (picked.append(request), take(request))[1]  # type: ignore[method-assign]
        caller.send(sent)
        await caller.answer()
        assert await caller.is_ended()
        assert len(picked) == 1

    talk(test)


def test_trailers_are_bounded_and_no_headers() -> None:
    async def test(echo: Echo, call: Callable[[], Awaitable[Caller]]) -> None:
        caller, greedy = await call(), await call()
        begun = b"POST /x HTTP/1.1\r\nHost: x\r\nTransfer-Encoding: chunked\r\n\r\n2\r\nok\r\n0\r\n"
        caller.send(begun + b"X-API-Key: key\r\n\r\n")
        assert await caller.said() == ["POST", "/x", "", {"transfer-encoding": "chunked"}, "ok"]
        greedy.send(begun + b"X: " + b"x" * 9 * MAX_HEAD_BYTES)
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
        connection.check_timeouts()
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
        connection.check_timeouts()
        await asyncio.sleep(0.01)
        assert not echo.connections.open

    talk(test)


@pytest.mark.parametrize("begun", [b"GET /x HT", b"POST /x HTTP/1.1\r\nHost: x\r\nContent-Length: 9\r\n\r\n1234"])
def test_a_request_that_does_not_end_is_told_in_time(begun: bytes) -> None:
    async def test(echo: Echo, call: Callable[[], Awaitable[Caller]]) -> None:
        caller = await call()
        caller.send(begun)
        await asyncio.sleep(0.05)
        [connection] = echo.connections.open
        echo.connections.now += REQUEST_SECONDS - 1
        connection.check_timeouts()
        echo.connections.now += 1
        connection.check_timeouts()
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
            connection.check_timeouts()
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
        connection.check_timeouts()
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


@pytest.mark.parametrize("last", [False, True])
def test_a_caller_that_reads_slowly_but_steadily_gets_all(last: bool) -> None:
    """The clock is put forward by nearly the limit between two reads, many times as much as the limit together."""
    size = 12_000_000

    async def test(echo: Echo, call: Callable[[], Awaitable[Caller]]) -> None:
        caller = await call()
        caller.send(b"GET /later HTTP/1.1\r\nHost: x\r\n" + (b"Connection: close\r\n" if last else b"") + b"\r\n")
        await later(echo, 1)
        echo.later[0].respond(200, b"", b"x" * size)
        _, headers = await caller.head()
        left = int(headers["content-length"])
        while left:
            left -= len(await caller.reader.readexactly(min(left, 1_000_000)))
            await asyncio.sleep(0.01)
            for connection in list(echo.connections.open):
                echo.connections.now += UNREAD_SECONDS - 1
                connection.check_timeouts()
        assert left == 0

    talk(test)


def test_the_clock_of_a_request_begins_before_it_waits_for_others() -> None:
    async def test(echo: Echo, call: Callable[[], Awaitable[Caller]]) -> None:
        caller = await call()
        caller.send((GET % b"later") * 2)
        await later(echo, 1)
        await asyncio.sleep(0.02)
        before = perf_counter()
        echo.answer(echo.later[0])
        await later(echo, 2)
        assert echo.later[1].arrived < before

    talk(test)


@pytest.mark.parametrize("length", [b"0" * 5000 + b"2", b"2 ", b" 2\t", b"00", b"0" * 5000])
def test_lengths_as_callers_may_write_them(length: bytes) -> None:
    async def test(echo: Echo, call: Callable[[], Awaitable[Caller]]) -> None:
        caller = await call()
        body = b"ok" if b"2" in length else b""
        caller.send(b"POST /x HTTP/1.1\r\nHost: x\r\nContent-Length: " + length + b"\r\n\r\n" + body)
        assert (await caller.said())[4] == body.decode()

    talk(test)
