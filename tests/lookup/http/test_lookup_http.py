"""HTTP on real connections: requests as they come, answers as they leave, and what is no request."""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable

import pytest
from http_talk import GET, Caller, Echo, later, talk

from larder.lookup.http.http_connection import MAX_HEAD_BYTES, MAX_PIPELINED


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
        many = 3 * MAX_PIPELINED
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
        (b"GET /" + b"x" * 2 * MAX_HEAD_BYTES, 414, "uri_too_long"),
        (b"GET / HTTP/1.1\r\nX: " + b"x" * 2 * MAX_HEAD_BYTES, 431, "headers_too_large"),
        (b"GET / HTTP/1.1\r\n" + b"X: x\r\n" * MAX_HEAD_BYTES, 431, "headers_too_large"),
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


LINES = b"Host: x\r\nX-Api-Key: key\r\nX-Request-Id: %b\r\n\r\n"
QUESTIONS = [b"/a?q=1", b"/b?q=k%C3%A4se", b"/b", b"/?", b"/c#d", b"/a//b?x=y?z"]


def test_requests_that_are_alike_but_for_their_target_are_all_answered_as_the_first() -> None:
    async def test(echo: Echo, call: Callable[[], Awaitable[Caller]]) -> None:
        caller = await call()
        for url in QUESTIONS:
            first, alike = await call(), caller
            found = []
            for each in (first, alike):
                each.send(b"GET %b HTTP/1.1\r\n" % url + LINES % b"1")
                found.append(await each.said())
            assert found[0] == found[1]

    talk(test)


@pytest.mark.parametrize("cut", [1, 3, 4, 20, 40, 60])
def test_requests_that_are_alike_may_come_in_pieces(cut: int) -> None:
    async def test(echo: Echo, call: Callable[[], Awaitable[Caller]]) -> None:
        caller = await call()
        for number in range(4):
            asked = b"GET /%d HTTP/1.1\r\n" % number + LINES % b"1"
            for piece in (asked[:cut], asked[cut:]) if number % 2 else (asked,):
                caller.send(piece)
                await asyncio.sleep(0.01)
            assert (await caller.said())[1] == f"/{number}"

    talk(test)


@pytest.mark.parametrize(
    ("hosts", "version", "status"),
    [(0, "1.1", 400), (1, "1.1", 200), (2, "1.1", 400), (0, "1.0", 200), (1, "1.0", 200), (2, "1.0", 400)],
)
def test_a_request_names_its_host_once(hosts: int, version: str, status: int) -> None:
    async def test(echo: Echo, call: Callable[[], Awaitable[Caller]]) -> None:
        asked = f"GET /x HTTP/{version}\r\n".encode() + b"HOST: x\r\n" * hosts + b"\r\n"
        for _ in range(2):
            caller = await call()
            caller.send(asked)
            answer = await caller.answer()
            assert answer[0] == status
            if status == 400:
                assert answer[1] == "invalid_http"
            if status == 400 or version == "1.0":
                assert await caller.is_ended()

    talk(test)
