"""A connection to Redis that reconnects by itself, with back-off."""

from __future__ import annotations

import asyncio
import logging
import random
from typing import Any, Protocol, cast

import hiredis

from larder.loaders.redis_password import PasswordError
from larder.lookup.answer.reasons import REDIS_DOWN
from larder.lookup.operations.metrics import Histogram
from larder.lookup.redis.address import RedisAddress
from larder.lookup.redis.redis_commands import command
from larder.lookup.redis.redis_connection import PendingReplies, RedisConnection, replies_to

# The sum of these, one pause and SILENCE_SECONDS is below two seconds, in which the endpoint promises to recover.
CONNECT_SECONDS = 1.0
PING_SECONDS = 1.0
FIRST_PAUSE, LONGEST_PAUSE = 0.05, 0.5

log = logging.getLogger("larder.lookup")


class Link(Protocol):
    """The interface to Redis, whether one server or a cluster; see RedisLink."""

    @property
    def up(self) -> bool: ...
    @property
    def problem(self) -> str: ...
    @property
    def reconnects(self) -> int: ...
    def send(
        self, commands: bytes, count: int, seconds: float | None = None, times: Histogram | None = None
    ) -> PendingReplies | str: ...
    async def first_attempt(self) -> None: ...
    async def run(self) -> None: ...


