"""Whatever goes wrong during a load: what is live stays whole, the message is clear, and the next run goes on."""

from __future__ import annotations

import random
import re
import time
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest
from publishing_readers import Readers, read_list
from publishing_servers import Server, start_cluster, stop, wait_for_cluster
from publishing_shop import CLUSTER, FIRST, ONE_SERVER, SECOND, Shop

from larder.loaders.keys import KINDS
from larder.loaders.record_counts import count_records
from larder.loaders.releases import VERIFIED, Releases
from larder.loaders.servers import connect, nodes

pytestmark = pytest.mark.end_to_end

KILLS, KILLS_OF_CLUSTER, COOKIES = 20, 8, 60_000
UNTOUCHED = "the live release is as it was"
SLOWLY = {"lists_per_second": 60_000, "threads": 2}


def live_of(shop: Shop) -> str:
    return shop.releases().live().release or "none"


def first_live(shop: Shop) -> dict[str, dict[int, list[int]]]:
    """The first release live, and the tables of a larger second one there: what readers may expect of the first."""
    lists = shop.release(FIRST, seed=1)
    done = shop.load(FIRST)
    assert done.returncode == 0, done.stderr
    return {live_of(shop): lists}


def whole(releases: Releases, name: str) -> None:
    release = releases.find(name)
    assert release is not None
    assert release.state == VERIFIED
    assert {kind: count_records(releases.client, "larder", release, kind).records for kind in KINDS} == release.records


def wait_for_load(shop: Shop, lists: int, seconds: float = 20.0) -> None:
    """Until a load has `lists` in the server."""
    client, deadline = shop.releases().client, time.monotonic() + seconds
    while time.monotonic() < deadline:
        done = [int(n) for key in client.scan_iter("larder:*:load") for n in client.hvals(key)]
        if sum(done) >= lists:
            return
        time.sleep(0.01)
    raise AssertionError("the load does not get going")


@pytest.mark.slow
@pytest.mark.timeout(240)
def test_killed_at_twenty_points_nobody_sees_it(shop: Shop) -> None:
    expected = first_live(shop)
    second = shop.release(SECOND, cookies=COOKIES, seed=2)
    shop.configure(lists_per_second=5_000)  # slow enough that most are killed amid their work
    is_cluster = len(nodes(shop.releases().client)) > 1
    name, before, draw = shop.name(SECOND), live_of(shop), random.Random(5)
    expected[name] = second
    killed = 0
    with Readers(shop.url, expected) as readers:
        for _ in range(KILLS_OF_CLUSTER if is_cluster else KILLS):
            load = shop.start_load(SECOND)
            time.sleep(draw.uniform(0.3, 4.0))
            killed += load.poll() is None
            load.kill()
            load.wait()
            assert live_of(shop) in (before, name)
        shop.configure()
        done = shop.load(SECOND)
        assert done.returncode == 0, done.stderr
        time.sleep(0.2)
    assert killed >= 5
    assert readers.wrong == []
    assert readers.answers > 100
    assert live_of(shop) == name
    whole(shop.releases(), name)
    client = shop.releases().client
    assert all(read_list(client, name, key) == items for key, items in list(second.items())[:200])
    assert list(client.scan_iter("larder:*:load")) == []


