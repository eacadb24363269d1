"""Records of a release that were read lately, in process: a few products are looked at again and again."""

from __future__ import annotations

from typing import Final, final


@final
class UnreadRecord:
    """The one value of this type stands for a record of which nothing is known yet."""


UNREAD: Final = UnreadRecord()


@final
class CategoryRecord:
    """Holds the record of a product that has no picture: what sells in its category."""

    def __init__(self, record: bytes) -> None:
        self.record = record


Known = bytes | CategoryRecord | None


@final
class RecordCache:
    """At most `bound` records by id, None for an id that has none. A release never changes, so none gets old."""

    def __init__(self, bound: int) -> None:
        self._bound = bound
        self._records: dict[str, Known] = {}

    def __len__(self) -> int:
        return len(self._records)

    def get(self, text: str) -> Known | UnreadRecord:
        """The record of an id, as far as it is known."""
        return self._records.get(text, UNREAD)

    def learn(self, text: str, record: Known) -> None:
        """Keeps a record; the one that was learned first goes where there are too many."""
        self._records[text] = record
        if len(self._records) > self._bound:
            del self._records[next(iter(self._records))]