class RedisLink:
    """A self-reconnecting connection to one server. Run `run` as a task; `send` never waits and never raises."""

    def __init__(self, address: RedisAddress, deadline: float, name: str) -> None:
        """`deadline` is seconds from sending to the reply; `name` appears in CLIENT LIST."""
        self.address = address
        self.deadline = deadline
        self.name = name
        self._problem = "not connected yet"
        self._reconnects = 0
        self._connection: RedisConnection | None = None
        self._first_attempt = asyncio.Event()

    @property
    def up(self) -> bool:
        """Is there a connection with no overdue reply?"""
        connection = self._connection
        return connection is not None and not connection.overdue and not connection.lost.done()

    @property
    def problem(self) -> str:
        """The reason why `up` is false, or ""."""
        if self._connection is not None and self._connection.overdue:
            return f"no reply within {self.deadline:g} s"
        return self._problem

    @property
    def reconnects(self) -> int:
        """The number of connections that were lost."""
        return self._reconnects

    def send(
        self, commands: bytes, count: int, seconds: float | None = None, times: Histogram | None = None
    ) -> PendingReplies | str:
        """See RedisConnection.send. Returns the reason `redis_down` if there is no connection."""
        return self._connection.send(commands, count, seconds, times) if self._connection is not None else REDIS_DOWN

    async def first_attempt(self) -> None:
        """Waits until the first attempt to connect succeeded or failed."""
        await self._first_attempt.wait()

    async def run(self) -> None:
        """Keeps the connection up until cancelled."""
        pause = FIRST_PAUSE
        while True:
            try:
                connection = await self._connected()
            except (OSError, asyncio.TimeoutError) as error:
                self._note(str(error) or f"no connection within {CONNECT_SECONDS:g} s")
                self._first_attempt.set()
            else:
                pause = FIRST_PAUSE
                await self._use(connection)
            # Jitter keeps many workers from reconnecting in the same instant.
            await asyncio.sleep(pause * random.uniform(0.5, 1.0))
            pause = min(pause * 2, LONGEST_PAUSE)

    async def _use(self, connection: RedisConnection) -> None:
        connection.change_deadline(self.deadline)
        self._connection = connection
        log.info("%s: connected to Redis at %s", self.name, self.address)
        self._problem = ""
        self._first_attempt.set()
        try:
            while not connection.lost.done():
                await asyncio.wait([connection.lost], timeout=PING_SECONDS)
                # Detects a firewall or NAT that dropped the idle connection before a request meets it.
                connection.send(command(b"PING"), 1)
        finally:
            self._connection = None
            connection.close()
        self._reconnects += 1
        self._note(connection.lost.result())

    def _note(self, problem: str) -> None:
        if problem != self._problem:
            log.warning("%s: Redis at %s: %s", self.name, self.address, problem)
        self._problem = problem

    async def _connected(self) -> RedisConnection:
        connection = await asyncio.wait_for(self._connect(), CONNECT_SECONDS)
        try:
            await self._greet(connection)
        except BaseException:
            connection.close()
            raise
        return connection

    async def _connect(self) -> RedisConnection:
        address = self.address
        if address.socket:
            loop = asyncio.get_running_loop()
            _, made = await loop.create_unix_connection(_connection, address.socket)
            return cast(RedisConnection, made)
        host, port = await self._primary() if address.sentinels else (address.host, address.port)
        return await self._open(host, port)

    async def _open(self, host: str, port: int) -> RedisConnection:
        loop = asyncio.get_running_loop()
        _, made = await loop.create_connection(_connection, host, port, ssl=self.address.tls)
        return cast(RedisConnection, made)

    async def _primary(self) -> tuple[str, int]:
        """Returns what the first sentinel that answers calls the primary. Raises OSError."""
        problem = ""
        for host, port in self.address.sentinels:
            try:
                reply = await self._named_by(host, port)
            except (OSError, asyncio.TimeoutError) as error:
                problem = str(error) or f"sentinel {host}:{port} does not answer in time"
            else:
                if isinstance(reply, list) and len(reply) == 2:
                    return reply[0].decode(), int(reply[1])
                problem = f"sentinel {host}:{port} knows no service {self.address.service}"
        raise ConnectionError(f"no sentinel names a primary: {problem}")

    async def _named_by(self, host: str, port: int) -> Any:
        """Returns the reply of one sentinel. Raises OSError, asyncio.TimeoutError.

        Apart from the loop over sentinels, because mypyc compiles no `continue` within `try` and `finally`.
        """
        address = self.address
        connection = await asyncio.wait_for(self._open(host, port), CONNECT_SECONDS / len(address.sentinels))
        try:
            if address.sentinel_password:
                user = (address.sentinel_username.encode(),) if address.sentinel_username else ()
                await _reply(connection, command(b"AUTH", *user, address.sentinel_password.encode()))
            return await _reply(connection, command(b"SENTINEL", b"GET-MASTER-ADDR-BY-NAME", address.service.encode()))
        finally:
            connection.close()

    async def _greet(self, connection: RedisConnection) -> None:
        address = self.address
        user, password = (address.username or "default").encode(), await self._password()
        login = (b"AUTH", user, password) if password else ()
        reply = await _reply(connection, command(b"HELLO", b"2", *login, b"SETNAME", self.name.encode()))
        if isinstance(reply, hiredis.ReplyError) and "unknown command" in str(reply).lower():
            # Redis before version 6 and some proxies lack HELLO.
            user_words = (user,) if address.username else ()
            greeting = command(b"AUTH", *user_words, password) if password else command(b"PING")
            reply = await _reply(connection, greeting)
        if address.database and not isinstance(reply, hiredis.ReplyError):
            reply = await _reply(connection, command(b"SELECT", b"%d" % address.database))
        if isinstance(reply, hiredis.ReplyError):
            raise ConnectionError(str(reply))

    async def _password(self) -> bytes:
        """Returns the password of a new connection. Raises OSError."""
        if not self.address.expiring:
            return self.address.password.encode()
        try:
            return (await asyncio.to_thread(self.address.expiring.password)).encode()
        except PasswordError as error:
            raise ConnectionError(str(error)) from None


def _connection() -> asyncio.BaseProtocol:
    return cast(asyncio.BaseProtocol, RedisConnection(CONNECT_SECONDS))


async def _reply(connection: RedisConnection, words: bytes) -> Any:
    replies = await replies_to(connection.send(words, 1))
    if isinstance(replies, str):
        raise ConnectionError(f"no reply to the greeting: {replies}")
    return replies[0]
