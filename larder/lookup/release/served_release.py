"""A release in the endpoint: its metadata, dictionary and generic lists, and the commands that read its records."""

from __future__ import annotations

import asyncio
import itertools
import json
import zlib
from collections.abc import Iterator, Sequence
from datetime import datetime, timezone
from typing import Any, Final, NamedTuple

from librt.strings import BytesWriter

from larder.loaders.codec import CorruptRecordError, bucket_and_field, decode_dictionary
from larder.loaders.keys import ALL_KINDS, BY_CATEGORY, CONTEXTS, COOKIES, DELTA_FORMAT, FORMAT, KINDS, PRODUCTS, Keys
from larder.lookup.answer.reasons import SNAPSHOT
from larder.lookup.json_text import encode_text
from larder.lookup.redis.background_read import read
from larder.lookup.redis.link import Link
from larder.lookup.redis.redis_commands import BucketCommands, command
from larder.lookup.release.generic_lists import EVERYBODY, GenericLists
from larder.lookup.release.record_cache import RecordCache

BUCKETS_A_READ: Final = 16
# The largest count of anything in a release.
MAX_COUNT: Final = 1 << 48
# Begins at 1, so that 0 can mean no release.
LOADS: Final = itertools.count(1)


class UnreadableReleaseError(ValueError):
    """The release in Redis is incomplete or malformed; the message says what is wrong."""


class ReleaseMeta(NamedTuple):
    """The metadata of a release (docs/redis_format.md).

    A delta release has the changed cookie lists, in `changed_buckets` buckets, and the dictionary from chunk
    `first_chunk` on; all else is read from the whole release `base`. A whole release is its own base and has 0
    `changed_buckets`.
    """

    release: str
    as_of: datetime
    buckets: dict[str, int]
    generic_lists: int
    products: int
    chunk: int
    base: str
    changed_buckets: int
    first_chunk: int
    scored: bool
    records: dict[str, int]  # number of lists of `base` by kind; a kind that is not here is not counted
    changed_records: int  # number of lists in `changed_buckets`


class ServedRelease:
    """A release that is served. Immutable, except for the caches of generic lists and product records.

    `names` has the product ids by ordinal, as JSON strings. `load` is a number unique in this process: a release name
    may come again with other products. A snapshot has generic lists only. `chunk_digests` has the CRC-32 of each
    chunk of the dictionary.

    FollowedRelease sets `unreadable` and `trusts_absence` while the release is served. `unreadable` is the reason code
    why its records must not be read, or "". Only while `trusts_absence`, a nil of Redis means that there is no record.
    """

    def __init__(
        self,
        meta: ReleaseMeta,
        keys: Keys,
        names: list[bytes],
        generic: GenericLists,
        cached_records: int = 1,
        is_snapshot: bool = False,
        chunk_digests: Sequence[int] = (),
    ) -> None:
        self.load = next(LOADS)
        self.meta = meta
        self.is_snapshot = is_snapshot
        self.chunk_digests = list(chunk_digests)
        self.unreadable = SNAPSHOT if is_snapshot else ""
        self.trusts_absence = False
        self.name = meta.release
        self.name_json = encode_text(meta.release)
        self.as_of = meta.as_of.strftime("%Y-%m-%dT%H:%M:%SZ").encode()
        self.as_of_seconds = int(meta.as_of.timestamp())
        self.scored = meta.scored
        self.names = names
        self.generic = generic
        self.products = RecordCache(cached_records)
        self._buckets = {kind: BucketCommands(keys, meta.base, kind, count) for kind, count in meta.buckets.items()}
        self._cookies = [self._buckets[COOKIES]]
        if meta.changed_buckets:
            self._cookies.insert(0, BucketCommands(keys, meta.release, COOKIES, meta.changed_buckets))
        self.cookie_reads = len(self._cookies)
        self.product_kinds = [kind for kind in (PRODUCTS, BY_CATEGORY) if kind in meta.buckets]

    def forget_absent(self) -> None:
        """Drops everything that was concluded from a record being absent, in the caches of this release."""
        self.products.forget_absent()
        self.generic.forget_absent()

    def places(self, kind: str, key: int) -> list[tuple[bytes, bytes]]:
        """Returns the (Redis key, field) pairs where a 64-bit key's record may be; the first that exists counts."""
        if kind == PRODUCTS:
            return [self._buckets[each].place(key) for each in self.product_kinds]
        return [each.place(key) for each in (self._cookies if kind == COOKIES else [self._buckets[kind]])]

    def write_cookie(self, out: BytesWriter, key: int) -> None:
        """Writes the `cookie_reads` commands that read a cookie's record; the first reply that is not nil counts."""
        for buckets in self._cookies:
            buckets.write_hget(out, key)

    def write_product(self, out: BytesWriter, key: int) -> None:
        """Writes one command for each of `product_kinds`; the first reply that is not nil is the product's record."""
        for kind in self.product_kinds:
            self._buckets[kind].write_hget(out, key)

    def write_context(self, out: BytesWriter, key: int) -> None:
        """Writes the command that reads a generic list."""
        self._buckets[CONTEXTS].write_hget(out, key)


