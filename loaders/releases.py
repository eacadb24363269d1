"""Releases in Redis: which there are, which is live, and the step from one to another."""

from __future__ import annotations

import json
import time
from dataclasses import asdict, dataclass, field, replace
from typing import Any

from larder.loaders.keys import ALL_KINDS, Keys
from larder.loaders.servers import Client

STAGED, VERIFIED = "staged", "verified"
UNLINKED_AT_ONCE = 500
UNLINKED_PER_SECOND = 20_000
# The pointer and what it pointed to before change together, whoever else flips at the same time.
FLIP = """
local live = redis.call('HGET', KEYS[1], 'release')
if live ~= ARGV[1] then redis.call('HSET', KEYS[1], 'release', ARGV[1], 'previous', live or '') end
return live or ''
"""


class ReleaseError(RuntimeError):
    """A release is not there, not complete, or can't be gone back to."""


@dataclass(frozen=True)
class Release:
    """What the registry knows of a release. `buckets`, `first_chunk` and `chunks` say which keys it has.

    A delta names its `base`, a whole release: it holds the lists that changed, `added` of them not in the base, and
    the chunks of the dictionary from `first_chunk` on; all else is the base's.
    """

    name: str
    as_of: str
    order: int  # rises with each load; the higher the newer
    state: str = STAGED
    buckets: dict[str, int] = field(default_factory=dict)
    records: dict[str, int] = field(default_factory=dict)
    chunks: int = 0
    base: str = ""
    first_chunk: int = 0
    added: int = 0


@dataclass(frozen=True)
class Live:
    """The pointer: what is served, and what was before it."""

    release: str | None
    previous: str | None


class Releases:
    """The releases of one namespace."""

    def __init__(self, client: Client, namespace: str) -> None:
        self.client: Any = client  # one server's or a cluster's
        self.keys = Keys(namespace)

    def live(self) -> Live:
        release, previous = self.client.hmget(self.keys.live, ["release", "previous"])
        return Live(_text(release) or None, _text(previous) or None)

    def all(self) -> list[Release]:
        """Oldest first."""
        found = self.client.hgetall(self.keys.releases)
        return sorted((Release(**json.loads(value)) for value in found.values()), key=lambda r: r.order)

    def find(self, name: str) -> Release | None:
        value = self.client.hget(self.keys.releases, name)
        return Release(**json.loads(value)) if value else None

    def register(self, release: Release) -> None:
        self.client.hset(self.keys.releases, release.name, json.dumps(asdict(release), sort_keys=True))

    def next_order(self) -> int:
        return max((release.order for release in self.all()), default=0) + 1

    def flip(self, name: str) -> None:
        """Makes a verified release live, in one command. Raises ReleaseError for any other."""
        live = self.live()
        if (state := self.state(name)) != VERIFIED:
            raise ReleaseError(f"release {name} is {state}, not verified, and was not made live")
        self.client.eval(FLIP, 1, self.keys.live, name)
        if self.state(name) != VERIFIED:  # retired in this very moment
            self.client.eval(FLIP, 1, self.keys.live, live.release or "")
            raise ReleaseError(f"release {name} was retired meanwhile; {live.release or 'none'} is live")

    def state(self, name: str) -> str:
        """What the registry says of a release: `unknown` where it says nothing."""
        release = self.find(name)
        return release.state if release else "unknown"

    def rollback(self, to: str | None = None) -> Live:
        """Goes back to the release that was live before, or to the one named. Returns the new pointer."""
        target = to or self.live().previous
        if target is None:
            raise ReleaseError("no release was live before this one; `larder status` lists those that are kept")
        self.flip(target)
        return self.live()

    def retire_beyond(self, keep: int, per_second: float = UNLINKED_PER_SECOND) -> list[str]:
        """Removes the oldest deltas beyond `keep`, then the oldest whole releases beyond `keep`; returns their names.

        Never the live one, nor the one before it, nor what lies beneath a delta that is kept.
        """
        live, everything = self.live(), self.all()
        pinned = {live.release, live.previous}
        deltas = _surplus([release for release in everything if release.base], pinned, keep)
        pinned |= {release.base for release in everything if release not in deltas}
        surplus = deltas + _surplus([release for release in everything if not release.base], pinned, keep)
        for release in surplus:
            self.remove(release, per_second)
        return [release.name for release in surplus]

    def remove(self, release: Release, per_second: float = UNLINKED_PER_SECOND) -> None:
        """Unlinks a release's keys, at most `per_second`, and forgets it.

        Raises ReleaseError for the live one, and for one that a delta lies over.
        """
        if over := [other.name for other in self.all() if other.base == release.name]:
            raise ReleaseError(f"release {release.name} lies beneath {', '.join(over)}; retire those first")
        self.register(replace(release, state=STAGED))  # cut short, it must not be taken for complete
        if self.live().release == release.name:
            self.register(release)
            raise ReleaseError(f"release {release.name} is live")
        self.client.unlink(self.keys.load(release.name))  # first, or a load of the same would skip what is gone
        names = list(self._names(release))
        for start in range(0, len(names), UNLINKED_AT_ONCE):
            begun, some = time.monotonic(), names[start : start + UNLINKED_AT_ONCE]
            pipeline = self.client.pipeline(transaction=False)
            for name in some:
                pipeline.unlink(name)
            pipeline.execute()
            if start + UNLINKED_AT_ONCE < len(names):
                time.sleep(max(0.0, begun + len(some) / per_second - time.monotonic()))
        self.client.hdel(self.keys.releases, release.name)

    def _names(self, release: Release) -> list[bytes]:
        buckets = [
            self.keys.bucket(release.name, kind, bucket)
            for kind in ALL_KINDS
            for bucket in range(release.buckets.get(kind, 0))
        ]
        chunks = [self.keys.dictionary(release.name, chunk) for chunk in range(release.first_chunk, release.chunks)]
        return [*buckets, *chunks, self.keys.meta(release.name)]


def _surplus(releases: list[Release], pinned: set[str | None], keep: int) -> list[Release]:
    """The oldest beyond `keep`; what is pinned stays, and counts."""
    free = [release for release in releases if release.name not in pinned]
    return free[: max(0, len(releases) - keep)]


def _text(value: bytes | str | None) -> str:
    return value.decode() if isinstance(value, bytes) else value or ""
