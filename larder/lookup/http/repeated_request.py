"""A fast path for requests that differ from the one before only in their target, as most on a connection do.

Their headers are compared with those of the last request instead of parsed.
"""

from __future__ import annotations

from typing import Final, final

# Longer headers are not remembered.
MAX_REMEMBERED_BYTES: Final = 2_048
GET: Final = b"GET "
SLASH: Final = ord("/")
AFTER_TARGET: Final = b" HTTP/1.1\r\n"
# The bytes a target may consist of.
VISIBLE: Final = bytes(range(0x21, 0x7F))


@final
class RepeatedRequest:
    """The headers of the last request of one connection."""

    def __init__(self) -> None:
        self._rest = b""

    def remember(self, data: bytes) -> None:
        """Remembers the headers of `data`: one whole, valid request without a body that keeps the connection open."""
        end = data.find(b" ", len(GET))
        # The parser also accepts other protocols than HTTP, such as RTSP.
        if data.startswith(GET) and data.startswith(AFTER_TARGET, end) and len(data) - end <= MAX_REMEMBERED_BYTES:
            self._rest = data[end:]

    def forget(self) -> None:
        """Forgets the headers: the last request was not like this."""
        self._rest = b""

    def target(self, data: bytes) -> bytes:
        """Returns the target if `data` is one whole request with the remembered headers, else b""."""
        rest = self._rest
        end = len(data) - len(rest)
        if not rest or end <= len(GET) or not data.endswith(rest) or not data.startswith(GET):
            return b""
        target = data[len(GET) : end]
        return b"" if target[0] != SLASH or target.translate(None, VISIBLE) else target
