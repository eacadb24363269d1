"""Reading beside the requests: replies or an error, for what runs in the background."""

from __future__ import annotations

from typing import Any

import hiredis

from lookup.link import Link
from lookup.reasons import MEANINGS


class ReadError(ConnectionError):
    """Redis did not give what was asked for; the same read may work later."""


async def read(link: Link, commands: list[bytes]) -> list[Any]:
    """The replies to several commands. Raises ReadError where there is none, or an error among them."""
    sent = link.send(b"".join(commands), len(commands))
    replies = sent if isinstance(sent, str) else await sent
    if isinstance(replies, str):
        raise ReadError(MEANINGS[replies])
    for reply in replies:
        if isinstance(reply, hiredis.ReplyError):
            raise ReadError(f"Redis says {reply}")
    return replies
