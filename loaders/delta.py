"""A delta: the lists that changed, laid over a whole release that has all others."""

from __future__ import annotations

import math
from collections.abc import Sequence

from larder.loaders.codec import DICTIONARY_CHUNK, CorruptRecordError, bucket_and_field, decode_dictionary
from larder.loaders.keys import COOKIES
from larder.loaders.releases import VERIFIED, Release, ReleaseError, Releases

KEYS_AT_ONCE = 5_000


def plan_over(
    base: Release, name: str, as_of: str, changed: int, added: int, products: tuple[int, int], bucket_size: int
) -> Release:
    """A delta of `changed` cookies' lists over `base`, `added` of them not in it, not yet in the server.

    products: how many ids the base's dictionary has, and how many there are with those that the delta appends.
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
    """The whole release under a delta; None under a whole one. Raises ReleaseError where it is gone."""
    if not release.base:
        return None
    base = releases.find(release.base)
    if base is None or base.state != VERIFIED:
        raise ReleaseError(f"release {release.name} lies over {release.base}, which is not whole in this server")
    return base


def read_ids(releases: Releases, release: Release) -> list[str]:
    """Product ids by ordinal. Raises ReleaseError that names the chunk that is missing or damaged."""
    ids: list[str] = []
    for chunk in range(release.chunks):
        owner = release.name if chunk >= release.first_chunk else release.base
        try:
            ids += decode_dictionary(releases.client.get(releases.keys.dictionary(owner, chunk)) or b"")
        except CorruptRecordError as error:
            raise ReleaseError(f"release {owner}: dictionary chunk {chunk}: {error}") from None
    return ids


def read_records(
    releases: Releases, release: Release, base: Release | None, kind: str, keys: Sequence[int]
) -> list[bytes | None]:
    """The records of these keys, the release's own or its base's; None where neither has one."""
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
