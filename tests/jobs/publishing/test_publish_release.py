"""A release from its tables to live, and what operators do with it, with one server and with a cluster."""

from __future__ import annotations

import re
import time

import pytest
from publishing_readers import Readers, read_list
from publishing_shop import FIRST, SECOND, Shop
from pyspark.sql import SparkSession

from larder.jobs import load_redis
from larder.loaders.differences import difference
from larder.loaders.lease import Lease, LockError

pytestmark = pytest.mark.end_to_end

FLIPS, PATIENCE = 120, 300.0


def live_of(shop: Shop) -> str:
    return shop.releases().live().release or "none"


def loaded(shop: Shop, as_of: str, *arguments: str) -> str:
    """Loads, and returns what is live then."""
    done = shop.load(as_of, *arguments)
    assert done.returncode == 0, done.stdout + done.stderr
    return live_of(shop)


def test_what_is_loaded_is_served_and_can_be_gone_back_from(shop: Shop) -> None:
    first, second = shop.release(FIRST, seed=1), shop.release(SECOND, seed=2)
    names = [loaded(shop, FIRST), loaded(shop, SECOND)]
    client = shop.releases().client
    for name, lists in zip(names, (first, second), strict=True):
        assert {key: read_list(client, name, key) for key in list(lists)[:200]} == dict(list(lists.items())[:200])
    whole = shop.larder("verify")
    assert "complete: lists of 5,000 cookies, 200 products, 2 contexts" in whole.stdout, whole.stderr
    assert f"live: {names[0]}" in shop.larder("rollback").stdout
    assert live_of(shop) == names[0]
    assert f"live: {names[1]}" in shop.larder("rollback", "--to", names[1]).stdout
    assert "is live" in shop.larder("retire", names[1]).stderr
    assert shop.larder("retire", names[0]).returncode == 0
    assert [release.name for release in shop.releases().all()] == [names[1]]
    assert f"live: {names[1]}" in shop.larder("releases").stdout


def test_spark_tasks_load_it_as_well(spark: SparkSession, shop: Shop) -> None:
    lists = shop.release(FIRST)
    load_redis.run(spark, load_redis.parse_arguments(["--settings", str(shop.settings), "--as-of", FIRST]))
    client = shop.releases().client
    assert all(read_list(client, live_of(shop), key) == items for key, items in list(lists.items())[:200])


def test_the_same_again_writes_nothing(shop: Shop) -> None:
    shop.release(FIRST)
    name = loaded(shop, FIRST)
    assert "up_to_date=" in shop.load(FIRST).stdout
    assert live_of(shop) == name


def test_a_difference_is_counted_by_product_id(faulty_shop: Shop) -> None:
    first, second = faulty_shop.release(FIRST, cookies=900, seed=1), faulty_shop.release(SECOND, cookies=900, seed=2)
    names = [loaded(faulty_shop, FIRST), loaded(faulty_shop, SECOND)]
    found = difference(faulty_shop.releases(), *names)
    same = sum(first[key] == second[key] for key in first)
    shares = [len(set(second[k]) - set(first[k])) / len(second[k]) for k in first if first[k] != second[k]]
    assert (found.same, found.changed, found.only_before, found.only_after) == (same, 900 - same, 0, 0)
    assert found.mean_replaced == pytest.approx(sum(shares) / len(shares))
    printed = faulty_shop.larder("diff", "--show", "3").stdout
    assert re.search(rf"changed {900 - same}\b", printed)
    assert len(re.findall(r"^[0-9a-f]{16}  ", printed, re.M)) == 3


def test_a_damaged_record_is_not_verified(faulty_shop: Shop) -> None:
    faulty_shop.release(FIRST)
    name = loaded(faulty_shop, FIRST)
    client = faulty_shop.releases().client
    bucket = f"larder:{name}:g:0"
    client.hset(bucket, next(iter(client.hgetall(bucket))), b"\x05\x01")
    assert "ends too early" in faulty_shop.larder("verify", name).stderr
    client.hdel(bucket, *client.hgetall(bucket))
    assert "has 0 of 2 records of kind g (contexts)" in faulty_shop.larder("verify", name).stderr


def test_the_second_loader_is_told_who_is_first(faulty_shop: Shop) -> None:
    faulty_shop.release(FIRST)
    client = faulty_shop.releases().client
    with Lease(client, "larder", 5.0):
        refused = faulty_shop.load(FIRST, "--wait", "0")
        assert refused.returncode == 1
        assert re.search(r"\(process \d+\) is loading; its lease has \d+ s left", refused.stderr)
    assert loaded(faulty_shop, FIRST) != "none"


def test_a_lease_is_renewed_while_held_and_runs_out_when_not(faulty_shop: Shop) -> None:
    client = faulty_shop.releases().client
    with Lease(client, "larder", 0.3):
        time.sleep(1)
        with pytest.raises(LockError, match="is loading"), Lease(client, "larder", 0.3):
            pass
    client.set("larder:lock", '{"host": "gone", "pid": 1}', px=300)
    with Lease(client, "larder", 0.3, wait=2) as ours:
        client.set("larder:lock", '{"host": "thief", "pid": 2}')
        with pytest.raises(LockError, match="was lost"):
            ours.check()
    assert b"thief" in client.get("larder:lock")  # only its owner gives a lock back


def test_flips_and_rollbacks_under_readers(shop: Shop) -> None:
    expected = {}
    for seed, as_of in enumerate((FIRST, SECOND)):
        lists = shop.release(as_of, seed=seed)
        expected[loaded(shop, as_of)] = lists
    releases, names = shop.releases(), list(expected)
    with Readers(shop.url, expected, threads=100, pause=0.1) as readers:
        for flip in range(FLIPS):
            releases.flip(names[flip % 2]) if flip % 4 < 2 else releases.rollback()
        deadline = time.monotonic() + PATIENCE
        while readers.answers < 2000 and time.monotonic() < deadline:
            time.sleep(0.05)
    assert readers.wrong == []
    assert readers.answers >= 2000
    assert readers.seen == set(names)
