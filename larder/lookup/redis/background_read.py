"""Reads from Redis in background tasks, where a failure is an exception."""

from __future__ import annotations

from typing import Any

from larder.lookup.answer.reasons import MEANINGS
from larder.lookup.redis.link import Link
from larder.lookup.redis.redis_connection import replies_to


class ReadError(ConnectionError):
    """Redis gave no reply, or an error; the same read may work later."""


async def read_all(link: Link, commands: list[bytes]) -> list[Any]:
    """Returns the replies to `commands`, in order, errors among them included. Raises ReadError if there are none."""
    replies = await replies_to(link.send(b"".join(commands), len(commands)))
    if isinstance(replies, str):
        raise ReadError(MEANINGS[replies])
    return replies


async def read(link: Link, commands: list[bytes]) -> list[Any]:
    """Returns the replies to `commands`, in order. Raises ReadError if there are none or one of them is an error."""
    replies = await read_all(link, commands)
    for reply in replies:
        # Of a cluster, a server that is down gives another exception.
        if isinstance(reply, Exception):
            raise ReadError(f"Redis replied: {reply}")
    return replies
