"""Restores a damaged release in Redis from its tables, whatever is left of it there."""

from __future__ import annotations

import json
from collections.abc import Iterator
from dataclasses import dataclass, replace

from larder.jobs.publishing.delta_release import DeltaRelease
from larder.jobs.publishing.release_loading import ReleaseLoading
from larder.jobs.publishing.whole_release import WholeRelease
from larder.loaders.codec import DICTIONARY_CHUNK
from larder.loaders.releases import STAGED, VERIFIED, Release, ReleaseError, Releases
from larder.models.hours import hour
from larder.models.tables import RELEASE
from larder.settings import RedisSettings
from larder.storage import MissingPartitionError, Tables

KEYS_SCANNED = 10_000
INSTANT_DIGITS = 10  # of a release's name: YYYYMMDDHH
MADE_BY = "larder precompute --as-of HOUR"


@dataclass(frozen=True)
class Repaired:
    """What `repair` did.

    names: releases that were written again, the base first. problems: what was wrong. made_live: whether the release
    was made live. found: other releases in Redis that the registry had lost, and has again.
    """

    names: list[str]
    problems: list[str]
    made_live: bool
    found: list[str]


def repair(loading: ReleaseLoading, tables: Tables, name: str = "") -> Repaired:
    """Writes every list of a release again, and of its base if it is a delta, and counts and compares them.

    name: a release; if empty, the live one, or the newest whole release of the tables if the pointer is gone too. The
    release is made live if none is. Raises ReleaseError if the tables do not make a release of that name.
    """
    releases, settings = loading.releases, loading.settings
    live = releases.live().release
    source = source_of(releases, tables, settings, name or live or "")
    problems = releases.problems(source.name)
    names = []
    if isinstance(source, DeltaRelease):
        whole = WholeRelease(tables, hour(source.base.as_of), settings)
        loading.load(whole.content(releases), everything=True)
        names.append(whole.name)
    loading.load(source.content(releases), everything=True)
    names.append(source.name)
    made_live = live is None
    if made_live:
        loading.lease.check()
        releases.flip(source.name)
    return Repaired(names, problems, made_live, register_found(releases))


def register_found(releases: Releases) -> list[str]:
    """Registers releases whose keys are in Redis and which the registry has lost, so that they can be retired.

    A whole release that is complete is verified again. All others are staged: to go back to one, repair it. Returns
    their names, the oldest first.
    """
    known = releases.all()
    found = sorted(_unregistered(releases, {release.name for release in known}), key=lambda release: release.as_of)
    first = min((release.order for release in known), default=1) - len(found)
    for order, release in enumerate(found, first):
        ready = not release.base and releases.completeness(release).is_complete
        releases.register(replace(release, order=order, state=VERIFIED if ready else STAGED))
    return [release.name for release in found]


def _unregistered(releases: Releases, known: set[str]) -> Iterator[Release]:
    """Yields a release for each meta in Redis without an entry in the registry."""
    pattern = releases.keys.meta("*").decode()
    for key in releases.client.scan_iter(pattern, KEYS_SCANNED):
        name = key.decode(errors="replace").split(":")[-2]
        if name in known or releases.client.type(key) != b"string":
            continue
        try:
            meta = json.loads(releases.client.get(key) or b"")
            base = meta.get("base", {})
            yield Release(
                name=name,
                as_of=str(meta["as_of"]),
                order=0,
                buckets=dict(meta["buckets"]),
                records=dict(meta["records"]),
                chunks=-(-int(meta["products"]) // DICTIONARY_CHUNK),
                base=str(base.get("release", "")),
                first_chunk=int(base.get("chunks", 0)),
            )
        except (ValueError, KeyError, TypeError, AttributeError):
            continue


def source_of(releases: Releases, tables: Tables, settings: RedisSettings, name: str) -> WholeRelease | DeltaRelease:
    """Returns the tables that make the release `name`; of the newest whole release if the name is empty.

    The name alone says as of which instant its tables are, so that nothing in Redis is needed. Raises ReleaseError.
    """
    if not name:
        newest = max(_instants(tables), default=None)
        if newest is None:
            raise ReleaseError(f"no release is live, and the tables hold none; run `{MADE_BY}`")
        return WholeRelease(tables, newest, settings)
    instant = _instant(name)
    try:
        whole = WholeRelease(tables, instant, settings)
        if whole.name == name:
            return whole
    except MissingPartitionError:
        pass  # there may be a delta as of that instant
    for base in _bases(releases, tables, settings, instant):
        try:
            delta = DeltaRelease(tables, instant, base, settings)
        except MissingPartitionError:
            continue
        if delta.name == name:
            return delta
    raise ReleaseError(
        f"the tables and settings (redis.bucket_size, redis.scores) no longer make the release {name}: they were"
        " changed or removed since it was loaded; load another one with `larder load-redis --as-of HOUR`"
    )


def _instant(name: str) -> int:
    """Returns the hour that a release's name begins with, as a number of hours. Raises ReleaseError."""
    digits = name[:INSTANT_DIGITS]
    if not (digits.isascii() and digits.isdigit() and len(digits) == INSTANT_DIGITS):
        raise ReleaseError(f"{name} is no name of a release; `larder status` lists those that are kept")
    return hour(f"{digits[:4]}-{digits[4:6]}-{digits[6:8]}T{digits[8:]}")


def _instants(tables: Tables) -> list[int]:
    """Returns the hours as of which there are whole releases."""
    manifests = (tables.place(RELEASE) / "manifests").sizes()
    return [hour(name.removeprefix("as_of=").removesuffix(".json")) for name in manifests]


def _bases(releases: Releases, tables: Tables, settings: RedisSettings, instant: int) -> list[Release]:
    """Returns the whole releases that a delta as of `instant` may lie over, newest first."""
    bases = []
    for before in sorted((each for each in _instants(tables) if each < instant), reverse=True):
        try:
            whole = WholeRelease(tables, before, settings)
        except MissingPartitionError:
            continue
        known = releases.find(whole.name)
        bases.append(known if known is not None and known.state == VERIFIED else whole.planned())
    return bases
