"""Reads a release back: compares it with the lists it was made from, or checks it by itself."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from larder.loaders.codec import CorruptRecordError, buckets_and_fields, decode_list
from larder.loaders.delta import base_release, read_ids
from larder.loaders.keys import COOKIES
from larder.loaders.lists import RankedLists, encode_all
from larder.loaders.releases import Release, ReleaseError, Releases, remedy

BUCKETS_READ = 200


def compare_lists(releases: Releases, release: Release, kind: str, lists: RankedLists, with_scores: bool) -> int:
    """Reads these lists back and compares every byte. Returns their number; raises ReleaseError if one differs."""
    buckets, fields = buckets_and_fields(lists.keys, release.buckets[kind])
    data, ends = encode_all(lists, with_scores)
    pipeline = releases.client.pipeline(transaction=False)
    for bucket, field in zip(buckets.tolist(), fields, strict=True):
        pipeline.hget(releases.keys.bucket(release.name, kind, bucket), field.tobytes())
    for at, found in enumerate(pipeline.execute()):
        if found != data[ends[at] : ends[at + 1]].tobytes():
            what = "is missing" if found is None else "is not what was sent"
            raise ReleaseError(f"release {release.name}: the list of kind {kind}, key {lists.keys[at]:016x} {what}")
    return len(lists.keys)


@dataclass(frozen=True)
class Verified:
    """What `verify` looked at: records by kind, how many of them were decoded, and products of the dictionary."""

    records: dict[str, int]
    decoded: int
    products: int


def verify(releases: Releases, name: str, seed: int = 0) -> Verified:
    """Counts every record, decodes those of some buckets, and reads the dictionary, without the tables behind it.

    Of a delta, the base is looked at too, and the counts are those of both together. Raises ReleaseError that names
    what is wrong and the command that restores the release.
    """
    release = releases.find(name)
    if release is None:
        raise ReleaseError(f"release {name} is not in the registry; {remedy(name)}")
    base = base_release(releases, release)
    if problems := releases.completeness(release).problems:
        raise ReleaseError(f"release {name} {'; '.join(problems)}; {remedy(name)}")
    products = len(read_ids(releases, release))
    decoded = sum(_decode_some(releases, release, kind, products, seed) for kind in release.records)
    if base is None:
        return Verified(release.records, decoded, products)
    below = verify(releases, base.name, seed)
    records = {**below.records, COOKIES: below.records[COOKIES] + release.added}
    return Verified(records, decoded + below.decoded, products)


def _decode_some(releases: Releases, release: Release, kind: str, products: int, seed: int) -> int:
    buckets = release.buckets[kind]
    some = np.random.default_rng(seed).choice(buckets, min(buckets, BUCKETS_READ), replace=False)
    pipeline = releases.client.pipeline(transaction=False)
    for bucket in some.tolist():
        pipeline.hgetall(releases.keys.bucket(release.name, kind, bucket))
    decoded = 0
    for bucket, records in zip(some.tolist(), pipeline.execute(), strict=True):
        for field, record in records.items():
            where = f"release {release.name}, kind {kind}, bucket {bucket:x}, field {field.hex()}"
            try:
                ordinals, _ = decode_list(record)
            except CorruptRecordError as error:
                raise ReleaseError(f"{where}: {error}") from None
            if ordinals and max(ordinals) >= products:
                raise ReleaseError(f"{where}: ordinal {max(ordinals)} of a dictionary of {products}")
            decoded += 1
    return decoded
