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
    """At most `bound` records by product id, None for an id without one. A release never changes, so none expires."""

    def __init__(self, bound: int) -> None:
        self._bound = bound
        self._records: dict[str, Known] = {}

    def __len__(self) -> int:
        return len(self._records)

    def get(self, text: str) -> Known | UnreadRecord:
        """Returns the record of an id, None if it has none, or UNREAD if that is not known."""
        return self._records.get(text, UNREAD)

    def learn(self, text: str, record: Known) -> None:
        """Keeps a record, and drops the oldest one if there are more than `bound`."""
        self._records[text] = record
        if len(self._records) > self._bound:
            del self._records[next(iter(self._records))]
