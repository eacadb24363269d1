"""A link that finds out by itself whether its server belongs to a Redis Cluster."""

from __future__ import annotations

import asyncio
import logging

from larder.lookup.operations.metrics import Histogram
from larder.lookup.redis.address import RedisAddress
from larder.lookup.redis.link import Link, RedisLink
from larder.lookup.redis.redis_cluster import ClusterLink
from larder.lookup.redis.redis_commands import command
from larder.lookup.redis.redis_connection import PendingReplies, replies_to

# The pause between two attempts to ask a server that did not reply.
PAUSE_SECONDS = 0.2

log = logging.getLogger("larder.lookup")


class DetectedLink:
    """A link to one server, which is replaced by links to the whole cluster if the server belongs to one."""

    def __init__(self, address: RedisAddress, deadline: float, name: str) -> None:
        """See RedisLink."""
        self._address = address
        self._deadline = deadline
        self._name = name
        self._link: Link = RedisLink(address, deadline, name)
        self._first_attempt = asyncio.Event()

    @property
    def up(self) -> bool:
        """See RedisLink, or ClusterLink."""
        return self._link.up

    @property
    def problem(self) -> str:
        """The reason why `up` is false, or ""."""
        return self._link.problem

    @property
    def reconnects(self) -> int:
        """The number of connections that were lost."""
        return self._link.reconnects

    def send(
        self, commands: bytes, count: int, seconds: float | None = None, times: Histogram | None = None
    ) -> PendingReplies | str:
        """See RedisConnection.send."""
        return self._link.send(commands, count, seconds, times)

    async def first_attempt(self) -> None:
        """Waits until the server said whether it belongs to a cluster, or could not be reached."""
        await self._first_attempt.wait()

    async def run(self) -> None:
        """Keeps the connections up until cancelled."""
        running = asyncio.create_task(self._link.run())
        try:
            await self._link.first_attempt()
            while (is_cluster := await self._is_cluster()) is None:
                self._first_attempt.set()
                if running.done():
                    await running
                await asyncio.sleep(PAUSE_SECONDS)
            if is_cluster:
                running.cancel()
                log.info("%s: the server at %s belongs to a cluster", self._name, self._address)
                self._link = ClusterLink(self._address, self._deadline, self._name)
                running = asyncio.create_task(self._link.run())
                await self._link.first_attempt()
            self._first_attempt.set()
            await running
        finally:
            running.cancel()

    async def _is_cluster(self) -> bool | None:
        """Returns whether the server has slots, or None if it does not reply. An error counts as none."""
        replies = await replies_to(self._link.send(command(b"CLUSTER", b"SLOTS"), 1))
        return None if isinstance(replies, str) else isinstance(replies[0], list) and bool(replies[0])
