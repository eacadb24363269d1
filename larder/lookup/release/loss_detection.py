"""Finds out whether the keys of the served release are still in Redis, by counting records and comparing samples."""

from __future__ import annotations

import logging
import zlib
from collections.abc import Callable, Iterator
from math import exp, sqrt
from typing import Any, NamedTuple

import hiredis

from larder.loaders.codec import bucket_and_field
from larder.loaders.keys import BY_CATEGORY, CONTEXTS, COOKIES, PRODUCTS, Keys
from larder.lookup.redis.background_read import ReadError, read_all
from larder.lookup.redis.link import Link
from larder.lookup.redis.redis_commands import command
from larder.lookup.release.generic_lists import EVERYBODY
from larder.lookup.release.served_release import ServedRelease

# A release with at most this many keys is counted completely in each check; of a larger one, WINDOW keys a kind.
COUNTED_COMPLETELY = 1024
WINDOW = 256
# A check goes back to at most this many keys that an earlier one found missing.
MOST_REVISITED = 256
# The number of standard deviations by which more buckets must be empty than hashing explains.
SIGMAS = 6.0

GENERIC, DICTIONARY, CATEGORY = "generic", "dictionary", "categories"
PARTS = {COOKIES: "cookies", PRODUCTS: "products", CONTEXTS: GENERIC, BY_CATEGORY: CATEGORY}

log = logging.getLogger("larder.lookup")


class KeyGroup(NamedTuple):
    """The keys of one kind: `name` makes a key from its number below `total`; together they hold `records` records.

    `size` is the command that returns the size of a key, HLEN or STRLEN. Every chunk of the dictionary must be there.
    """

    part: str
    size: bytes
    name: Callable[[int], bytes]
    total: int
    records: int


class CheckResult(NamedTuple):
    """The number of missing records (or dictionary chunks) by part, and whether keys hold other content than before."""

    losses: dict[str, int]
    is_replaced: bool