def test_a_rerun_goes_on_where_it_stopped(faulty_shop: Shop) -> None:
    first_live(faulty_shop)
    faulty_shop.release(SECOND, cookies=COOKIES, seed=2)
    faulty_shop.configure(**SLOWLY)
    load = faulty_shop.start_load(SECOND)
    wait_for_load(faulty_shop, COOKIES // 4)
    load.kill()
    load.wait()
    sent = hset_calls(faulty_shop)
    faulty_shop.configure()
    assert faulty_shop.load(SECOND).returncode == 0
    buckets = sum(faulty_shop.releases().all()[-1].buckets.values())
    calls = hset_calls(faulty_shop) - sent
    assert calls < 4 * buckets * 0.9  # four files: each writes to nearly every bucket; one at least was there


def hset_calls(shop: Shop) -> int:
    return sum(node.info("commandstats")["cmdstat_hset"]["calls"] for node in shop.nodes())


@pytest.fixture(params=[ONE_SERVER, pytest.param(CLUSTER, marks=pytest.mark.slow)])
def own_servers(request: pytest.FixtureRequest, tmp_path: Path) -> Iterator[list[Server]]:
    """Servers that keep their data on disk, to be killed and started again."""
    if request.param == ONE_SERVER:
        servers = [Server(tmp_path / "server").start()]
    else:
        servers = start_cluster(tmp_path / "cluster", save="3600 1")
    yield servers
    stop(servers)


def test_the_server_killed_and_started_again(own_servers: list[Server], tmp_path: Path) -> None:
    server = own_servers[-1]
    shop = Shop(tmp_path, own_servers[0].url)
    expected = first_live(shop)
    for node in shop.nodes():
        node.save()
    second = shop.release(SECOND, cookies=COOKIES, seed=2)
    shop.configure(**SLOWLY)
    before = live_of(shop)
    load = shop.start_load(SECOND)
    wait_for_load(shop, 1)
    server.kill()
    server.start()
    if len(own_servers) > 1:
        wait_for_cluster(own_servers)
    _, stderr = load.communicate(timeout=300)
    assert load.returncode == 1
    assert re.search("restarted|no connection to the server", stderr), stderr
    assert "Traceback" not in stderr
    assert live_of(shop) == before
    assert [read_list(shop.releases().client, before, key) for key in expected[before]] == [*expected[before].values()]
    done = shop.load(SECOND)
    assert done.returncode == 0, done.stderr
    whole(shop.releases(), live_of(shop))
    assert all(read_list(shop.releases().client, live_of(shop), key) == items for key, items in second.items())


def test_a_dropped_connection_is_opened_again(faulty_shop: Shop) -> None:
    first_live(faulty_shop)
    faulty_shop.release(SECOND, cookies=COOKIES, seed=2)
    faulty_shop.configure(**SLOWLY)
    load = faulty_shop.start_load(SECOND)
    wait_for_load(faulty_shop, 1)
    dropped = [node.client_kill_filter(_type="normal", skipme=True) for node in faulty_shop.nodes()]
    assert all(dropped)
    _, stderr = load.communicate(timeout=300)
    assert load.returncode == 0, stderr
    assert live_of(faulty_shop) == faulty_shop.name(SECOND)
    whole(faulty_shop.releases(), live_of(faulty_shop))


def test_a_release_that_does_not_fit_is_refused_with_the_figures(faulty_shop: Shop) -> None:
    first_live(faulty_shop)
    before, node = live_of(faulty_shop), faulty_shop.nodes()[-1]
    faulty_shop.release(SECOND, cookies=COOKIES, seed=2)
    node.config_set("maxmemory", node.info("memory")["used_memory"] + 2**18)
    refused = faulty_shop.load(SECOND)
    assert refused.returncode == 1
    assert re.search(r"takes about \d+ MiB, and the server has \d+ of \d+ MiB \(maxmemory\) in use", refused.stderr)
    assert live_of(faulty_shop) == before
    assert [release.name for release in faulty_shop.releases().all()] == [before]


def test_a_server_that_fills_up_meanwhile(faulty_shop: Shop) -> None:
    expected = first_live(faulty_shop)
    before, client, nodes = live_of(faulty_shop), faulty_shop.releases().client, faulty_shop.nodes()
    faulty_shop.release(SECOND, cookies=COOKIES, seed=2)
    faulty_shop.configure(**SLOWLY)
    load = faulty_shop.start_load(SECOND)
    wait_for_load(faulty_shop, 1)
    for node in nodes:
        node.config_set("maxmemory", 1)  # what is in use by now may be given back a moment later
    _, stderr = load.communicate(timeout=300)
    assert load.returncode == 1
    assert "the server is full (maxmemory)" in stderr
    assert UNTOUCHED in stderr
    assert live_of(faulty_shop) == before
    assert all(read_list(client, before, key) == items for key, items in expected[before].items())
    for node in nodes:
        node.config_set("maxmemory", 0)
    faulty_shop.configure()
    assert faulty_shop.load(SECOND).returncode == 0


def test_a_read_only_replica(single_shop: Shop, start_server: Callable[..., Server]) -> None:
    first_live(single_shop)
    port = single_shop.url.rpartition(":")[2].partition("/")[0]
    replica = start_server("--save", "", "--replicaof", f"127.0.0.1 {port}")
    deadline = time.monotonic() + 20
    with connect(replica.url) as client:
        while client.info("replication").get("master_link_status") != "up" and time.monotonic() < deadline:
            time.sleep(0.05)
    single_shop.release(SECOND, seed=2)
    single_shop.configure(url=replica.url)
    refused = single_shop.load(SECOND)
    assert refused.returncode == 1
    assert "read-only replica; set redis.url to the primary" in refused.stderr
    assert UNTOUCHED in refused.stderr


def test_a_wrong_password_is_named_and_not_printed(faulty_shop: Shop) -> None:
    before, clients = next(iter(first_live(faulty_shop))), faulty_shop.nodes()
    faulty_shop.release(SECOND, seed=2)
    for client in clients:
        client.config_set("requirepass", "right")
    try:
        faulty_shop.configure(url=faulty_shop.url.replace("//", "//:wr0ngpassw0rd@"))
        refused = faulty_shop.load(SECOND)
        faulty_shop.configure(url=faulty_shop.url.replace("//", "//:right@"))
        taken = faulty_shop.load(SECOND, "--stay")
    finally:
        for client in clients:
            client.config_set("requirepass", "")
    assert refused.returncode == 1
    assert "does not accept the user or password of redis.url" in refused.stderr
    assert "wr0ngpassw0rd" not in refused.stdout + refused.stderr
    assert taken.returncode == 0, taken.stderr
    assert live_of(faulty_shop) == before


def test_no_server_there(single_shop: Shop) -> None:
    single_shop.release(FIRST)
    single_shop.configure(url="redis://127.0.0.1:1/0")
    refused = single_shop.load(FIRST)
    assert refused.returncode == 1
    assert "Traceback" not in refused.stderr
    assert "Connection refused" in refused.stderr
