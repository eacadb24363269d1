"""Reads back what a release is said to hold: beside the lists it was made from, or by itself."""

from __future__ import annotations

import json
from dataclasses import dataclass

import numpy as np

from larder.loaders.codec import CorruptRecordError, buckets_and_fields, decode_list
from larder.loaders.delta import base_release, read_ids
from larder.loaders.keys import COOKIES
from larder.loaders.lists import RankedLists, encode_all
from larder.loaders.publisher import count_records
from larder.loaders.releases import Release, ReleaseError, Releases

BUCKETS_READ = 200


def compare_lists(releases: Releases, release: Release, kind: str, lists: RankedLists, with_scores: bool) -> int:
    """Reads these lists back and compares byte by byte. Returns their number; raises ReleaseError at a difference."""
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
    """What `verify` looked at."""

    records: dict[str, int]
    decoded: int
    products: int


def verify(releases: Releases, name: str, seed: int = 0) -> Verified:
    """Counts every record, decodes those of some buckets, and reads the dictionary, without the tables behind it.

    Under a delta, the whole release that it lies over is looked at too, and what is counted is its own and that one's
    together. Raises ReleaseError that names the first thing wrong.
    """
    release = releases.find(name)
    value = releases.client.get(releases.keys.meta(name))
    if release is None or value is None:
        raise ReleaseError(f"release {name} is not complete in this server; `larder releases` lists those that are")
    meta = json.loads(value)
    base = base_release(releases, release)
    for kind, expected in meta["records"].items():
        if (found := count_records(releases, release, kind)) != expected:
            raise ReleaseError(f"release {name} has {found} records of kind {kind}, not {expected}")
    _check_dictionary(releases, release, meta["products"])
    decoded = sum(_decode_some(releases, release, kind, meta["products"], seed) for kind in meta["records"])
    if base is None:
        return Verified(meta["records"], decoded, meta["products"])
    below = verify(releases, base.name, seed)
    records = {**below.records, COOKIES: below.records[COOKIES] + release.added}
    return Verified(records, decoded + below.decoded, meta["products"])


def _check_dictionary(releases: Releases, release: Release, products: int) -> None:
    found = len(read_ids(releases, release))
    if found != products:
        raise ReleaseError(f"release {release.name} has {found} products in its dictionary, not {products}")


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
