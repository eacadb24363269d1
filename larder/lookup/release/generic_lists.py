"""The generic lists of a release in process, and the fallback from (location, device) to the list for everybody."""

from __future__ import annotations

from functools import lru_cache
from typing import Final

from larder.loaders.codec import MAX_ITEMS, CorruptRecordError
from larder.loaders.keys import context_key64
from larder.lookup.answer.reasons import CORRUPT_RECORD, NO_GENERIC_LIST
from larder.lookup.answer.routes import GENERIC
from larder.lookup.answer.routing import RouteOffer
from larder.lookup.release.record_decoding import RankedList, decode_head

LEVELS: Final = ("location_device", "location", "device", "all")
MEMO: Final = 4096
EVERYBODY: Final = context_key64("", "")


@lru_cache(maxsize=MEMO)
def ladder(location: str, device: str) -> tuple[tuple[str, int], ...]:
    """Returns (level, key) of the lists for a location and a device, most specific first; "" stands for any."""
    steps = []
    if location and device:
        steps.append(("location_device", context_key64(location, device)))
    if location:
        steps.append(("location", context_key64(location, "")))
    if device:
        steps.append(("device", context_key64("", device)))
    return (*steps, ("all", EVERYBODY))


class GenericLists:
    """A cache of at most `bound` generic lists of one release; the list for everybody is never dropped.

    If `complete`, it holds every list of the release, and a missing list needs no call to Redis.
    """

    def __init__(self, records: dict[int, bytes], products: int, complete: bool, bound: int) -> None:
        self.complete = complete
        self._products = products
        self._bound = bound
        self._records = records
        self._absent: dict[int, None] = {}
        self._offers: dict[tuple[str, str], RouteOffer] = {}

    def __len__(self) -> int:
        return len(self._records)

    def record(self, key: int) -> bytes | None:
        """Returns the cached record of a key, or None."""
        return self._records.get(key)

    def forget_absent(self) -> None:
        """Drops everything that relies on a list being absent."""
        self._absent.clear()
        self._offers.clear()

    def records(self) -> list[tuple[int, bytes]]:
        """Returns the key and the record of each cached list."""
        return list(self._records.items())

    def missing(self, location: str, device: str) -> list[int]:
        """Returns the keys that must be read from Redis; stops at the first cached list."""
        keys: list[int] = []
        if self.complete or (location, device) in self._offers:
            return keys
        for _, key in ladder(location, device):
            if key in self._records:
                break
            if key not in self._absent:
                keys.append(key)
        return keys

    def learn(self, key: int, record: bytes | None) -> None:
        """Keeps the reply to a key, nil as None, and drops the oldest if there are too many."""
        if record is None:
            self._absent[key] = None
            if len(self._absent) > self._bound:
                del self._absent[next(iter(self._absent))]
            return
        self._records[key] = record
        if len(self._records) > self._bound + 1:
            oldest = next(key for key in self._records if key != EVERYBODY)
            del self._records[oldest]

    def offer(self, location: str, device: str, problem: str = "", keep: bool = True) -> RouteOffer:
        """Returns the most specific cached list. `problem` is why a more specific one may be missing, or "".

        With `keep`, the result is remembered, unless there is a problem.
        """
        known = self._offers.get((location, device))
        if known is not None:
            return known
        found = self._find(location, device, problem)
        if keep and not problem:
            if len(self._offers) >= MEMO:
                self._offers.clear()
            self._offers[location, device] = found
        return found

    def _find(self, location: str, device: str, problem: str) -> RouteOffer:
        for level, key in ladder(location, device):
            record = self._records.get(key)
            if record is None:
                continue
            ranked = self._decoded(record)
            if ranked is not None:
                return RouteOffer(GENERIC, ranked, problem, level)
            problem = CORRUPT_RECORD
        return RouteOffer(GENERIC, None, problem or NO_GENERIC_LIST)

    def _decoded(self, record: bytes) -> RankedList | None:
        try:
            return decode_head(record, self._products, MAX_ITEMS)
        except CorruptRecordError:
            return None
