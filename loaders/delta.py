"""A delta: the lists that changed since a whole release, its base, which holds all others."""

from __future__ import annotations

import math
from collections.abc import Sequence

from larder.loaders.codec import DICTIONARY_CHUNK, CorruptRecordError, bucket_and_field, decode_dictionary
from larder.loaders.keys import COOKIES
from larder.loaders.releases import VERIFIED, Release, ReleaseError, Releases, remedy

KEYS_AT_ONCE, CHUNKS_AT_ONCE = 5_000, 200


def plan_over(
    base: Release, name: str, as_of: str, changed: int, added: int, products: tuple[int, int], bucket_size: int
) -> Release:
    """Returns a delta over `base` that is not yet in the server: lists of `changed` cookies, `added` of them new.

    products: the number of ids in the base's dictionary, and the number with those that the delta appends.
    """
    before, after = products
    chunks = math.ceil(after / DICTIONARY_CHUNK)
    return Release(
        name=name,
        as_of=as_of,
        order=0,
        buckets={COOKIES: max(1, math.ceil(changed / bucket_size))},
        records={COOKIES: changed},
        chunks=chunks,
        base=base.name,
        # The chunk in which the base's ids end is written anew, with those that are appended.
        first_chunk=before // DICTIONARY_CHUNK if after > before else chunks,
        added=added,
    )


def base_release(releases: Releases, release: Release) -> Release | None:
    """Returns the base of a delta; None for a whole release. Raises ReleaseError if the base is not whole."""
    if not release.base:
        return None
    base = releases.find(release.base)
    if base is None or base.state != VERIFIED:
        raise ReleaseError(
            f"release {release.name} lies over {release.base}, which is not whole in this server; "
            f"{remedy(release.name)}"
        )
    return base


def read_ids(releases: Releases, release: Release) -> list[str]:
    """Returns the product ids by ordinal. Raises ReleaseError that names a chunk that is missing or damaged."""
    ids: list[str] = []
    for start in range(0, release.chunks, CHUNKS_AT_ONCE):
        some = range(start, min(release.chunks, start + CHUNKS_AT_ONCE))
        owners = [release.name if chunk >= release.first_chunk else release.base for chunk in some]
        pipeline = releases.client.pipeline(transaction=False)
        for chunk, owner in zip(some, owners, strict=True):
            pipeline.get(releases.keys.dictionary(owner, chunk))
        for chunk, owner, text in zip(some, owners, pipeline.execute(), strict=True):
            try:
                ids += decode_dictionary(text or b"")
            except CorruptRecordError as error:
                raise ReleaseError(f"release {owner}: dictionary chunk {chunk}: {error}; {remedy(owner)}") from None
            if text is None or (len(ids) != (chunk + 1) * DICTIONARY_CHUNK and chunk != release.chunks - 1):
                raise ReleaseError(f"release {owner}: dictionary chunk {chunk} is missing or damaged; {remedy(owner)}")
    return ids


def read_records(
    releases: Releases, release: Release, base: Release | None, kind: str, keys: Sequence[int]
) -> list[bytes | None]:
    """Returns the records of these 64-bit keys, the release's own or its base's; None for a key that neither has."""
    found = _own_records(releases, release, kind, keys)
    if base is not None:
        missing = [at for at, record in enumerate(found) if record is None]
        for at, record in zip(missing, _own_records(releases, base, kind, [keys[at] for at in missing]), strict=True):
            found[at] = record
    return found


def _own_records(releases: Releases, release: Release, kind: str, keys: Sequence[int]) -> list[bytes | None]:
    if not release.records.get(kind):
        return [None] * len(keys)
    found: list[bytes | None] = []
    for start in range(0, len(keys), KEYS_AT_ONCE):
        pipeline = releases.client.pipeline(transaction=False)
        for key in keys[start : start + KEYS_AT_ONCE]:
            bucket, field = bucket_and_field(key, release.buckets[kind])
            pipeline.hget(releases.keys.bucket(release.name, kind, bucket), field)
        found += pipeline.execute()
    return found
