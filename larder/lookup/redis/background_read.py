"""Reading beside the requests: replies or an error, for what runs in the background."""

from __future__ import annotations

from typing import Any

import hiredis

from larder.lookup.answer.reasons import MEANINGS
from larder.lookup.redis.link import Link
from larder.lookup.redis.redis_connection import replies_to


class ReadError(ConnectionError):
    """Redis did not give what was asked for; the same read may work later."""


async def read(link: Link, commands: list[bytes]) -> list[Any]:
    """The replies to several commands. Raises ReadError where there is none, or an error among them."""
    replies = await replies_to(link.send(b"".join(commands), len(commands)))
    if isinstance(replies, str):
        raise ReadError(MEANINGS[replies])
    for reply in replies:
        if isinstance(reply, hiredis.ReplyError):
            raise ReadError(f"Redis says {reply}")
    return replies
