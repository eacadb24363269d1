"""Values read from a request or its connection, with their limits."""

from __future__ import annotations

from fcntl import ioctl
from struct import unpack
from termios import TIOCOUTQ
from typing import Any, Final
from urllib.parse import unquote

# The digits of the largest Content-Length that the parser accepts.
MAX_LENGTH_DIGITS: Final = 20


def unacknowledged(transport: Any) -> int:
    """Returns the bytes in the kernel that the peer has not acknowledged, or 0 where that cannot be known."""
    connection = transport.get_extra_info("socket")
    if connection is None:
        return 0
    try:
        size: int = unpack("i", ioctl(connection.fileno(), TIOCOUTQ, bytes(4)))[0]
    except OSError:
        return 0
    return size


def content_length(text: str) -> int:
    """Returns a Content-Length that the parser has accepted: digits, maybe after zeros, and blanks around them."""
    digits = text.strip().lstrip("0")
    # int() refuses thousands of digits.
    return int(digits[:MAX_LENGTH_DIGITS] or "0")


def path_of(url: bytes) -> str:
    """The path of a URL without its query."""
    text = url.decode("latin-1")
    if not text.startswith("/"):
        # The absolute form, as sent to a proxy: scheme and host come first.
        text = "/" + text.partition("://")[2].partition("/")[2]
    return unquote(text) if "%" in text else text
