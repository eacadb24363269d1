"""What changed from one release to another, list by list."""

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
    """Lists of one kind in release `before` and release `after`.

    replaced: over the changed lists, the sum of the shares of items that the list before did not have.
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
        """Share of items replaced in a changed list, on average; 0 where only the order changed."""
        return self.replaced / self.changed if self.changed else 0.0


def difference(
    releases: Releases,
    before: str,
    after: str,
    kind: str = COOKIES,
    each: Callable[[int, float], None] = lambda key, share: None,
) -> Difference:
    """Compares every list of one kind; `each` is told the 64-bit key and share replaced of each that changed.

    Products are compared by id, scores are not. Raises ReleaseError where a release is not there.
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
    """One release, read a batch of buckets at a time; of a delta, also what lies beneath it."""

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
        """64-bit key -> record, of a few buckets at a time."""
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
        """The records of these keys, None where there is none."""
        return read_records(self.releases, self.release, self.base, kind, keys)

    def products(self, record: bytes) -> list[str]:
        return [self.ids[ordinal] for ordinal in decode_list(record)[0]]


def release_of(releases: Releases, name: str) -> Release:
    """The release of that name; `live` and `previous` name what the pointer says. Raises ReleaseError."""
    live = releases.live()
    named = {"live": live.release, "previous": live.previous}.get(name, name)
    if not named:
        what = "is live yet" if name == "live" else "was live before this one"
        raise ReleaseError(f"no release {what}; `larder releases` lists those that are kept")
    release = releases.find(named)
    if release is None:
        raise ReleaseError(f"there is no release {name}; `larder releases` lists those that are kept")
    return release