def read_meta(raw: bytes, release: str) -> ReleaseMeta:
    """Returns the parsed metadata of a release. Raises UnreadableReleaseError if its format is unknown or malformed."""
    try:
        meta = json.loads(raw)
        if meta["format"] not in (FORMAT, DELTA_FORMAT):
            raise UnreadableReleaseError(
                f"release {release} has format {meta['format']!r}; this endpoint reads {FORMAT} and {DELTA_FORMAT}"
            )
        is_delta = meta["format"] == DELTA_FORMAT
        base = meta["base"] if is_delta else meta
        return ReleaseMeta(
            release=release,
            as_of=_utc(meta["as_of"]),
            buckets={k: _whole(base["buckets"][k], 1) for k in ALL_KINDS if k in KINDS or k in base["buckets"]},
            generic_lists=_whole(base["records"][CONTEXTS], 0),
            products=_whole(meta["products"], 0),
            chunk=_whole(meta["chunk"], 1),
            base=str(base["release"]) if is_delta else release,
            changed_buckets=_whole(meta["buckets"][COOKIES], 1) if is_delta else 0,
            first_chunk=_whole(base["chunks"], 0) if is_delta else 0,
            scored=bool(meta.get("scores", True)),
            records=_counts(base["records"]),
            changed_records=_counts(meta.get("records")).get(COOKIES, 0) if is_delta else 0,
        )
    except UnreadableReleaseError:
        raise
    except (ValueError, KeyError, TypeError) as error:
        raise UnreadableReleaseError(f"the meta of release {release} is malformed: {error!r}") from None


def _utc(text: str) -> datetime:
    return datetime.strptime(text, "%Y-%m-%dT%H").replace(tzinfo=timezone.utc)


def _counts(records: Any) -> dict[str, int]:
    """Returns the counts that are whole numbers; readers need them for checks only."""
    found = records.items() if isinstance(records, dict) else ()
    return {kind: count for kind, count in found if kind in ALL_KINDS and type(count) is int and count >= 0}


def _whole(value: Any, least: int) -> int:
    if type(value) is not int or not least <= value <= MAX_COUNT:
        raise ValueError(f"{value!r} is not a whole number from {least} to {MAX_COUNT}")
    return value


async def load_release(link: Link, keys: Keys, meta: ReleaseMeta, bound: int, cached_records: int) -> ServedRelease:
    """Returns a release after reading its dictionary and generic lists.

    `bound`: a release with more generic lists has only that of everybody read ahead; the others are learned.
    `cached_records`: the size of the cache of product records.
    Raises UnreadableReleaseError, ReadError.
    """
    names, digests = await _read_names(link, keys, meta)
    complete = meta.generic_lists <= bound
    records = await (_read_generic if complete else _read_everybody)(link, keys, meta)
    generic = GenericLists(records, meta.products, complete, bound)
    return ServedRelease(meta, keys, names, generic, cached_records, chunk_digests=digests)


async def _read_names(link: Link, keys: Keys, meta: ReleaseMeta) -> tuple[list[bytes], list[int]]:
    """Returns the product ids as JSON strings, and the CRC-32 of each chunk that holds them."""
    names: list[bytes] = []
    digests: list[int] = []
    for chunk in range(-(-meta.products // meta.chunk)):
        owner = meta.release if chunk >= meta.first_chunk else meta.base
        [raw] = await read(link, [command(b"GET", keys.dictionary(owner, chunk))])
        digests.append(zlib.crc32(raw or b""))
        try:
            names += map(encode_text, decode_dictionary(raw or b""))
        except CorruptRecordError as error:
            raise UnreadableReleaseError(f"dictionary chunk {chunk} of release {owner}: {error}") from None
    if len(names) != meta.products:
        raise UnreadableReleaseError(
            f"the dictionary of release {meta.release} holds {len(names)} ids instead of {meta.products}"
        )
    return names, digests


async def _read_generic(link: Link, keys: Keys, meta: ReleaseMeta) -> dict[int, bytes]:
    count = meta.buckets[CONTEXTS]
    records: dict[int, bytes] = {}
    for start in range(0, count, BUCKETS_A_READ):
        buckets = range(start, min(start + BUCKETS_A_READ, count))
        hashes = await read(link, [command(b"HGETALL", keys.bucket(meta.base, CONTEXTS, bucket)) for bucket in buckets])
        for bucket, flat in zip(buckets, hashes, strict=True):
            records.update(_keyed(flat, bucket, count))
        # Lets waiting requests be answered between two reads.
        await asyncio.sleep(0)
    return records


def _keyed(flat: list[bytes], bucket: int, buckets: int) -> Iterator[tuple[int, bytes]]:
    for field, record in zip(flat[::2], flat[1::2], strict=True):
        yield int.from_bytes(field, "big") * buckets + bucket, record


async def _read_everybody(link: Link, keys: Keys, meta: ReleaseMeta) -> dict[int, bytes]:
    bucket, field = bucket_and_field(EVERYBODY, meta.buckets[CONTEXTS])
    [record] = await read(link, [command(b"HGET", keys.bucket(meta.base, CONTEXTS, bucket), field)])
    return {} if record is None else {EVERYBODY: record}
