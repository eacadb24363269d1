"""Deltas: the lists that changed, over the live release, under the guarantees of a whole one."""

from __future__ import annotations

import json
import random
import re
import shutil
import subprocess
import time

import pytest
from publishing_readers import Readers, read_list
from publishing_shop import FIRST, SECOND, Shop
from repository import ROOT

from larder.loaders.delta import read_ids
from larder.loaders.differences import difference
from larder.loaders.keys import COOKIES
from larder.loaders.releases import ReleaseError

pytestmark = pytest.mark.end_to_end

ONE, TWO, THREE = "2026-11-20T01", "2026-11-20T02", "2026-11-20T03"
KILLS = 8


def live_of(shop: Shop) -> str:
    return shop.releases().live().release or "none"


def loaded(shop: Shop, as_of: str, *arguments: str) -> str:
    """Loads, and returns what is live then."""
    done = shop.load(as_of, *arguments)
    assert done.returncode == 0, done.stdout + done.stderr
    return live_of(shop)


def named(items: list[int]) -> list[str]:
    """The ids of a whole release's ordinals."""
    return [f"p{item:07d}" for item in items]


def lists_by_id(shop: Shop, name: str, keys: list[int]) -> dict[int, list[str]]:
    releases = shop.releases()
    release = releases.find(name)
    assert release is not None
    ids = read_ids(releases, release)
    return {key: [ids[ordinal] for ordinal in read_list(releases.client, name, key)] for key in keys}


def test_what_changed_is_laid_over_what_is_live(shop: Shop) -> None:
    before = shop.release(FIRST, seed=1)
    first = loaded(shop, FIRST)
    known = list(before)
    one = {known[0]: ["new", *named([3, 4])], known[1]: named([9]), 77: ["other", "new"]}
    two = {known[1]: named([1, 2]), 78: named([5]), known[2]: ["newest"]}
    shop.delta(ONE, one)
    shop.delta(TWO, two)
    names = [loaded(shop, ONE, "--delta"), loaded(shop, TWO, "--delta")]
    keys = [*known[:100], 77]
    expected = {key: named(before[key]) for key in known[:100]} | one
    assert lists_by_id(shop, names[0], keys) == expected
    assert lists_by_id(shop, names[1], [*keys, 78]) == expected | two
    assert lists_by_id(shop, first, known[:100]) == {key: named(before[key]) for key in known[:100]}
    whole = shop.larder("verify")
    assert "complete: lists of 5,002 cookies, 200 products, 2 contexts" in whole.stdout, whole.stderr
    found = difference(shop.releases(), first, names[1])
    assert (found.changed, found.only_before, found.only_after) == (3, 0, 2)
    found = difference(shop.releases(), names[1], names[0])
    assert (found.changed, found.only_before, found.only_after) == (2, 1, 0)
    assert found.same == 5_002 - 3
    assert f"live: {names[0]}" in shop.larder("rollback").stdout
    assert f"live: {first}" in shop.larder("rollback", "--to", first).stdout
    assert f"lies beneath {names[0]}, {names[1]}" in shop.larder("retire", first).stderr


def test_only_what_differs_is_written(faulty_shop: Shop) -> None:
    before = faulty_shop.release(FIRST, seed=1)
    first, known = loaded(faulty_shop, FIRST), list(before)
    faulty_shop.configure(scores="false")
    bare = loaded(faulty_shop, FIRST)
    assert bare != first
    faulty_shop.delta(ONE, {known[0]: named([1]), known[1]: named(before[known[1]])})
    faulty_shop.delta(TWO, {known[0]: named(before[known[0]]), known[2]: named([2])})
    done = faulty_shop.load(TWO, "--delta")
    assert f"over={bare}" in done.stdout
    assert "changed=1  new=0" in done.stdout
    client = faulty_shop.releases().client
    assert len(list(client.scan_iter(f"larder:{live_of(faulty_shop)}:*"))) == 2  # a bucket, and the meta
    status = faulty_shop.larder("status").stdout
    assert re.search(rf"{TWO} +live delta +1 +0 +0", status)
    assert f"live: {live_of(faulty_shop)}, a delta over {bare}" in status
    assert "up_to_date=" in faulty_shop.load(TWO, "--delta").stdout


def test_an_hour_without_lists_is_told_and_not_missed(faulty_shop: Shop) -> None:
    before = faulty_shop.release(FIRST, seed=1)
    key = next(iter(before))
    assert "no release is live" in faulty_shop.load(ONE, "--delta").stdout
    loaded(faulty_shop, FIRST)
    refused = faulty_shop.load(ONE, "--delta")
    assert refused.returncode == 1
    assert f"larder precompute-cookies --start {FIRST} --end {ONE}" in refused.stderr
    faulty_shop.delta(THREE, {key: named([1])}, hours=2)
    assert "hours_left_out=1" in faulty_shop.load(THREE, "--delta").stdout
    faulty_shop.delta(ONE, {key: named([2])})
    done = faulty_shop.load(THREE, "--delta")
    assert "hours_left_out=0" in done.stdout
    assert lists_by_id(faulty_shop, live_of(faulty_shop), [key]) == {key: named([1])}


def test_nothing_older_takes_the_place_of_what_is_live(faulty_shop: Shop) -> None:
    before = faulty_shop.release(FIRST, seed=1)
    first = loaded(faulty_shop, FIRST)
    for end in (ONE, TWO):
        faulty_shop.delta(end, {next(iter(before)): named([1])})
    delta = loaded(faulty_shop, TWO, "--delta")
    refused = faulty_shop.load(ONE, "--delta")
    assert refused.returncode == 1
    assert f"release {delta}, which is live, is as of {TWO}, later than {ONE}" in refused.stderr
    assert live_of(faulty_shop) == delta
    faulty_shop.release(SECOND, seed=2)
    second = loaded(faulty_shop, SECOND)
    refused = faulty_shop.load(FIRST)
    assert refused.returncode == 1
    assert f"release {second}, which is live" in refused.stderr
    assert loaded(faulty_shop, FIRST, "--stay") == second
    assert loaded(faulty_shop, FIRST, "--even-if-older") == first


