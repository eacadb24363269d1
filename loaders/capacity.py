"""Estimates memory, shards and loading time of a release of a given size, and shows the arithmetic."""

from __future__ import annotations

import math
import tempfile
import time
from dataclasses import dataclass, replace
from pathlib import Path

import numpy as np

from larder.loaders import memory_estimate, publisher
from larder.loaders.codec import encode_lists
from larder.loaders.embedded import embedded_server
from larder.loaders.keys import CONTEXTS, COOKIES, PRODUCTS
from larder.loaders.lists import RankedLists
from larder.loaders.releases import Release, Releases
from larder.loaders.servers import connect

SAMPLED_LISTS = 5_000
MEASURED_LISTS = 60_000
SECONDS_AN_HOUR = 3600
MEBIBYTE, GIBIBYTE = 1 << 20, 1 << 30


@dataclass(frozen=True)
class ShopSize:
    """The size of a shop: lists of each kind, items per list, bytes per id."""

    cookies: int
    products: int
    contexts: int
    items: int = 30
    scores: bool = True
    bucket_size: int = 48
    id_bytes: int = 10


@dataclass(frozen=True)
class PlanAssumptions:
    """What a plan is given and does not measure. Rates are per second.

    releases: whole releases kept at once, and as many deltas. active: cookies with an event in a day, which have a list
    in the day's last delta; 0 means no deltas.
    """

    releases: int = 3
    active: int = 0
    shard_bytes: int = 16 * GIBIBYTE
    headroom: float = 0.2
    lists_per_core: float = 6_000.0
    requests: float = 1_000.0
    requests_per_instance: float = 10_000.0


def planned(size: ShopSize, allocator: str = memory_estimate.JEMALLOC) -> tuple[Release, memory_estimate.Estimate]:
    """Returns the release of a shop of that size, and its memory. Products are drawn by Zipf's law."""
    records = {COOKIES: size.cookies, PRODUCTS: size.products, CONTEXTS: size.contexts}
    release = publisher.plan("plan", "plan", records, size.products, size.bucket_size)
    lists = drawn_lists(size, SAMPLED_LISTS)
    _, offsets = encode_lists(lists.offsets, lists.ordinals, lists.scores if size.scores else None)
    sizes = memory_estimate.ReleaseSizes(
        records=records,
        lengths=dict.fromkeys(records, np.diff(offsets)),
        buckets=release.buckets,
        dictionary_bytes=size.products * (size.id_bytes + 1),
        chunks=release.chunks,
    )
    return release, memory_estimate.estimate(sizes, allocator)


def drawn_lists(size: ShopSize, lists: int, seed: int = 0) -> RankedLists:
    """Returns lists of a shop of that size; a product's frequency falls like 1 / its rank."""
    random = np.random.default_rng(seed)
    ordinals = np.minimum(size.products ** random.random(lists * size.items) - 1, size.products - 1).astype(np.int32)
    scores = np.tile(np.linspace(1, 0.1, size.items), lists)
    keys = random.integers(0, 2**64, lists, dtype=np.uint64)
    return RankedLists(keys, np.arange(lists + 1) * size.items, ordinals, scores)


def measured_rate(size: ShopSize) -> float:
    """Returns the lists per second that one loader on this machine writes to a server of its own."""
    lists = drawn_lists(size, MEASURED_LISTS)
    with tempfile.TemporaryDirectory() as folder, embedded_server(Path(folder)) as url:
        client = connect(url)
        records = {COOKIES: MEASURED_LISTS, PRODUCTS: 0, CONTEXTS: 0}
        planned_release = publisher.plan("plan", "plan", records, 0, size.bucket_size)
        release = publisher.stage(Releases(client, "plan"), planned_release)
        begun = time.perf_counter()
        publisher.write_lists(client, "plan", release, COOKIES, lists, size.scores)
        rate = MEASURED_LISTS / (time.perf_counter() - begun)
        client.close()
    return rate


def delta_bytes(size: ShopSize, active: int, allocator: str = memory_estimate.JEMALLOC) -> int:
    """Returns the bytes of a delta with the lists of `active` cookies."""
    if not active:
        return 0
    _, estimate = planned(replace(size, cookies=active, contexts=0), allocator)
    return estimate.by_part[COOKIES]


def plan_lines(
    size: ShopSize, assumed: PlanAssumptions, rate: float, source: str = "measured here, one loader"
) -> list[str]:
    """Returns the lines of the plan, each figure with its arithmetic. rate: lists loaded per second, by `source`."""
    _, estimate = planned(size)
    lists = size.cookies + size.products + size.contexts
    delta = delta_bytes(size, assumed.active)
    kept = assumed.releases * (estimate.total + delta)
    shards = math.ceil(kept * (1 + assumed.headroom) / assumed.shard_bytes)
    parts = " + ".join(f"{part} {value / MEBIBYTE:,.0f}" for part, value in estimate.by_part.items())
    cores = lists / assumed.lists_per_core / SECONDS_AN_HOUR
    instances = math.ceil(assumed.requests / assumed.requests_per_instance) + 1
    return [
        f"memory of a release   {estimate.total / MEBIBYTE:,.0f} MiB = {parts} MiB (d: dictionary)"
        f"; {estimate.total / max(1, size.cookies):.1f} bytes a cookie, all in",
        f"memory of a delta     {delta / MEBIBYTE:,.0f} MiB: the lists of {assumed.active:,} cookies active in a day",
        f"memory                {kept / GIBIBYTE:,.2f} GiB = {assumed.releases} releases and deltas x"
        f" {(estimate.total + delta) / GIBIBYTE:,.2f} GiB",
        f"shards                {shards} = {kept / GIBIBYTE:,.2f} GiB x {1 + assumed.headroom:.2f}"
        f" / {assumed.shard_bytes / GIBIBYTE:,.0f} GiB a shard, rounded up",
        f"load                  {lists / rate:,.0f} s = {lists:,} lists / {rate:,.0f} a second ({source})",
        f"Spark, making lists   {cores:,.2f} core hours = {lists:,} lists / {assumed.lists_per_core:,.0f}"
        " a second and core (given) / 3,600",
        f"endpoint instances    {instances} = {assumed.requests:,.0f} requests a second /"
        f" {assumed.requests_per_instance:,.0f} an instance (given), rounded up, and one to spare",
    ]