class LossDetector:
    """Checks one release. A check takes Redis a few milliseconds; of a large release, each covers other keys."""

    def __init__(self, link: Link, keys: Keys, release: ServedRelease) -> None:
        self._link = link
        self._keys = keys
        self._release = release
        self._groups = list(_groups(keys, release))
        self._is_small = sum(group.total for group in self._groups) <= COUNTED_COMPLETELY
        self._next = dict.fromkeys(range(len(self._groups)), 0)
        self._lost: dict[int, set[int]] = {number: set() for number in self._next}
        self._next_chunk = 0
        self._commands: dict[int, list[bytes]] = {}
        self._is_denied = False

    async def check(self) -> CheckResult:
        """Returns what is missing. Raises ReadError."""
        losses: dict[str, int] = {}
        for number, group in enumerate(self._groups):
            if not self._is_denied and (missing := await self._missing(number, group)):
                losses[group.part] = losses.get(group.part, 0) + missing
        is_replaced = False
        for part, before, now in await self._samples():
            if now is None:
                losses.setdefault(part, 1)
            elif zlib.crc32(now) != before:
                is_replaced = True
        return CheckResult(losses, is_replaced)

    async def is_dictionary_changed(self) -> bool:
        """Returns whether the first chunk of the dictionary is missing or another one. Raises ReadError."""
        digests = self._release.chunk_digests
        if not digests:
            return False
        [chunk] = await read_all(self._link, [command(b"GET", self._chunk_key(0))])
        return not isinstance(chunk, bytes) or zlib.crc32(chunk) != digests[0]

    async def _missing(self, number: int, group: KeyGroup) -> int:
        """Returns the number of missing records of a group."""
        whole = self._is_small or group.total <= WINDOW
        places = range(group.total) if whole else self._window(number, group.total)
        commands = self._commands.get(number)
        if commands is None:
            commands = [command(group.size, group.name(place)) for place in places]
            if whole:
                self._commands[number] = commands
        sizes = await self._sizes(group, commands)
        if self._is_denied:
            return 0
        empty = {place for place, size in zip(places, sizes, strict=True) if not size}
        if group.part == DICTIONARY:
            self._lost[number] = empty if whole else self._revisited(number, places, empty)
            return len(self._lost[number])
        if whole:
            return max(0, group.records - sum(sizes))
        # With records spread by a hash, this share of the buckets is empty in a complete release.
        expected = len(places) * exp(-group.records / group.total)
        found = self._revisited(number, places, empty)
        if len(empty) <= expected + SIGMAS * sqrt(expected) and expected > 0.5:
            found = set()
        self._lost[number] = found
        return round(len(found) * group.records / group.total)

    def _window(self, number: int, count: int) -> list[int]:
        """Returns the next keys to look at, and those that were missing."""
        start = self._next[number]
        self._next[number] = (start + WINDOW) % count
        window = dict.fromkeys((start + offset) % count for offset in range(WINDOW))
        return list(window | dict.fromkeys(self._lost[number]))

    def _revisited(self, number: int, places: Any, empty: set[int]) -> set[int]:
        known = (self._lost[number] - set(places)) | empty
        return set(sorted(known)[:MOST_REVISITED])

    async def _sizes(self, group: KeyGroup, commands: list[bytes]) -> list[int]:
        sizes: list[int] = []
        for start in range(0, len(commands), WINDOW):
            for reply in await read_all(self._link, commands[start : start + WINDOW]):
                if isinstance(reply, int):
                    sizes.append(reply)
                elif _is_of_another_type(reply):
                    sizes.append(0)
                elif isinstance(reply, hiredis.ReplyError):
                    self._deny(group.size, reply)
                    return []
                else:
                    raise ReadError("Redis gave no size of a key")
        return sizes

    def _deny(self, size: bytes, error: Exception) -> None:
        words = str(error)
        if not words.startswith(("NOPERM", "ERR unknown")):
            raise ReadError(f"Redis replied: {words}")
        self._is_denied = True
        log.warning("losses of records are not noticed, because Redis refuses %s: %s", size.decode(), words)

    async def _samples(self) -> list[tuple[str, int, bytes | None]]:
        """Returns (part, digest at loading, value now) of some keys that never change."""
        release, commands = self._release, []
        expected: list[tuple[str, int]] = []
        if release.chunk_digests:
            self._next_chunk = (self._next_chunk + 1) % len(release.chunk_digests)
            commands.append(command(b"GET", self._chunk_key(self._next_chunk)))
            expected.append((DICTIONARY, release.chunk_digests[self._next_chunk]))
        if (record := release.generic.record(EVERYBODY)) is not None:
            bucket, field = bucket_and_field(EVERYBODY, release.meta.buckets[CONTEXTS])
            commands.append(command(b"HGET", self._keys.bucket(release.meta.base, CONTEXTS, bucket), field))
            expected.append((GENERIC, zlib.crc32(record)))
        replies = await read_all(self._link, commands) if commands else []
        found = []
        for (part, digest), reply in zip(expected, replies, strict=True):
            if isinstance(reply, Exception) and not _is_of_another_type(reply):
                raise ReadError(f"Redis replied: {reply}")
            found.append((part, digest, reply if isinstance(reply, bytes) else None))
        return found

    def _chunk_key(self, chunk: int) -> bytes:
        return dictionary_key(self._keys, self._release, chunk)


def _is_of_another_type(reply: object) -> bool:
    """Does somebody else's value stand where the key of a release was?"""
    return isinstance(reply, hiredis.ReplyError) and str(reply).startswith("WRONGTYPE")


def dictionary_key(keys: Keys, release: ServedRelease, chunk: int) -> bytes:
    """Returns the key of a chunk of the dictionary, which a delta shares with its base."""
    meta = release.meta
    return keys.dictionary(meta.release if chunk >= meta.first_chunk else meta.base, chunk)


def _groups(keys: Keys, release: ServedRelease) -> Iterator[KeyGroup]:
    meta = release.meta
    for kind, count in meta.buckets.items():
        yield KeyGroup(PARTS[kind], b"HLEN", _bucket_name(keys, meta.base, kind), count, meta.records.get(kind, 0))
    if meta.changed_buckets:
        name = _bucket_name(keys, meta.release, COOKIES)
        yield KeyGroup(PARTS[COOKIES], b"HLEN", name, meta.changed_buckets, meta.changed_records)
    yield KeyGroup(
        DICTIONARY,
        b"STRLEN",
        lambda chunk: dictionary_key(keys, release, chunk),
        len(release.chunk_digests),
        len(release.chunk_digests),
    )


def _bucket_name(keys: Keys, release: str, kind: str) -> Callable[[int], bytes]:
    return lambda bucket: keys.bucket(release, kind, bucket)
