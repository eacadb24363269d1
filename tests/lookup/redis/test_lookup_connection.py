"""The connection to Redis, against scripted servers."""

from __future__ import annotations

import asyncio
import ssl
from collections.abc import Awaitable, Callable
from pathlib import Path
from typing import Any

import pytest
from certificates import Certificates

from larder.lookup.operations.metrics import Histogram
from larder.lookup.redis.address import RedisAddress, parse_address
from larder.lookup.redis.link import RedisLink
from larder.lookup.redis.redis_commands import command
from larder.lookup.redis.redis_connection import replies_to

DEADLINE = 0.05
PING = command(b"PING")

Conversation = Callable[[asyncio.StreamReader, asyncio.StreamWriter], Awaitable[None]]


async def receive(reader: asyncio.StreamReader) -> bytes:
    data = await reader.read(65536)
    if not data:
        raise ConnectionResetError
    return data


def talk(
    conversation: Conversation,
    test: Callable[[RedisLink], Awaitable[None]],
    tls: Any = None,
    url: str = "",
    greeting: bytes = b"*0\r\n",
) -> None:
    """Runs `test` with a link to a server that greets and then holds the conversation."""

    async def accept(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        try:
            assert b"HELLO" in await receive(reader)
            writer.write(greeting)
            await conversation(reader, writer)
        except ConnectionError:
            pass
        finally:
            writer.close()

    async def main() -> None:
        server = await asyncio.start_server(accept, "127.0.0.1", 0, ssl=tls)
        port = server.sockets[0].getsockname()[1]
        address = parse_address(url.format(port=port)) if url else RedisAddress("127.0.0.1", port)
        link = RedisLink(address, DEADLINE, "test")
        run = asyncio.create_task(link.run())
        try:
            await asyncio.wait_for(link.first_attempt(), 5)
            await asyncio.wait_for(test(link), 10)
        finally:
            run.cancel()
            await asyncio.gather(run, return_exceptions=True)
            server.close()

    asyncio.run(main())


async def outcome(link: RedisLink, commands: bytes = PING, count: int = 1, times: Histogram | None = None) -> Any:
    return await replies_to(link.send(commands, count, None, times))


async def echo(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
    while True:
        for _ in range((await receive(reader)).count(b"PING")):
            writer.write(b"+PONG\r\n")


def test_all_of_a_turn_leaves_in_one_write() -> None:
    reads: list[bytes] = []

    async def count_reads(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        while True:
            reads.append(await receive(reader))
            writer.write(b"+PONG\r\n" * reads[-1].count(b"PING"))

    async def test(link: RedisLink) -> None:
        sent = [link.send(PING * 2, 2) for _ in range(30)]
        for each in sent:
            assert not isinstance(each, str)
            assert await replies_to(each) == [b"PONG", b"PONG"]
        # Reads other than this one are the link's own pings.
        assert PING * 60 in reads or PING * 61 in reads

    talk(count_reads, test)


def test_replies_in_pieces_are_put_together() -> None:
    async def dribble(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        await receive(reader)
        for byte in b"$5\r\nfirst\r\n$-1\r\n":
            writer.write(bytes([byte]))
            await writer.drain()
            await asyncio.sleep(0.001)
        await asyncio.sleep(5)

    async def test(link: RedisLink) -> None:
        assert await outcome(link, PING * 2, 2) == [b"first", None]

    talk(dribble, test)


def test_silence_ends_at_the_deadline_and_then_at_once() -> None:
    async def mute(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        while True:
            await receive(reader)

    async def test(link: RedisLink) -> None:
        assert await outcome(link) == "redis_timeout"
        assert not link.up
        assert link.send(PING, 1) == "redis_timeout"
        # A peer that stays silent is left, and another connection tried.
        while link.reconnects == 0:
            await asyncio.sleep(0.01)

    talk(mute, test)


def waits(times: Histogram) -> tuple[float, float]:
    """How many, and their seconds."""
    told = times.series("t", 'route="x"')
    return told['t_count{route="x"}'], told['t_sum{route="x"}']


def test_a_wait_is_timed_from_its_write_to_its_last_reply(monkeypatch: pytest.MonkeyPatch) -> None:
    clock, has_first = [0.0], asyncio.Event()
    monkeypatch.setattr("larder.lookup.redis.redis_connection.perf_counter", lambda: clock[0])

    async def slow(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        await receive(reader)
        writer.write(b"+PONG\r\n" * 2)
        await has_first.wait()
        clock[0] += 3
        writer.write(b"+PONG\r\n")
        await echo(reader, writer)

    async def test(link: RedisLink) -> None:
        times = Histogram((1.0,))
        first, second = link.send(PING, 1, None, times), link.send(PING * 2, 2, None, times)
        # The write comes with the end of this turn: what the turn does before is no wait for Redis.
        clock[0] += 20
        assert not isinstance(first, str) and not isinstance(second, str)
        await replies_to(first)
        has_first.set()
        await replies_to(second)
        assert waits(times) == (2, 3.0)

    talk(slow, test)


async def late(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
    await receive(reader)
    await asyncio.sleep(3 * DEADLINE)
    writer.write(b"+LATE\r\n")
    await echo(reader, writer)


def test_a_wait_in_vain_is_timed_once_and_one_that_never_began_is_not() -> None:
    async def test(link: RedisLink) -> None:
        times = Histogram((1.0,))
        assert await outcome(link, times=times) == "redis_timeout"
        assert link.send(PING, 1, None, times) == "redis_timeout"
        while not link.up:
            await asyncio.sleep(0.01)
        count, seconds = waits(times)
        assert count == 1
        assert seconds > 0

    talk(late, test)


def test_late_replies_do_not_answer_later_questions() -> None:
    async def test(link: RedisLink) -> None:
        assert await outcome(link) == "redis_timeout"
        while not link.up:
            await asyncio.sleep(0.01)
        assert await outcome(link) == [b"PONG"]
        assert link.reconnects == 0

    talk(late, test)


@pytest.mark.parametrize("garbage", [b"?what\r\n", b"+PONG\r\n+PONG\r\n+NOBODY-ASKED\r\n"])
def test_a_peer_that_breaks_the_protocol_is_left(garbage: bytes) -> None:
    async def babble(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        await receive(reader)
        writer.write(garbage)
        await receive(reader)

    async def test(link: RedisLink) -> None:
        await outcome(link)
        while link.reconnects == 0:
            await asyncio.sleep(0.01)

    talk(babble, test)


def test_a_lost_connection_fails_what_waits_and_comes_back() -> None:
    connections = 0

    async def drop_first(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        nonlocal connections
        connections += 1
        if connections > 1:
            await echo(reader, writer)
        await receive(reader)

    async def test(link: RedisLink) -> None:
        assert await outcome(link) == "redis_down"
        assert link.send(PING, 1) == "redis_down"
        while not link.up:
            await asyncio.sleep(0.01)
        assert await outcome(link) == [b"PONG"]

    talk(drop_first, test)


def test_a_cancelled_request_leaves_the_others_their_replies() -> None:
    async def test(link: RedisLink) -> None:
        first, second = asyncio.ensure_future(replies_to(link.send(PING, 1))), link.send(PING, 1)
        await asyncio.sleep(0)
        first.cancel()
        assert await replies_to(second) == [b"PONG"]
        assert link.up

    talk(echo, test)


def test_a_proxy_without_hello_will_do() -> None:
    async def test(link: RedisLink) -> None:
        assert await outcome(link) == [b"PONG"]

    talk(echo, test, greeting=b"-ERR unknown command 'HELLO'\r\n")


def test_tls_with_a_certificate_of_ones_own(tmp_path: Path) -> None:
    made = Certificates(tmp_path)
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    context.load_cert_chain(made.certificate, made.key)

    async def trusted(link: RedisLink) -> None:
        assert await outcome(link) == [b"PONG"]

    async def distrusted(link: RedisLink) -> None:
        assert link.send(PING, 1) == "redis_down"
        assert "certificate" in link.problem.lower()

    talk(echo, trusted, context, f"rediss://127.0.0.1:{{port}}?ssl_ca_certs={made.authority}")
    talk(echo, trusted, context, "rediss://127.0.0.1:{port}?ssl_cert_reqs=none")
    talk(echo, distrusted, context, "rediss://127.0.0.1:{port}")
