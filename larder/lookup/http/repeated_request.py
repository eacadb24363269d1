"""Requests that differ from the one before in their target alone: most of what a caller sends on a connection.

There is nothing new in the rest of them, so it is compared and not parsed.
"""

from __future__ import annotations

from typing import Final, final

# What follows the target is remembered up to so many bytes.
MAX_REMEMBERED_BYTES: Final = 2_048
GET: Final = b"GET "
SLASH: Final = ord("/")
AFTER_TARGET: Final = b" HTTP/1.1\r\n"
# Of which a target consists.
VISIBLE: Final = bytes(range(0x21, 0x7F))


@final
class RepeatedRequest:
    """Of one connection."""

    def __init__(self) -> None:
        self._rest = b""

    def remember(self, data: bytes) -> None:
        """`data` was found to be one whole request, sound and without a body, that leaves the connection open."""
        end = data.find(b" ", len(GET))
        # Elsewhere the version may stand in a header; and the parser takes others, such as RTSP's, for HTTP's.
        if data.startswith(GET) and data.startswith(AFTER_TARGET, end) and len(data) - end <= MAX_REMEMBERED_BYTES:
            self._rest = data[end:]

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
