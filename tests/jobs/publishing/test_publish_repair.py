"""Whatever a server loses of a release, one command restores it, and nothing says that it is up to date meanwhile."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace
from pathlib import Path

import pytest
import redis
from publishing_readers import read_list
from publishing_shop import FIRST, SECOND, Shop

from larder.loaders.releases import STAGED, VERIFIED, Live, ReleaseError
from larder.models.hours import NotAnHourError

pytestmark = pytest.mark.end_to_end
Loss = Callable[[redis.Redis, str], object]


def _kind(letter: str) -> Loss:
    return lambda client, name: client.delete(*client.keys(f"larder:{name}:{letter}:*"))


def _with_another_type(client: redis.Redis, name: str) -> None:
    for key in (f"larder:{name}:c:3", f"larder:{name}:d:0", f"larder:{name}:meta"):
        client.delete(key)
        client.rpush(key, "x")


def _with_other_bytes(client: redis.Redis, name: str) -> None:
    bucket = f"larder:{name}:c:3"
    client.hset(bucket, client.hkeys(bucket)[0], "x")


LOSSES: dict[str, Loss] = {
    "a bucket": lambda client, name: client.delete(f"larder:{name}:c:3"),
    "one list": lambda client, name: client.hdel(f"larder:{name}:c:3", client.hkeys(f"larder:{name}:c:3")[0]),
    "the dictionary": _kind("d"),
    "the registry": lambda client, name: client.delete("larder:releases"),
    "the meta": lambda client, name: client.delete(f"larder:{name}:meta"),
    "all generic lists": _kind("g"),
    "the pointer": lambda client, name: client.delete("larder:live"),
    "pointer and registry": lambda client, name: client.delete("larder:live", "larder:releases"),
    "keys of another type": _with_another_type,
    "a list's bytes": lambda client, name: client.hset(
        f"larder:{name}:c:3", client.hkeys(f"larder:{name}:c:3")[0], "x"
    ),
    "a list too many": lambda client, name: client.hset(f"larder:{name}:c:3", "more", "x"),
    "everything": lambda client, name: client.flushall(),
}


def contents(client: redis.Redis, pattern: str) -> dict[bytes, object]:
    """Keys and what they hold; the order of a hash's fields is the server's own."""
    keys = list(client.scan_iter(pattern))
    return {key: client.hgetall(key) if client.type(key) == b"hash" else client.get(key) for key in keys}


def test_one_command_restores_whatever_is_lost(single_shop: Shop) -> None:
    lists = single_shop.release(FIRST, cookies=500)
    name = single_shop.name(FIRST)
    single_shop.load_here(FIRST)
    [client] = single_shop.nodes()
    before = contents(client, f"larder:{name}:*")
    for what, lose in LOSSES.items():
        lose(client, name)
        assert single_shop.repair_here(name if what == "the registry" else "").names == [name]
        assert single_shop.releases().live() == Live(name, None), what
        assert single_shop.releases().problems(name) == [], what
        assert contents(client, f"larder:{name}:*") == before, what
    assert {key: read_list(client, name, key) for key in lists} == lists


def test_a_load_does_not_say_up_to_date_of_what_lacks_something(single_shop: Shop) -> None:
    single_shop.release(FIRST, cookies=500)
    name = single_shop.name(FIRST)
    single_shop.load_here(FIRST)
    [client] = single_shop.nodes()
    for what in ("a bucket", "the dictionary", "all generic lists", "the registry", "the meta"):
        LOSSES[what](client, name)
        assert "up_to_date" not in single_shop.load_here(FIRST), what
        assert single_shop.releases().problems(name) == [], what
    assert single_shop.load_here(FIRST)["up_to_date"]


def test_an_emptied_release_is_neither_made_live_nor_gone_back_to(single_shop: Shop) -> None:
    """Staged, verified, then emptied: a load fills it again; a rollback refuses it and names the remedy."""
    for as_of in (FIRST, SECOND):
        single_shop.release(as_of, cookies=500)
    first, second = single_shop.name(FIRST), single_shop.name(SECOND)
    single_shop.load_here(FIRST, "--stay")
    [client] = single_shop.nodes()
    _kind("c")(client, first)
    assert "has 0 of 500 records" in single_shop.load_here(FIRST)["restored"]
    assert single_shop.releases().problems(first) == []
    single_shop.load_here(SECOND)
    _kind("c")(client, first)
    refused = single_shop.larder("rollback")
    assert refused.returncode == 1
    assert f"release {first} has 0 of 500 records of kind c (cookies)" in refused.stderr
    assert f"larder repair-release {first}" in refused.stderr
    assert single_shop.releases().live() == Live(second, first)
    done = single_shop.larder("repair-release", first)
    assert f"before: {first} has 0 of 500 records" in done.stdout, done.stderr
    assert f"restored: {first}" in done.stdout
    assert single_shop.releases().live() == Live(second, first)
    assert single_shop.releases().rollback() == Live(first, second)


def test_a_delta_is_restored_with_its_base(single_shop: Shop) -> None:
    lists = single_shop.release(FIRST, cookies=500)
    single_shop.load_here(FIRST)
    cookie = next(iter(lists))
    single_shop.delta("2026-11-20T01", {cookie: ["p0000003", "new"], 7: ["p0000001"]})
    single_shop.load_here("2026-11-20T01", "--delta")
    delta, base = single_shop.releases().live().release, single_shop.name(FIRST)
    assert delta is not None
    [client] = single_shop.nodes()
    before = contents(client, "larder:*:*")
    of_both = ("the dictionary", "the meta")
    for what, lose in LOSSES.items():
        lose(client, base)
        if what in of_both and client.exists(f"larder:{delta}:meta"):
            lose(client, delta)
            client.delete(f"larder:{delta}:c:0")
        assert single_shop.repair_here(delta).names == [base, delta], what
        assert single_shop.releases().live().release == delta, what
        assert contents(client, "larder:*:*") == before, what
    LOSSES["a bucket"](client, base)
    single_shop.delta("2026-11-20T02", {cookie: ["p0000004"]})
    with pytest.raises(ReleaseError, match=f"larder repair-release {base}"):
        single_shop.load_here("2026-11-20T02", "--delta")


def test_other_releases_of_a_lost_registry_are_found_again(single_shop: Shop) -> None:
    """Otherwise nothing would ever remove their keys."""
    lists = {as_of: single_shop.release(as_of, cookies=500) for as_of in (FIRST, SECOND)}
    single_shop.load_here(FIRST)
    single_shop.load_here(SECOND)
    single_shop.delta("2026-11-21T01", {next(iter(lists[SECOND])): ["p0000003"]})
    single_shop.load_here("2026-11-21T01", "--delta")
    releases = single_shop.releases()
    before = {release.name: release for release in releases.all()}
    first, second, delta = sorted(before)
    LOSSES["pointer and registry"](releases.client, second)
    done = single_shop.repair_here(second)
    assert done.found == [first, delta]
    assert [release.name for release in releases.all()] == [first, delta, second]
    assert {release.name: release.state for release in releases.all()} == {
        first: VERIFIED,
        second: VERIFIED,
        delta: STAGED,
    }
    assert releases.find(first) == replace(before[first], order=-1)
    for name in (delta, first):
        releases.remove(releases.find(name))
        assert not list(releases.client.scan_iter(f"larder:{name}:*"))
    assert releases.problems(second) == []


def test_a_node_of_a_cluster_that_comes_back_empty(cluster_url: str, tmp_path: Path) -> None:
    shop = Shop(tmp_path, cluster_url)
    for node in shop.nodes():
        node.flushall()
    shop.release(FIRST, cookies=500)
    name = shop.name(FIRST)
    shop.load_here(FIRST)
    for number, node in enumerate(shop.nodes()):
        node.flushall()
        shop.load_here(FIRST) if number % 2 else shop.repair_here(name)
        assert shop.releases().problems(name) == []


def test_tables_that_no_longer_make_a_release_are_told(single_shop: Shop) -> None:
    single_shop.release(FIRST, cookies=500)
    single_shop.load_here(FIRST)
    name = single_shop.name(FIRST)
    single_shop.configure(bucket_size=20)
    with pytest.raises(ReleaseError, match=f"no longer make the release {name}"):
        single_shop.repair_here()
    with pytest.raises(ReleaseError, match="nonsense is no name of a release"):
        single_shop.repair_here("nonsense")
    with pytest.raises(NotAnHourError):
        single_shop.repair_here("9999999999ab12cd")


def test_room_is_asked_for_what_is_missing_alone(single_shop: Shop) -> None:
    """A server that is nearly full of the release itself has room to restore one bucket of it."""
    single_shop.release(FIRST, cookies=20_000)
    single_shop.load_here(FIRST)
    [client] = single_shop.nodes()
    client.delete(f"larder:{single_shop.name(FIRST)}:c:3")
    client.config_set("maxmemory", int(client.info("memory")["used_memory"]) + (1 << 20))
    assert "records of kind c" in single_shop.load_here(FIRST)["restored"]
