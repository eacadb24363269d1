"""A cache of the product records of one release: most requests are for a few popular products."""

from __future__ import annotations

from typing import Final, final


@final
class UnreadRecord:
    """The type of UNREAD, which stands for a record that has not been read yet."""


UNREAD: Final = UnreadRecord()


@final
class CategoryRecord:
    """The record of a product without a picture: the best sellers of its category."""

    def __init__(self, record: bytes) -> None:
        self.record = record


Known = bytes | CategoryRecord | None


@final
class RecordCache:
    """At most `bound` records by product id, None for an id without one. A release never changes, so none expires.

    Records are kept in two generations. A record that is used again moves to the young one; the old one is dropped when
    the young one is full. Popular products so stay, as in an LRU cache, and a hit costs one dictionary lookup.
    """

    def __init__(self, bound: int) -> None:
        self._half = max(1, bound // 2)
        self._keeps_old = bound > 1
        self._young: dict[str, Known] = {}
        self._old: dict[str, Known] = {}

    def __len__(self) -> int:
        return len(self._young) + len(self._old)

    def get(self, text: str) -> Known | UnreadRecord:
        """Returns the record of an id, None if it has none, or UNREAD if that is not known."""
        found: Known | UnreadRecord = self._young.get(text, UNREAD)
        if isinstance(found, UnreadRecord) and self._old:
            found = self._old.get(text, UNREAD)
            if not isinstance(found, UnreadRecord):
                self.learn(text, found)
        return found

    def learn(self, text: str, record: Known) -> None:
        """Keeps a record; drops those that were not used for the longest time if there are too many."""
        if len(self._young) >= self._half and text not in self._young:
            self._old = self._young if self._keeps_old else {}
            self._young = {}
        self._young[text] = record

    def forget_absent(self) -> None:
        """Drops everything that relies on a record being absent: ids without one, and lists by category."""
        self._young = {text: record for text, record in self._young.items() if isinstance(record, bytes)}
        self._old = {text: record for text, record in self._old.items() if isinstance(record, bytes)}
