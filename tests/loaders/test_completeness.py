"""Whatever is damaged of a release, it is noticed before the release is made live."""

from __future__ import annotations

import random
from collections.abc import Callable

import numpy as np
import pytest
import redis
from test_publisher import Content, completed, content, keys_of, served, written

from larder.loaders import publisher
from larder.loaders.codec import DICTIONARY_CHUNK, encode_dictionary
from larder.loaders.keys import COOKIES
from larder.loaders.releases import Live, ReleaseError, Releases

pytestmark = pytest.mark.end_to_end
Damage = Callable[[redis.Redis, bytes, random.Random], object]


def drop_a_field(client: redis.Redis, key: bytes, chance: random.Random) -> None:
    """Deletes a record, or a string's last bytes."""
    if client.type(key) == b"hash":
        client.hdel(key, chance.choice(client.hkeys(key)))
    else:
        value = client.get(key)
        client.set(key, value[: chance.randrange(len(value))])


def put_another_type(client: redis.Redis, key: bytes, chance: random.Random) -> None:
    """Replaces a string by a hash, and a hash by a list. Another hash of the same size is not told apart by a count."""
    was_hash = client.type(key) == b"hash"
    client.unlink(key)
    client.rpush(key, "a list") if was_hash else client.hset(key, "another", "hash")


DAMAGES: list[Damage] = [
    lambda client, key, chance: client.unlink(key),
    drop_a_field,
    lambda client, key, chance: client.expire(key, 0),
    lambda client, key, chance: (client.unlink(key), client.set(key, "another type")),
    put_another_type,
    lambda client, key, chance: (client.unlink(key), client.sadd(key, "a set")),
]


def is_whole(releases: Releases, name: str, what: Content) -> bool:
    """Reads every list and id by the contract, and not by the code under test."""
    try:
        return served(releases, name, what) == what
    except Exception:
        return False


def test_random_damages(releases: Releases) -> None:
    never_live(releases, 50)


@pytest.mark.slow
def test_a_thousand_random_damages(releases: Releases) -> None:
    never_live(releases, 1000)


def never_live(releases: Releases, times: int) -> None:
    """Makes a release live after each of many damages: it is refused, or nothing was damaged."""
    chance, refused = random.Random(7), 0
    good, what = content(cookies=20), content(1, cookies=60)
    completed(releases, "good", good)
    releases.flip("good")
    for _ in range(times):
        completed(releases, "r2", what)
        keys = keys_of(releases, "r2")
        for key in chance.sample(keys, chance.randint(0, 2)):
            chance.choice(DAMAGES)(releases.client, key, chance)
        whole = is_whole(releases, "r2", what)
        if whole:
            continue
        refused += 1
        with pytest.raises(ReleaseError, match="larder repair-release r2"):
            releases.flip("r2")
        assert releases.live().release == "good"
        with pytest.raises(ReleaseError, match="larder repair-release r2"):
            releases.rollback("r2")
        releases.client.unlink(*keys)
    assert refused > times / 3


def test_a_release_that_was_emptied_after_it_was_verified(releases: Releases) -> None:
    completed(releases, "r1", content(cookies=500))
    releases.client.unlink(*keys_of(releases, "r1"))
    with pytest.raises(ReleaseError, match=r"release r1 has 0 of 500 records of kind c \(cookies\)"):
        releases.flip("r1")
    assert releases.live() == Live(None, None)


def test_the_figures_are_told(releases: Releases) -> None:
    release = completed(releases, "r1", content(cookies=300))
    bucket = releases.keys.bucket("r1", COOKIES, 0)
    lost = releases.client.hlen(bucket)
    releases.client.unlink(bucket)
    found = releases.completeness(release)
    assert found.problems == [f"has {300 - lost} of 300 records of kind c (cookies)"]
    assert found.share_missing(COOKIES) == pytest.approx(lost / 300)


def test_a_registry_entry_that_a_newer_build_wrote_is_read(releases: Releases) -> None:
    completed(releases, "r1", content())
    entry = releases.client.hget(releases.keys.releases, "r1")
    releases.client.hset(releases.keys.releases, "r1", entry[:-1] + b', "added_later": 1}')
    assert releases.find("r1") is not None
    releases.client.hset(releases.keys.releases, "r1", entry[: len(entry) // 2])
    assert releases.find("r1") is None
    assert releases.all() == []
    with pytest.raises(ReleaseError, match="r1 is unknown"):
        releases.flip("r1")


def test_lists_of_all_lengths_are_counted(releases: Releases) -> None:
    """A bucket's number of records has one digit or several, and one reply may come in two pieces."""
    what = content(cookies=3000)
    release = completed(releases, "r1", what)
    assert releases.completeness(release).counts[COOKIES].records == 3000
    assert np.all([release.buckets[kind] > 0 for kind in release.buckets])


@pytest.mark.parametrize("chunk", [0, 1, 2])
def test_a_chunk_damaged_after_it_was_sent_is_noticed(releases: Releases, chunk: int) -> None:
    what = content()
    what.ids[:] = [f"p{number}" for number in range(2 * DICTIONARY_CHUNK + 5)]
    release = written(releases, "r1", what)
    sent = encode_dictionary(what.ids)
    key = releases.keys.dictionary("r1", chunk)
    releases.client.set(key, sent[chunk][: -len(what.ids[-1]) - 1])  # an id less
    with pytest.raises(ReleaseError, match=f"lacks chunks of its dictionary \\({chunk}\\)|another number of products"):
        publisher.complete(releases, release, len(what.ids), True, sent)
    releases.client.set(key, sent[chunk])
    publisher.complete(releases, release, len(what.ids), True, sent)
    releases.flip("r1")
    assert served(releases, "r1", what) == what
