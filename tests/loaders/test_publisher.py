"""Releases in a real server: written, counted, made live, gone back from, retired."""

from __future__ import annotations

import json
import random
from dataclasses import dataclass, field

import numpy as np
import pytest
import redis

from larder.loaders import publisher, record_counts
from larder.loaders.codec import DICTIONARY_CHUNK, bucket_and_field, decode_dictionary, decode_list
from larder.loaders.keys import CONTEXTS, COOKIES, KINDS, PRODUCTS
from larder.loaders.lists import RankedLists
from larder.loaders.releases import STAGED, VERIFIED, Live, Release, ReleaseError, Releases
from larder.loaders.server_limits import LISTPACK_BYTES, LISTPACK_SETTING, require_listpacks

pytestmark = pytest.mark.end_to_end

AS_OF = "2017-12-04T00"
BUCKET_SIZE = 4


@dataclass(frozen=True)
class Content:
    """What a release holds: lists by key of each kind, and product ids by ordinal."""

    lists: dict[str, dict[int, list[int]]]
    ids: list[str] = field(default_factory=lambda: [f"p{number}" for number in range(50)])


def content(seed: int = 0, cookies: int = 300) -> Content:
    draw = random.Random(seed)
    sizes = {COOKIES: cookies, PRODUCTS: 40, CONTEXTS: 3}
    return Content(
        {
            kind: {draw.getrandbits(64): [draw.randrange(50) for _ in range(draw.randrange(6))] for _ in range(size)}
            for kind, size in sizes.items()
        }
    )


def as_lists(by_key: dict[int, list[int]]) -> RankedLists:
    ordinals = np.array([item for items in by_key.values() for item in items], np.int32)
    offsets = np.cumsum([0, *map(len, by_key.values())])
    scores = np.concatenate([np.linspace(1, 0.5, len(items)) for items in by_key.values()] or [np.zeros(0)])
    return RankedLists(np.array(list(by_key), np.uint64), offsets, ordinals, scores)


def staged(releases: Releases, name: str, what: Content) -> Release:
    records = {kind: len(lists) for kind, lists in what.lists.items()}
    return publisher.stage(releases, publisher.plan(name, AS_OF, records, len(what.ids), BUCKET_SIZE))


def written(releases: Releases, name: str, what: Content, with_scores: bool = True) -> Release:
    release = staged(releases, name, what)
    namespace = releases.keys.namespace
    for kind, lists in what.lists.items():
        publisher.write_lists(releases.client, namespace, release, kind, as_lists(lists), with_scores)
    publisher.write_dictionary(releases.client, namespace, release, what.ids)
    return release


def completed(releases: Releases, name: str, what: Content, with_scores: bool = True) -> Release:
    release = written(releases, name, what, with_scores)
    return publisher.complete(releases, release, len(what.ids), with_scores)


def live(releases: Releases, *names: str) -> None:
    """Loads these releases one after the other."""
    for seed, name in enumerate(names):
        completed(releases, name, content(seed, cookies=5))
        releases.flip(name)


