"""Text from outside, such as ids and URLs, made safe to print: an id may hold characters that command a terminal."""

from __future__ import annotations


def printable(text: str, keep: str = "") -> str:
    """Returns the text with an escape (`\\x1b`) for every character that a terminal would not show, except `keep`."""
    if text.isprintable():
        return text
    return "".join(
        char if char.isprintable() or char in keep else char.encode("unicode_escape", "surrogatepass").decode()
        for char in text
    )
