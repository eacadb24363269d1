"""What is reckoned before a load beside what the server says after it."""

from __future__ import annotations

import numpy as np
import pytest
from publishing_shop import FIRST, SECOND, Shop
from publishing_tables import skewed

from larder.loaders.capacity import ShopSize, delta_bytes, planned
from larder.loaders.memory_estimate import allocator_of, entry_bytes, size_class

WITHIN = 0.10
DELTA = "2026-11-20T01"


@pytest.mark.end_to_end
@pytest.mark.parametrize("cookies", [40_000, 200_000])
@pytest.mark.parametrize("scores", [True, False])
def test_the_plan_is_within_a_tenth_of_a_real_load(single_shop: Shop, cookies: int, scores: bool) -> None:
    single_shop.configure(bucket_size=48, scores=str(scores).lower())
    single_shop.release(FIRST, cookies=10)
    assert single_shop.load(FIRST).returncode == 0  # some 300 KB go to statistics of commands, once in a server's life
    single_shop.release(SECOND, cookies=cookies, products=20_000, items=30)
    client = single_shop.releases().client
    before = client.info("memory")["used_memory"]
    done = single_shop.load(SECOND)
    assert done.returncode == 0, done.stderr
    measured = client.info("memory")["used_memory"] - before
    size = ShopSize(cookies=cookies, products=20_000, contexts=2, scores=scores, id_bytes=8)
    _, estimate = planned(size, allocator_of(client))
    # The tables hold lists for 200 products; a plan reckons with one for each.
    without = estimate.total - estimate.by_part["p"]
    assert without == pytest.approx(measured, rel=WITHIN)


@pytest.mark.end_to_end
def test_a_delta_takes_what_is_planned(single_shop: Shop) -> None:
    cookies, products = 30_000, 20_000
    single_shop.release(FIRST, cookies=2_000, products=products)
    single_shop.configure(bucket_size=48)
    assert single_shop.load(FIRST).returncode == 0
    random = np.random.default_rng(3)
    lists = skewed(random, (cookies, 30), products).tolist()
    keys = random.integers(0, 2**64, cookies, dtype=np.uint64).tolist()
    single_shop.delta(DELTA, {key: [f"p{item:07d}" for item in items] for key, items in zip(keys, lists, strict=True)})
    client = single_shop.releases().client
    before = client.info("memory")["used_memory"]
    done = single_shop.load(DELTA, "--delta")
    assert done.returncode == 0, done.stderr
    measured = client.info("memory")["used_memory"] - before
    size = ShopSize(cookies=2_000, products=products, contexts=2, id_bytes=8)
    assert delta_bytes(size, cookies, allocator_of(client)) == pytest.approx(measured, rel=WITHIN)


@pytest.mark.end_to_end
def test_the_arithmetic_is_shown(single_shop: Shop) -> None:
    size = ("--cookies", "1000000", "--products", "10000", "--active", "100000")
    shown = single_shop.larder("plan", *size, "--rate", "500000").stdout
    for what in (
        "memory of a release",
        "memory of a delta",
        "lists of 100,000 cookies",
        "shards",
        "load",
        "Spark",
        "endpoint instances",
    ):
        assert what in shown
    assert "2 s = 1,011,000 lists / 500,000 a second (given)" in shown


def test_sizes_of_listpack_entries() -> None:
    assert entry_bytes(np.array([1, 63, 64, 125, 126, 4095])).tolist() == [3, 65, 67, 128, 130, 4099]


def test_sizes_that_the_allocator_hands_out() -> None:
    sizes = np.array([1, 8, 65, 81, 1025, 3585, 4096, 4097])
    assert size_class(sizes).tolist() == [8, 8, 80, 96, 1280, 4096, 4096, 5120]
    assert size_class(np.array([1, 8, 24, 25, 40, 41]), "libc").tolist() == [24, 24, 24, 40, 40, 56]
