"""A release as the endpoint holds it: how to ask for its records, its dictionary, its generic lists."""

from __future__ import annotations

import asyncio
import json
from collections.abc import Iterator
from datetime import datetime, timezone
from typing import Any, NamedTuple

from loaders.codec import CorruptRecordError, bucket_and_field, decode_dictionary, field_width
from loaders.keys import CONTEXTS, COOKIES, FORMAT, KINDS, Keys
from lookup.generic import EVERYBODY, GenericLists
from lookup.hot import HotRecords
from lookup.link import Link
from lookup.reading import read
from lookup.rendering import encode_text
from lookup.wire import command

BUCKETS_A_READ = 16
HGET = b"*3\r\n$4\r\nHGET\r\n$%d\r\n%b\r\n$%d\r\n%b\r\n"


class ReleaseError(ValueError):
    """The release cannot be served; the message says why."""


class Meta(NamedTuple):
    """What a reader has to know of a release (docs/redis_format.md)."""

    release: str
    as_of: datetime
    buckets: dict[str, int]
    generic_lists: int
    products: int
    chunk: int
    scored: bool = True


class Release:
    """One release, immutable but for the generic and similar lists learned while it is served.

    `names` holds the product ids by ordinal as JSON strings, ready for an answer. A snapshot has generic lists alone.
    """

    def __init__(
        self, meta: Meta, keys: Keys, names: list[bytes], generic: GenericLists, hot: int = 1, is_snapshot: bool = False
    ) -> None:
        self.is_snapshot = is_snapshot
        self.name = meta.release
        self.name_json = encode_text(meta.release)
        self.as_of = meta.as_of.strftime("%Y-%m-%dT%H:%M:%SZ").encode()
        self.as_of_seconds = int(meta.as_of.timestamp())
        self.scored = meta.scored
        self.names = names
        self.generic = generic
        self.products = HotRecords(hot)
        self.cookie_reads = 1
        self._places = {kind: _place(keys, meta, kind) for kind in KINDS}

    def place(self, kind: str, key: int) -> tuple[bytes, bytes]:
        """Where the record of a 64-bit key (key64 of an id) lies: Redis key and field."""
        buckets, width, prefix = self._places[kind]
        quotient, bucket = divmod(key, buckets)
        return b"%b%x" % (prefix, bucket), quotient.to_bytes(width, "big")

    def ask_cookie(self, key: int) -> bytes:
        """The `cookie_reads` commands that read a cookie's record: of their replies, the first that is not nil."""
        return self.ask(COOKIES, key)

    def ask(self, kind: str, key: int) -> bytes:
        """The command that reads the record of a 64-bit key."""
        name, field = self.place(kind, key)
        return HGET % (len(name), name, len(field), field)


def _place(keys: Keys, meta: Meta, kind: str) -> tuple[int, int, bytes]:
    """Number of buckets, bytes of a field, and what a bucket's key begins with: bucket_and_field in advance."""
    buckets = meta.buckets[kind]
    return buckets, field_width(buckets), keys.bucket(meta.release, kind, 0)[:-1]


def read_meta(raw: bytes, release: str) -> Meta:
    """Checks what Redis says of a release. Raises ReleaseError where it is of another format, or no sense."""
    try:
        meta = json.loads(raw)
        if meta["format"] != FORMAT:
            raise ReleaseError(f"release {release} has format {meta['format']!r}; this endpoint reads {FORMAT}")
        return Meta(
            release=release,
            as_of=_utc(meta["as_of"]),
            buckets={kind: _whole(meta["buckets"][kind], 1) for kind in KINDS},
            generic_lists=_whole(meta["records"][CONTEXTS], 0),
            products=_whole(meta["products"], 0),
            chunk=_whole(meta["chunk"], 1),
            scored=bool(meta.get("scores", True)),
        )
    except ReleaseError:
        raise
    except (ValueError, KeyError, TypeError) as error:
        raise ReleaseError(f"the meta of release {release} does not fit: {error!r}") from None


def _utc(text: str) -> datetime:
    return datetime.strptime(text, "%Y-%m-%dT%H").replace(tzinfo=timezone.utc)


def _whole(value: Any, least: int) -> int:
    if type(value) is not int or value < least:
        raise ValueError(f"{value!r} is not a whole number of at least {least}")
    return value


async def load_release(link: Link, keys: Keys, meta: Meta, bound: int, hot: int) -> Release:
    """Reads dictionary and generic lists of a release.

    `bound`: a release with more generic lists has only that of everybody read ahead; the others are learned.
    `hot`: so many similar lists are kept once they are read.
    Raises ReleaseError, ReadError.
    """
    names = await _read_names(link, keys, meta)
    complete = meta.generic_lists <= bound
    records = await (_read_generic if complete else _read_everybody)(link, keys, meta)
    generic = GenericLists(records, meta.products, complete, bound)
    return Release(meta, keys, names, generic, hot)


async def _read_names(link: Link, keys: Keys, meta: Meta) -> list[bytes]:
    names: list[bytes] = []
    for chunk in range(-(-meta.products // meta.chunk)):
        [raw] = await read(link, [command(b"GET", keys.dictionary(meta.release, chunk))])
        try:
            names += map(encode_text, decode_dictionary(raw or b""))
        except CorruptRecordError as error:
            raise ReleaseError(f"dictionary chunk {chunk} of release {meta.release}: {error}") from None
    if len(names) != meta.products:
        raise ReleaseError(
            f"the dictionary of release {meta.release} holds {len(names)} ids instead of {meta.products}"
        )
    return names


async def _read_generic(link: Link, keys: Keys, meta: Meta) -> dict[int, bytes]:
    count = meta.buckets[CONTEXTS]
    records: dict[int, bytes] = {}
    for start in range(0, count, BUCKETS_A_READ):
        buckets = range(start, min(start + BUCKETS_A_READ, count))
        hashes = await read(
            link, [command(b"HGETALL", keys.bucket(meta.release, CONTEXTS, bucket)) for bucket in buckets]
        )
        for bucket, flat in zip(buckets, hashes, strict=True):
            records.update(_keyed(flat, bucket, count))
        # Visitors come first: what waits meanwhile is answered between two reads.
        await asyncio.sleep(0)
    return records


def _keyed(flat: list[bytes], bucket: int, buckets: int) -> Iterator[tuple[int, bytes]]:
    for field, record in zip(flat[::2], flat[1::2], strict=True):
        yield int.from_bytes(field, "big") * buckets + bucket, record


async def _read_everybody(link: Link, keys: Keys, meta: Meta) -> dict[int, bytes]:
    bucket, field = bucket_and_field(EVERYBODY, meta.buckets[CONTEXTS])
    [record] = await read(link, [command(b"HGET", keys.bucket(meta.release, CONTEXTS, bucket), field)])
    return {} if record is None else {EVERYBODY: record}