def served(releases: Releases, name: str, what: Content) -> Content:
    """The same keys' lists and ids as a reader finds them."""
    meta = json.loads(releases.client.get(releases.keys.meta(name)))

    def one(kind: str, key: int) -> list[int]:
        bucket, field_ = bucket_and_field(key, meta["buckets"][kind])
        return decode_list(releases.client.hget(releases.keys.bucket(name, kind, bucket), field_))[0]

    chunks = [
        releases.client.get(releases.keys.dictionary(name, n)) for n in range(-(-meta["products"] // meta["chunk"]))
    ]
    return Content(
        {kind: {key: one(kind, key) for key in lists} for kind, lists in what.lists.items()},
        [id_ for chunk in chunks for id_ in decode_dictionary(chunk)],
    )


def keys_of(releases: Releases, name: str) -> list[bytes]:
    return list(releases.client.scan_iter(f"{releases.keys.namespace}:{name}:*", 1000))


@pytest.mark.parametrize("with_scores", [True, False])
def test_what_is_written_is_served(releases: Releases, with_scores: bool) -> None:
    what = content()
    release = completed(releases, "r1", what, with_scores)
    assert served(releases, "r1", what) == what
    assert (release.state, release.as_of, release.order) == (VERIFIED, AS_OF, 1)


def test_a_reader_is_told_all_it_needs(releases: Releases) -> None:
    what = content()
    release = completed(releases, "r1", what)
    assert json.loads(releases.client.get(releases.keys.meta("r1"))) == {
        "format": 1,
        "release": "r1",
        "as_of": AS_OF,
        "buckets": {COOKIES: -(-300 // BUCKET_SIZE), PRODUCTS: -(-40 // BUCKET_SIZE), CONTEXTS: 1},
        "records": {COOKIES: 300, PRODUCTS: 40, CONTEXTS: 3},
        "products": 50,
        "chunk": DICTIONARY_CHUNK,
        "scores": True,
    }
    assert releases.find("r1") == release


def test_more_buckets_than_go_in_one_batch(releases: Releases) -> None:
    what = content(cookies=2 * record_counts.KEYS_AT_ONCE * BUCKET_SIZE)
    completed(releases, "r1", what)
    assert served(releases, "r1", what) == what


def test_writing_the_same_again_changes_nothing(releases: Releases) -> None:
    what = content()
    completed(releases, "r1", what)
    before = {key: releases.client.dump(key) for key in keys_of(releases, "r1")}
    completed(releases, "r1", what)
    assert {key: releases.client.dump(key) for key in keys_of(releases, "r1")} == before
    assert [release.order for release in releases.all()] == [1]


def test_a_release_without_lists_is_one_too(releases: Releases) -> None:
    nothing = Content({kind: {} for kind in KINDS}, [])
    completed(releases, "r1", nothing)
    releases.flip("r1")
    assert served(releases, "r1", nothing) == nothing


def test_a_record_that_did_not_arrive_is_noticed(releases: Releases) -> None:
    what = content()
    release = written(releases, "r1", what)
    bucket, field_ = bucket_and_field(next(iter(what.lists[COOKIES])), release.buckets[COOKIES])
    releases.client.hdel(releases.keys.bucket("r1", COOKIES, bucket), field_)
    with pytest.raises(ReleaseError, match=r"r1 has 299 of 300 records of kind c \(cookies\)"):
        publisher.complete(releases, release, len(what.ids), True)
    with pytest.raises(ReleaseError, match="r1 is staged"):
        releases.flip("r1")
    assert releases.live() == Live(None, None)


def test_what_the_server_refuses_is_raised(releases: Releases) -> None:
    what = content()
    release = staged(releases, "r1", what)
    releases.client.set(releases.keys.bucket("r1", COOKIES, 3), "not a hash")
    with pytest.raises(redis.ResponseError, match="WRONGTYPE"):
        publisher.write_lists(
            releases.client, releases.keys.namespace, release, COOKIES, as_lists(what.lists[COOKIES]), True
        )
    assert releases.client.ping()


def test_buckets_stay_compact(releases: Releases) -> None:
    releases.client.config_set(LISTPACK_SETTING, 64)
    require_listpacks(releases.client, releases.keys.namespace)
    long = Content({COOKIES: {1: [2**31 - 1] * 60}, PRODUCTS: {}, CONTEXTS: {}})
    release = completed(releases, "r1", long)
    assert releases.client.config_get(LISTPACK_SETTING) == {LISTPACK_SETTING: str(LISTPACK_BYTES)}
    assert release.buckets[COOKIES] == 1
    assert releases.client.object("encoding", releases.keys.bucket("r1", COOKIES, 0)) == b"listpack"


def test_a_staged_release_is_not_made_live(releases: Releases) -> None:
    live(releases, "r1")
    written(releases, "r2", content())
    with pytest.raises(ReleaseError, match="r2 is staged, not verified"):
        releases.flip("r2")
    assert releases.live() == Live("r1", None)


def test_an_unknown_release_is_not_made_live(releases: Releases) -> None:
    with pytest.raises(ReleaseError, match="r9 is unknown"):
        releases.flip("r9")


def test_the_pointer_remembers_what_was_live_before(releases: Releases) -> None:
    live(releases, "r1")
    assert releases.live() == Live("r1", None)
    live(releases, "r2")
    assert releases.live() == Live("r2", "r1")
    releases.flip("r2")
    assert releases.live() == Live("r2", "r1")


def test_two_releases_do_not_touch_each_other(releases: Releases) -> None:
    first, second = content(1), content(2)
    completed(releases, "r1", first)
    completed(releases, "r2", second)
    assert served(releases, "r1", first) == first
    assert served(releases, "r2", second) == second
    releases.remove(Release(**vars(releases.find("r1"))))
    assert keys_of(releases, "r1") == []
    assert served(releases, "r2", second) == second


def test_a_rollback_goes_back_and_forth(releases: Releases) -> None:
    live(releases, "r1", "r2")
    assert releases.rollback() == Live("r1", "r2")
    assert releases.rollback() == Live("r2", "r1")


def test_a_rollback_to_a_named_release(releases: Releases) -> None:
    live(releases, "r1", "r2", "r3")
    assert releases.rollback("r1") == Live("r1", "r3")
    with pytest.raises(ReleaseError, match="r0 is unknown"):
        releases.rollback("r0")
    assert releases.live() == Live("r1", "r3")


def test_the_first_release_cannot_be_gone_back_from(releases: Releases) -> None:
    for names in ((), ("r1",)):
        live(releases, *names)
        with pytest.raises(ReleaseError, match="no release was live before"):
            releases.rollback()


def test_the_oldest_are_retired(releases: Releases) -> None:
    live(releases, "r1", "r2", "r3", "r4")
    assert releases.retire_beyond(3) == ["r1"]
    assert releases.retire_beyond(3) == []
    assert [release.name for release in releases.all()] == ["r2", "r3", "r4"]
    assert keys_of(releases, "r1") == []
    assert len(keys_of(releases, "r2")) > 0


def test_the_live_one_and_the_one_before_are_never_retired(releases: Releases) -> None:
    live(releases, "r1", "r2", "r3", "r4")
    releases.rollback("r1")
    assert releases.retire_beyond(1) == ["r2", "r3"]
    assert releases.live() == Live("r1", "r4")
    assert releases.rollback() == Live("r4", "r1")


def test_the_live_release_is_not_removed(releases: Releases) -> None:
    live(releases, "r1")
    release = releases.find("r1")
    assert release is not None
    with pytest.raises(ReleaseError, match="r1 is live"):
        releases.remove(release)


def test_a_release_half_removed_is_not_gone_back_to(releases: Releases, monkeypatch: pytest.MonkeyPatch) -> None:
    live(releases, "r1", "r2", "r3")

    def killed(*_: object) -> None:
        raise KeyboardInterrupt

    with monkeypatch.context() as patched:
        patched.setattr(releases, "_names", killed)
        with pytest.raises(KeyboardInterrupt):
            releases.retire_beyond(2)
    found = releases.find("r1")
    assert found is not None
    assert found.state == STAGED
    with pytest.raises(ReleaseError, match="r1 is staged"):
        releases.rollback("r1")
    assert releases.retire_beyond(2) == ["r1"]
    assert keys_of(releases, "r1") == []
