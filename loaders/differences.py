"""Compares two releases list by list."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from dataclasses import dataclass, field

from larder.loaders.codec import decode_list
from larder.loaders.delta import base_release, read_ids, read_records
from larder.loaders.keys import COOKIES
from larder.loaders.releases import VERIFIED, Release, ReleaseError, Releases

BUCKETS_AT_ONCE = 200


@dataclass
class Difference:
    """Counts of one kind of lists in releases `before` and `after`.

    replaced: the sum, over changed lists, of the share of items that are new in the list.
    """

    before: str
    after: str
    same: int = 0
    changed: int = 0
    only_before: int = 0
    only_after: int = 0
    replaced: float = 0.0
    by_tenths: list[int] = field(default_factory=lambda: [0] * 11)

    @property
    def mean_replaced(self) -> float:
        """The mean share of new items in a changed list; 0 if only the order changed."""
        return self.replaced / self.changed if self.changed else 0.0


def difference(
    releases: Releases,
    before: str,
    after: str,
    kind: str = COOKIES,
    each: Callable[[int, float], None] = lambda key, share: None,
) -> Difference:
    """Compares every list of one kind. `each` is called with the 64-bit key and share of new items of a changed list.

    Products are compared by id; scores are not compared. Raises ReleaseError if a release is missing.
    """
    old, new = _Side(releases, before), _Side(releases, after)
    result, shared = Difference(before, after), 0
    for some in old.batches(kind):
        for key, record, other in zip(some, some.values(), new.records(kind, list(some)), strict=True):
            if other is None:
                result.only_before += 1
                continue
            shared += 1
            items, items_after = old.products(record), new.products(other)
            if items == items_after:
                result.same += 1
                continue
            share = len(set(items_after) - set(items)) / max(1, len(items_after))
            result.changed += 1
            result.replaced += share
            result.by_tenths[int(share * 10)] += 1
            each(key, share)
    result.only_after = new.count(kind) - shared
    return result


class _Side:
    """One release, and its base if it is a delta, read a batch of buckets at a time."""

    def __init__(self, releases: Releases, name: str) -> None:
        release = releases.find(name)
        if release is None or release.state != VERIFIED:
            raise ReleaseError(f"release {name} is not in this server; `larder releases` lists those that are")
        self.releases, self.release = releases, release
        self.base = base_release(releases, release)
        self.ids = read_ids(releases, release)

    def count(self, kind: str) -> int:
        if self.base is None:
            return self.release.records.get(kind, 0)
        return self.base.records.get(kind, 0) + (self.release.added if kind == COOKIES else 0)

    def batches(self, kind: str) -> Iterator[dict[int, bytes]]:
        """Yields records by 64-bit key, of a few buckets at a time."""
        if kind in self.release.buckets:
            yield from self._own(self.release, kind)
        if self.base is not None:
            for some in self._own(self.base, kind):
                over = read_records(self.releases, self.release, None, kind, list(some))
                yield {key: some[key] for key, record in zip(some, over, strict=True) if record is None}

    def _own(self, release: Release, kind: str) -> Iterator[dict[int, bytes]]:
        buckets = release.buckets[kind]
        for start in range(0, buckets, BUCKETS_AT_ONCE):
            some = range(start, min(buckets, start + BUCKETS_AT_ONCE))
            pipeline = self.releases.client.pipeline(transaction=False)
            for bucket in some:
                pipeline.hgetall(self.releases.keys.bucket(release.name, kind, bucket))
            yield {
                int.from_bytes(field_, "big") * buckets + bucket: record
                for bucket, records in zip(some, pipeline.execute(), strict=True)
                for field_, record in records.items()
            }

    def records(self, kind: str, keys: list[int]) -> list[bytes | None]:
        """Returns the records of these keys; None for a key without one."""
        return read_records(self.releases, self.release, self.base, kind, keys)

    def products(self, record: bytes) -> list[str]:
        return [self.ids[ordinal] for ordinal in decode_list(record)[0]]


def release_of(releases: Releases, name: str) -> Release:
    """Returns the release of that name, or what the pointer calls `live` or `previous`. Raises ReleaseError."""
    live = releases.live()
    named = {"live": live.release, "previous": live.previous}.get(name, name)
    if not named:
        what = "is live yet" if name == "live" else "was live before this one"
        raise ReleaseError(f"no release {what}; `larder releases` lists those that are kept")
    release = releases.find(named)
    if release is None:
        raise ReleaseError(f"there is no release {name}; `larder releases` lists those that are kept")
    return release
