"""Requests that differ from the one before in their target alone: most of what a caller sends on a connection.

There is nothing new in the rest of them, so it is compared and not parsed.
"""

from __future__ import annotations

from typing import Final, final

# What follows the target is remembered up to so many bytes.
MOST_REMEMBERED: Final = 2_048
GET: Final = b"GET "
SLASH: Final = ord("/")
AFTER_TARGET: Final = b" HTTP/1.1\r\n"
# Of which a target consists.
VISIBLE: Final = bytes(range(0x21, 0x7F))


@final
class Alike:
    """Of one connection."""

    def __init__(self) -> None:
        self._rest = b""

    def remember(self, data: bytes) -> None:
        """`data` was found to be one whole request, without a body, that leaves the connection open."""
        at = data.find(AFTER_TARGET)
        if at > 0 and len(data) - at <= MOST_REMEMBERED and data.startswith(GET):
            self._rest = data[at:]

    def forget(self) -> None:
        """The last request was another one."""
        self._rest = b""

    def target(self, data: bytes) -> bytes:
        """The target of what is whole and like the request that is remembered; of anything else b""."""
        rest = self._rest
        end = len(data) - len(rest)
        if not rest or end <= len(GET) or not data.endswith(rest) or not data.startswith(GET):
            return b""
        target = data[len(GET) : end]
        return b"" if target[0] != SLASH or target.translate(None, VISIBLE) else target
