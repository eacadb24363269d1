"""The endpoint's connection to what managed servers have: another database, expiring passwords, Sentinel, no HELLO."""

from __future__ import annotations

import asyncio
import subprocess
import time
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest
import redis
from publishing_servers import Server, free_port, stop

from larder.loaders.embedded import server_binary
from larder.loaders.redis_password import PasswordSource
from larder.lookup.redis.address import RedisAddress, parse_address
from larder.lookup.redis.link import RedisLink
from larder.lookup.redis.redis_commands import command
from larder.lookup.redis.redis_connection import replies_to

pytestmark = pytest.mark.end_to_end
SECONDS = 20.0


@pytest.fixture
def start_server(tmp_path: Path) -> Iterator[Callable[..., Server]]:
    started: list[Server] = []

    def start(*options: str) -> Server:
        started.append(Server(tmp_path / f"server{len(started)}", "--save", "", *options).start())
        return started[-1]

    yield start
    stop(started)


def got(address: RedisAddress, key: bytes = b"who") -> bytes | str:
    """What a new connection reads there, or why there is none."""

    async def ask() -> bytes | str:
        link = RedisLink(address, 5.0, "test")
        task = asyncio.create_task(link.run())
        await asyncio.wait_for(link.first_attempt(), SECONDS)
        replies = await replies_to(link.send(command(b"GET", key), 1))
        problem = link.problem
        task.cancel()
        return problem if isinstance(replies, str) else replies[0]

    return asyncio.run(ask())


def test_another_database_than_the_first(start_server: Callable[..., Server]) -> None:
    server = start_server()
    with redis.Redis(port=server.port, db=3) as client:
        client.set("who", "third")
        client.acl_setuser("reader", enabled=True, nopass=True, keys=["*"], commands=["+@read", "+select", "+hello"])
    assert got(parse_address(f"redis://reader:any@127.0.0.1:{server.port}/3")) == b"third"
    assert got(parse_address(f"redis://127.0.0.1:{server.port}/0")) is None


def test_a_password_from_a_file_is_read_for_each_connection(
    start_server: Callable[..., Server], tmp_path: Path
) -> None:
    server, file = start_server("--requirepass", "first"), tmp_path / "password"
    file.write_text("first\n")
    address = parse_address(f"redis://127.0.0.1:{server.port}", PasswordSource(file=str(file)))
    assert got(address) is None
    with redis.Redis(port=server.port, password="first") as client:
        client.config_set("requirepass", "second")
    assert "WRONGPASS" in str(got(address))
    file.write_text("second")
    assert got(address) is None
    file.unlink()
    assert "redis.password_file" in str(got(address))


def test_a_server_without_hello(start_server: Callable[..., Server]) -> None:
    server = start_server("--rename-command", "HELLO", "", "--requirepass", "word")
    assert got(parse_address(f"redis://:word@127.0.0.1:{server.port}/2")) is None


def test_the_primary_that_sentinel_names(start_server: Callable[..., Server], tmp_path: Path) -> None:
    server, port = start_server(), free_port()
    with redis.Redis(port=server.port) as client:
        client.set("who", "primary")
    settings = tmp_path / "sentinel.conf"
    settings.write_text(f"port {port}\ndir {tmp_path}\nsentinel monitor shop 127.0.0.1 {server.port} 1\n")
    process = subprocess.Popen([server_binary(), str(settings), "--sentinel"], stdout=subprocess.DEVNULL)
    try:
        url = f"redis+sentinel://127.0.0.1:{free_port()},127.0.0.1:{port}"
        end = time.monotonic() + SECONDS
        while got(parse_address(f"{url}/shop")) != b"primary":
            assert time.monotonic() < end
        assert "knows no service other" in str(got(parse_address(f"{url}/other")))
    finally:
        process.kill()
        process.wait()
