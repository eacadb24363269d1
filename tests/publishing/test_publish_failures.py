"""Whatever goes wrong during a load: what is live stays whole, the message is clear, and the next run goes on."""

from __future__ import annotations

import random
import re
import socket
import threading
import time
from collections.abc import Callable, Iterator
from contextlib import suppress
from pathlib import Path

import pytest
from conftest import FIRST, SECOND, Shop
from publishing_readers import Readers, read_list
from publishing_servers import Server

from loaders.keys import KINDS
from loaders.publisher import count_records
from loaders.releases import VERIFIED, Releases
from loaders.servers import connect, nodes

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
    assert {kind: count_records(releases, release, kind) for kind in KINDS} == release.records


def wait_for_load(shop: Shop, lists: int, seconds: float = 20.0) -> None:
    """Until a load has `lists` in the server."""
    client, deadline = shop.releases().client, time.monotonic() + seconds
    while time.monotonic() < deadline:
        done = [int(n) for key in client.scan_iter("larder:*:load") for n in client.hvals(key)]
        if sum(done) >= lists:
            return
        time.sleep(0.01)
    raise AssertionError("the load does not get going")


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


def test_a_rerun_goes_on_where_it_stopped(single_shop: Shop) -> None:
    first_live(single_shop)
    single_shop.release(SECOND, cookies=COOKIES, seed=2)
    single_shop.configure(**SLOWLY)
    load = single_shop.start_load(SECOND)
    wait_for_load(single_shop, COOKIES // 4)
    load.kill()
    load.wait()
    client = single_shop.releases().client
    sent = client.info("commandstats")["cmdstat_hset"]["calls"]
    single_shop.configure()
    assert single_shop.load(SECOND).returncode == 0
    buckets = sum(single_shop.releases().all()[-1].buckets.values())
    calls = client.info("commandstats")["cmdstat_hset"]["calls"] - sent
    assert calls < 4 * buckets * 0.9  # four files: each writes to nearly every bucket; one at least was there


def test_the_server_killed_and_started_again(start_server: Callable[..., Server], tmp_path: Path) -> None:
    server = start_server()
    shop = Shop(tmp_path, server.url)
    expected = first_live(shop)
    shop.releases().client.save()
    second = shop.release(SECOND, cookies=COOKIES, seed=2)
    shop.configure(**SLOWLY)
    before = live_of(shop)
    load = shop.start_load(SECOND)
    wait_for_load(shop, 1)
    server.kill()
    server.start()
    _, stderr = load.communicate(timeout=30)
    assert load.returncode == 1
    assert re.search("restarted|connection to the server was lost", stderr), stderr
    assert "Traceback" not in stderr
    assert live_of(shop) == before
    assert [read_list(shop.releases().client, before, key) for key in expected[before]] == [*expected[before].values()]
    done = shop.load(SECOND)
    assert done.returncode == 0, done.stderr
    whole(shop.releases(), live_of(shop))
    assert all(read_list(shop.releases().client, live_of(shop), key) == items for key, items in second.items())


class Proxy:
    """Passes bytes on to a server, until told to drop its connections."""

    def __init__(self, port: int) -> None:
        self.target, self.open = port, []  # type: ignore[var-annotated]
        self.listener = socket.create_server(("127.0.0.1", 0))
        self.port = self.listener.getsockname()[1]
        threading.Thread(target=self._accept, daemon=True).start()

    def drop(self) -> None:
        for pair in self.open:
            for end in pair:
                with suppress(OSError):  # closed already
                    end.shutdown(socket.SHUT_RDWR)
        self.open = []

    def _accept(self) -> None:
        while True:
            try:
                near, _ = self.listener.accept()
            except OSError:
                return
            try:
                far = socket.create_connection(("127.0.0.1", self.target))
            except OSError:
                near.close()
                continue
            self.open.append((near, far))
            for source, sink in ((near, far), (far, near)):
                threading.Thread(target=self._pass, args=(source, sink), daemon=True).start()

    @staticmethod
    def _pass(source: socket.socket, sink: socket.socket) -> None:
        try:
            while data := source.recv(1 << 16):
                sink.sendall(data)
            sink.shutdown(socket.SHUT_RDWR)
        except OSError:
            pass


@pytest.fixture
def proxy(single_shop: Shop) -> Iterator[Proxy]:
    made = Proxy(int(single_shop.url.rpartition(":")[2].partition("/")[0]))
    yield made
    made.listener.close()


def test_a_dropped_connection_is_opened_again(single_shop: Shop, proxy: Proxy) -> None:
    first_live(single_shop)
    single_shop.release(SECOND, cookies=COOKIES, seed=2)
    single_shop.configure(url=f"redis://127.0.0.1:{proxy.port}/0", **SLOWLY)
    load = single_shop.start_load(SECOND)
    wait_for_load(single_shop, 1)
    proxy.drop()
    _, stderr = load.communicate(timeout=60)
    assert load.returncode == 0, stderr
    whole(single_shop.releases(), live_of(single_shop))


def test_a_release_that_does_not_fit_is_refused_with_the_figures(single_shop: Shop) -> None:
    first_live(single_shop)
    before, client = live_of(single_shop), single_shop.releases().client
    single_shop.release(SECOND, cookies=COOKIES, seed=2)
    client.config_set("maxmemory", client.info("memory")["used_memory"] + 2**20)
    refused = single_shop.load(SECOND)
    assert refused.returncode == 1
    assert re.search(r"takes about \d+ MiB, and the server has \d+ of \d+ MiB \(maxmemory\) in use", refused.stderr)
    assert live_of(single_shop) == before
    assert [release.name for release in single_shop.releases().all()] == [before]


def test_a_server_that_fills_up_meanwhile(single_shop: Shop) -> None:
    expected = first_live(single_shop)
    before, client = live_of(single_shop), single_shop.releases().client
    single_shop.release(SECOND, cookies=COOKIES, seed=2)
    single_shop.configure(**SLOWLY)
    load = single_shop.start_load(SECOND)
    wait_for_load(single_shop, 1)
    client.config_set("maxmemory", client.info("memory")["used_memory"])
    _, stderr = load.communicate(timeout=30)
    assert load.returncode == 1
    assert "the server is full (maxmemory)" in stderr
    assert UNTOUCHED in stderr
    assert live_of(single_shop) == before
    assert all(read_list(client, before, key) == items for key, items in expected[before].items())
    client.config_set("maxmemory", 0)
    single_shop.configure()
    assert single_shop.load(SECOND).returncode == 0


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


def test_a_wrong_password_is_named_and_not_printed(start_server: Callable[..., Server], tmp_path: Path) -> None:
    server = start_server("--requirepass", "right")
    right, wrong = (server.url.replace("//", f"//:{password}@") for password in ("right", "wr0ngpassw0rd"))
    shop = Shop(tmp_path, right)
    before = next(iter(first_live(shop)))
    shop.release(SECOND, seed=2)
    shop.configure(url=wrong)
    refused = shop.load(SECOND)
    assert refused.returncode == 1
    assert "does not accept the user or password of redis.url" in refused.stderr
    assert "wr0ngpassw0rd" not in refused.stdout + refused.stderr
    assert live_of(shop) == before


def test_no_server_there(single_shop: Shop) -> None:
    single_shop.release(FIRST)
    single_shop.configure(url="redis://127.0.0.1:1/0")
    refused = single_shop.load(FIRST)
    assert refused.returncode == 1
    assert "Traceback" not in refused.stderr
    assert "Connection refused" in refused.stderr