def test_a_later_delta_does_not_keep_a_whole_release_out(faulty_shop: Shop) -> None:
    """The day's release is made while the deltas of the hours after it go live over the release of the day before."""
    before = faulty_shop.release(FIRST, seed=1)
    loaded(faulty_shop, FIRST)
    late = "2026-11-21T01"
    faulty_shop.delta(late, {next(iter(before)): named([1])})
    loaded(faulty_shop, late, "--delta")
    faulty_shop.release(SECOND, seed=2)
    second = loaded(faulty_shop, SECOND)
    releases = faulty_shop.releases()
    release = releases.find(loaded(faulty_shop, late, "--delta"))
    assert release is not None
    assert release.base == second
    assert lists_by_id(faulty_shop, release.name, list(before)[:1]) == {next(iter(before)): named([1])}


def test_retiring_keeps_what_lies_beneath(faulty_shop: Shop) -> None:
    before = faulty_shop.release(FIRST, seed=1)
    faulty_shop.configure(keep_releases=2)
    first = loaded(faulty_shop, FIRST)
    deltas = []
    for end in (ONE, TWO, THREE):
        faulty_shop.delta(end, {next(iter(before)): [end]})
        deltas.append(loaded(faulty_shop, end, "--delta"))
    assert [release.name for release in faulty_shop.releases().all()] == [first, *deltas[1:]]
    client = faulty_shop.releases().client
    assert not list(client.scan_iter(f"larder:{deltas[0]}:*"))
    faulty_shop.releases().flip(first)
    assert faulty_shop.larder("retire", deltas[1]).returncode == 0
    with pytest.raises(ReleaseError, match="lies beneath"):
        faulty_shop.releases().remove(faulty_shop.releases().find(first))  # type: ignore[arg-type]


def has_begun(shop: Shop, to_write: bool) -> bool:
    """Whether a load holds the lock; or has registered its delta, and so begins to write."""
    releases = shop.releases()
    return any(each.base for each in releases.all()) if to_write else bool(releases.client.exists(releases.keys.lock))


@pytest.mark.slow
def test_killed_amid_a_delta_nobody_sees_it(shop: Shop) -> None:
    before = shop.release(FIRST, cookies=20_000, seed=1)
    first = loaded(shop, FIRST)
    known, draw = list(before), random.Random(3)
    changed = {key: named(draw.sample(range(500), 8)) for key in known}
    changed |= {key: named([key % 500]) for key in range(20_000)}
    shop.delta(ONE, changed)
    ordinals = {key: [int(id_[1:]) for id_ in items] for key, items in changed.items()}
    shop.configure(lists_per_second=1_000)
    expected = {first: before}
    killed = 0
    with Readers(shop.url, expected, pause=0.001) as readers:
        for number in range(KILLS):
            load = shop.start_load(ONE, "--delta")
            while not has_begun(shop, to_write=number == 0) and load.poll() is None:
                time.sleep(0.02)
            time.sleep(draw.uniform(0.2, 2.5))
            killed += load.poll() is None
            load.kill()
            load.wait()
            assert live_of(shop) == first
        [staged] = [release for release in shop.releases().all() if release.base]
        expected[staged.name] = {key: ordinals[key] for key in known}
        shop.configure()
        assert loaded(shop, ONE, "--delta") == staged.name
        time.sleep(0.2)
    assert killed >= 3
    assert readers.wrong == []
    assert readers.answers > 100
    client = shop.releases().client
    assert all(read_list(client, staged.name, key) == items for key, items in list(ordinals.items())[::20])
    assert list(client.scan_iter("larder:*:load")) == []
    assert shop.larder("verify").returncode == 0


def test_a_damaged_delta_is_not_verified(faulty_shop: Shop) -> None:
    before = faulty_shop.release(FIRST, seed=1)
    loaded(faulty_shop, FIRST)
    faulty_shop.delta(ONE, {key: ["new"] for key in list(before)[:40]})
    name = loaded(faulty_shop, ONE, "--delta")
    client = faulty_shop.releases().client
    bucket = next(client.scan_iter(f"larder:{name}:c:*"))
    client.hdel(bucket, next(iter(client.hgetall(bucket))))
    assert f"release {name} has 39 of 40 records of kind {COOKIES} (cookies)" in faulty_shop.larder("verify").stderr


@pytest.mark.skipif(shutil.which("node") is None, reason="Node is not installed")
def test_the_reader_for_node_reads_both_layers(single_shop: Shop) -> None:
    from larder.loaders.keys import key64

    single_shop.release(FIRST, seed=1, products=5_000)
    loaded(single_shop, FIRST)
    single_shop.delta(ONE, {key64("1228"): ["new", *named([4_999, 0])]})
    loaded(single_shop, ONE, "--delta")
    reader = ROOT / "docs" / "readers" / "reader.mjs"
    for words, expected in ((["cookie", "1228"], ["new", *named([4_999, 0])]), (["product", "p0000003"], None)):
        done = subprocess.run(["node", str(reader), single_shop.url, *words], capture_output=True, text=True)
        assert done.returncode == 0, done.stderr
        items = json.loads(done.stdout)["items"]
        assert items == expected if expected else all(re.fullmatch(r"p\d{7}", item) for item in items)
