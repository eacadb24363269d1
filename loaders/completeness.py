"""Compares what the server holds of a release with what its registry entry says: the check before every flip."""

from __future__ import annotations

import json
from collections.abc import Sequence
from dataclasses import dataclass, field
from typing import Any

from larder.loaders.codec import DICTIONARY_CHUNK, CorruptRecordError, count_ids
from larder.loaders.keys import DELTA_FORMAT, FORMAT, KIND_NAMES, Keys
from larder.loaders.record_counts import RecordCount, count_records
from larder.loaders.registered_release import Release
from larder.loaders.servers import Client

CHUNKS_AT_ONCE = 200


@dataclass
class Completeness:
    """What the server holds of a release, its base not included.

    counts: kind -> records found. missing_chunks: chunks of the dictionary that are gone or damaged. problems: a
    phrase for each thing that is wrong; empty if the release is complete.
    """

    release: Release
    counts: dict[str, RecordCount] = field(default_factory=dict)
    missing_chunks: list[int] = field(default_factory=list)
    problems: list[str] = field(default_factory=list)

    @property
    def is_complete(self) -> bool:
        """Whether nothing is wrong."""
        return not self.problems

    def lacks(self, kind: str) -> bool:
        """Whether the lists of one kind are not all there, or something else lies in their place."""
        count = self.counts.get(kind, RecordCount())
        return bool(count.foreign) or count.records != self.release.records.get(kind, 0)

    def share_missing(self, kind: str) -> float:
        """The share of the lists of one kind that the server does not have, from 0 to 1."""
        expected = self.release.records.get(kind, 0)
        return max(0.0, 1 - self.counts.get(kind, RecordCount()).records / expected) if expected else 0.0


def completeness(client: Client, namespace: str, release: Release, dictionary: Sequence[bytes] = ()) -> Completeness:
    """Counts every record, reads the dictionary and the meta of a release, its base not included.

    dictionary: the release's own chunks as they were sent, if the caller has just sent them. A chunk that is the same
    in the server is not counted id by id, which is the slowest step. Raises redis.RedisError, OSError.
    """
    found, keys = Completeness(release), Keys(namespace)
    for kind, expected in release.records.items():
        found.counts[kind] = count_records(client, namespace, release, kind)
        if found.lacks(kind):
            there = found.counts[kind].records
            found.problems.append(f"has {there:,} of {expected:,} records of kind {kind} ({KIND_NAMES[kind]})")
    products, meta_problem = _meta(_value(client, keys.meta(release.name)), release)
    ids = _count_ids(client, keys, release, dictionary, found.missing_chunks)
    if found.missing_chunks:
        numbers = ", ".join(f"{chunk:x}" for chunk in found.missing_chunks[:5])
        more = f" and {len(found.missing_chunks) - 5} more" if len(found.missing_chunks) > 5 else ""
        found.problems.append(f"lacks chunks of its dictionary ({numbers}{more})")
    elif products is not None and _has_own_chunks(release) and ids != products - _ids_below(release):
        found.problems.append(f"has another number of products in its dictionary than the {products:,} of its meta")
        found.missing_chunks = list(range(release.first_chunk, release.chunks))
    if meta_problem:
        found.problems.append(meta_problem)
    return found


def _has_own_chunks(release: Release) -> bool:
    return release.first_chunk < release.chunks


def _ids_below(release: Release) -> int:
    """Returns the number of product ids in the base's chunks below the release's own."""
    return release.first_chunk * DICTIONARY_CHUNK


def _meta(text: bytes | None, release: Release) -> tuple[int | None, str]:
    """Returns the number of products that the meta tells, and what is wrong with the meta."""
    if text is None:
        return None, "lacks its meta"
    try:
        meta: dict[str, Any] = json.loads(text)
        told = (meta["format"], meta["release"], meta["buckets"], meta["records"], meta.get("base", {}).get("release"))
        products = int(meta["products"])
    except (ValueError, KeyError, TypeError, AttributeError):
        return None, "has a meta that can't be read"
    form = DELTA_FORMAT if release.base else FORMAT
    if told != (form, release.name, release.buckets, release.records, release.base or None):
        return None, "has a meta that does not agree with the registry"
    if -(-products // DICTIONARY_CHUNK) != release.chunks:
        return None, "has a meta with another number of products"
    return products, ""


def _count_ids(client: Any, keys: Keys, release: Release, sent: Sequence[bytes], damaged: list[int]) -> int:
    """Returns the number of product ids in the release's own chunks; adds damaged chunks to `damaged`.

    sent: these chunks as they were sent, or nothing.
    """
    total = 0
    own = range(release.first_chunk, release.chunks)
    for start in range(own.start, own.stop, CHUNKS_AT_ONCE):
        some = range(start, min(own.stop, start + CHUNKS_AT_ONCE))
        pipeline = client.pipeline(transaction=False)
        for chunk in some:
            pipeline.get(keys.dictionary(release.name, chunk))
        for chunk, text in zip(some, pipeline.execute(raise_on_error=False), strict=True):
            if chunk != own[-1] and sent[chunk - own.start : chunk - own.start + 1] == [text]:
                total += DICTIONARY_CHUNK  # only the last chunk may hold fewer
                continue
            try:
                if not isinstance(text, bytes):  # missing, or a key of another type
                    raise CorruptRecordError
                ids = count_ids(text)
            except CorruptRecordError:
                damaged.append(chunk)
                continue
            if ids != DICTIONARY_CHUNK and chunk != release.chunks - 1:
                damaged.append(chunk)
            total += ids
    return total


def _value(client: Any, key: bytes) -> bytes | None:
    """Returns the value of a string, or None if the key is missing or is no string."""
    [value] = client.pipeline(transaction=False).get(key).execute(raise_on_error=False)
    return value if isinstance(value, bytes) else None
