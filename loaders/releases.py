"""Releases in Redis: which there are, which is live, and the step from one to another."""

from __future__ import annotations

import json
import time
from collections.abc import Container, Sequence
from dataclasses import asdict, dataclass, replace
from typing import Any

from larder.experiments.running import InvalidExperimentError, read_running
from larder.loaders.completeness import Completeness, completeness
from larder.loaders.keys import ALL_KINDS, Keys
from larder.loaders.registered_release import STAGED, VERIFIED, Release, ReleaseError
from larder.loaders.servers import Client

UNLINKED_AT_ONCE = 500
UNLINKED_PER_SECOND = 20_000
# The pointer and what it pointed to before change together, whoever else flips at the same time.
FLIP = """
local live = redis.call('HGET', KEYS[1], 'release')
if live ~= ARGV[1] then redis.call('HSET', KEYS[1], 'release', ARGV[1], 'previous', live or '') end
return live or ''
"""


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
        """Returns the pointer."""
        release, previous = self.client.hmget(self.keys.live, ["release", "previous"])
        return Live(_text(release) or None, _text(previous) or None)

    def all(self) -> list[Release]:
        """Returns the registered releases, oldest first. An entry that can't be read is left out."""
        found = self.client.hgetall(self.keys.releases)
        entries = [entry for value in found.values() if (entry := _entry(value))]
        return sorted(entries, key=lambda release: release.order)

    def find(self, name: str) -> Release | None:
        """Returns the registry's entry, or None if there is none or it can't be read."""
        return _entry(self.client.hget(self.keys.releases, name))

    def register(self, release: Release) -> None:
        """Writes the registry's entry."""
        self.client.hset(self.keys.releases, release.name, json.dumps(asdict(release), sort_keys=True))

    def next_order(self) -> int:
        """Returns the order of the next release that is registered."""
        return max((release.order for release in self.all()), default=0) + 1

    def flip(self, name: str, counted: Container[str] = ()) -> None:
        """Makes a verified release live, in one command, after counting every record of it and of its base.

        counted: names of releases that the caller has just counted; they are not counted again. Raises ReleaseError if
        anything is missing.
        """
        live = self.live()
        if (state := self.state(name)) != VERIFIED:
            raise ReleaseError(
                f"release {name} is {state}, not verified, and was not made live; `larder status` lists those that "
                f"are kept, and `larder repair-release {name}` makes it whole from its tables"
            )
        if problems := self.problems(name, counted):
            raise ReleaseError(f"release {'; '.join(problems)}; it was not made live: {remedy(name)}")
        self.client.eval(FLIP, 1, self.keys.live, name)
        if self.state(name) != VERIFIED:  # retired in this very moment
            self.client.eval(FLIP, 1, self.keys.live, live.release or "")
            raise ReleaseError(f"release {name} was retired meanwhile; {live.release or 'none'} is live")

    def problems(self, name: str, counted: Container[str] = ()) -> list[str]:
        """Returns what is wrong with a release and its base, a phrase each beginning with the name; empty if nothing.

        Every record is counted where it lies, except in releases that are in `counted`: the registry alone does not
        know what was evicted or deleted.
        """
        release = self.find(name)
        if release is None:
            return [f"{name} is not in the registry"]
        found = [] if name in counted else [f"{name} {problem}" for problem in self.completeness(release).problems]
        if not release.base:
            return found
        base = self.find(release.base)
        if base is None or base.state != VERIFIED:
            return [*found, f"{name} lies over {release.base}, which is not whole in this server"]
        return [*found, *(f"{base.name}, which lies beneath it, {each}" for each in self.completeness(base).problems)]

    def completeness(self, release: Release, dictionary: Sequence[bytes] = ()) -> Completeness:
        """Returns what the server holds of a release, its base not included; `dictionary` as in `completeness`."""
        return completeness(self.client, self.keys.namespace, release, dictionary)

    def state(self, name: str) -> str:
        """Returns what the registry says of a release; `unknown` if it has no entry."""
        release = self.find(name)
        return release.state if release else "unknown"

    def rollback(self, to: str | None = None) -> Live:
        """Goes back to the release that was live before, or to the one named. Returns the new pointer.

        Raises ReleaseError if that release is not complete.
        """
        target = to or self.live().previous
        if target is None:
            raise ReleaseError("no release was live before this one; `larder status` lists those that are kept")
        self.flip(target)
        return self.live()

    def retire_beyond(self, keep: int, per_second: float = UNLINKED_PER_SECOND) -> list[str]:
        """Removes the oldest deltas beyond `keep`, then the oldest whole releases beyond `keep`. Returns their names.

        The live release, the one before it, those that an experiment serves and the base of a delta that is kept are
        never removed. Raises InvalidExperimentError if the experiments can't be read.
        """
        live, everything = self.live(), self.all()
        pinned: set[str | None] = {live.release, live.previous, *self._of_experiments()}
        deltas = _surplus([release for release in everything if release.base], pinned, keep)
        pinned |= {release.base for release in everything if release not in deltas}
        surplus = deltas + _surplus([release for release in everything if not release.base], pinned, keep)
        for release in surplus:
            self.remove(release, per_second)
        return [release.name for release in surplus]

    def remove(self, release: Release, per_second: float = UNLINKED_PER_SECOND) -> None:
        """Unlinks a release's keys, at most `per_second`, and removes its registry entry.

        Raises ReleaseError for the live release, one that an experiment serves, and the base of a delta;
        InvalidExperimentError if the experiments can't be read.
        """
        if over := [other.name for other in self.all() if other.base == release.name]:
            raise ReleaseError(f"release {release.name} lies beneath {', '.join(over)}; retire those first")
        self.register(replace(release, state=STAGED))  # cut short, it must not be taken for complete
        try:
            self._require_unused(release.name)
        except (ReleaseError, InvalidExperimentError):
            self.register(release)
            raise
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

    def _require_unused(self, name: str) -> None:
        if self.live().release == name:
            raise ReleaseError(f"release {name} is live")
        if name in self._of_experiments():
            raise ReleaseError(f"release {name} is served by an experiment; `larder experiment list` says which")

    def _of_experiments(self) -> set[str]:
        """Returns the names of the releases that arms of experiments serve."""
        return read_running(self.client.get(self.keys.experiments)).releases()

    def _names(self, release: Release) -> list[bytes]:
        buckets = [
            name
            for kind in ALL_KINDS
            for name in self.keys.buckets(release.name, kind, range(release.buckets.get(kind, 0)))
        ]
        chunks = [self.keys.dictionary(release.name, chunk) for chunk in range(release.first_chunk, release.chunks)]
        return [*buckets, *chunks, self.keys.meta(release.name)]


def _surplus(releases: list[Release], pinned: set[str | None], keep: int) -> list[Release]:
    """The oldest beyond `keep`; what is pinned stays, and counts."""
    free = [release for release in releases if release.name not in pinned]
    return free[: max(0, len(releases) - keep)]


def remedy(name: str) -> str:
    """Returns the command that restores a damaged release."""
    return f"`larder repair-release {name}` restores it from its tables"


def _entry(value: bytes | None) -> Release | None:
    """Returns a registry entry; fields that a newer build added are ignored."""
    try:
        fields = json.loads(value or b"null")
        return Release(**{name: fields[name] for name in Release.__dataclass_fields__ if name in fields})
    except (ValueError, TypeError):
        return None


def _text(value: bytes | str | None) -> str:
    return value.decode() if isinstance(value, bytes) else value or ""
