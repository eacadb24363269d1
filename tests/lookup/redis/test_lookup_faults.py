"""Faults under load, each with real processes: answers go on, no 5xx, and all is well again afterwards."""

from __future__ import annotations

import os
import signal
import socket
import threading
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager, suppress
from pathlib import Path
from typing import Any

import httpx
import pytest
from faulty_redis import FaultyRedis
from lookup_servers import KEYS, Endpoint, RedisServer, ids_of, publish, publish_usual, ranked, route_of, wait_until

pytestmark = [pytest.mark.end_to_end, pytest.mark.slow]

DEADLINE_MS = 100
# Of each visitor while a fault lasts. One who had to wait for its end would get one.
LEAST_ANSWERS = 4
RECOVERY_SECONDS = 2.0
FAULT_SECONDS = 2.5
VISITORS = 4
QUERY = "cookie=c1&product=p1&location=zone1&device=till"
MakeRedis = Callable[..., RedisServer]
MakeEndpoint = Callable[..., Endpoint]


class Visitors:
    """Ask without pause, and note what they get."""

    def __init__(self, url: str) -> None:
        self._url = url
        self._stop = threading.Event()
        self.statuses: list[int] = []
        self.answers: list[dict[str, Any]] = []
        self._threads = [threading.Thread(target=self._ask) for _ in range(VISITORS)]

    def _ask(self) -> None:
        with httpx.Client(base_url=self._url, timeout=10) as client:
            while not self._stop.is_set():
                response = client.get(f"/v1/recommendations?{QUERY}")
                self.statuses.append(response.status_code)
                if response.status_code == 200:
                    self.answers.append(response.json())
                time.sleep(0.002)

    def __enter__(self) -> Visitors:
        for thread in self._threads:
            thread.start()
        return self

    def __exit__(self, *error: object) -> None:
        self._stop.set()
        for thread in self._threads:
            thread.join()

    def check(self) -> None:
        """Answers went on coming, with products in them."""
        assert len(self.answers) > LEAST_ANSWERS * VISITORS
        assert set(self.statuses) == {200}
        assert all(answer["items"] for answer in self.answers)


def personal_is_back(served: Endpoint) -> None:
    """Both routes that need Redis give again, at most two seconds from now."""
    wait_until(
        lambda: (
            {route_of(found := served.ask(QUERY), "personal")["status"], route_of(found, "similar")["status"]}
            <= {"used", "filled"}
        ),
        RECOVERY_SECONDS,
    )


@contextmanager
def visited(served: Endpoint) -> Iterator[Visitors]:
    with Visitors(served.url) as visitors:
        time.sleep(0.3)
        yield visitors
        personal_is_back(served)
    visitors.check()


@pytest.fixture
def server(own_redis: MakeRedis) -> RedisServer:
    made = own_redis()
    publish_usual(made.client())
    return made


@pytest.fixture
def proxy(server: RedisServer) -> Iterator[FaultyRedis]:
    made = FaultyRedis(server.port)
    yield made
    made.close()


@pytest.fixture
def served(proxy: FaultyRedis, own_endpoint: MakeEndpoint) -> Endpoint:
    made = own_endpoint(proxy.url, deadline_ms=DEADLINE_MS)
    made.wait_ready("r1")
    return made


def test_redis_killed_and_started_again(server: RedisServer, served: Endpoint) -> None:
    with visited(served) as visitors:
        server.kill()
        time.sleep(FAULT_SECONDS)
        assert route_of(visitors.answers[-1], "personal")["reason"] in ("redis_down", "breaker_open")
        server.start()
        publish_usual(server.client())


def test_redis_stopped_and_continued(server: RedisServer, served: Endpoint) -> None:
    with visited(served) as visitors:
        os.kill(server.process.pid, signal.SIGSTOP)
        time.sleep(FAULT_SECONDS)
        assert route_of(visitors.answers[-1], "personal")["status"] == "skipped"
        os.kill(server.process.pid, signal.SIGCONT)


@pytest.mark.parametrize("delay", [0.05, 0.5, 5.0])
def test_redis_slow(proxy: FaultyRedis, served: Endpoint, delay: float) -> None:
    with visited(served) as visitors:
        proxy.delay = delay
        time.sleep(FAULT_SECONDS)
        status = route_of(visitors.answers[-1], "personal")["status"]
        assert status == ("filled" if delay * 1000 < DEADLINE_MS else "skipped")
        proxy.delay = 0.0


@pytest.mark.parametrize(
    "spoil",
    [
        lambda data: b"?nonsense\r\n" + data,
        lambda data: data[: len(data) // 2],
        lambda data: data.replace(b"$", b":"),
        lambda data: b"+OK\r\n" * 50,
        lambda data: b"-MOVED 1 127.0.0.1:1\r\n",
        lambda data: bytes(byte ^ 0x55 for byte in data),
        lambda data: b"$99999999999\r\n" + data,
    ],
    ids=["prefix", "half", "other types", "too many", "errors", "noise", "endless"],
)
def test_redis_lies(proxy: FaultyRedis, served: Endpoint, spoil: Callable[[bytes], bytes]) -> None:
    with visited(served):
        proxy.spoil = spoil
        time.sleep(FAULT_SECONDS)
        proxy.spoil = None


def test_records_cut_short(server: RedisServer, served: Endpoint) -> None:
    client = server.client()
    with visited(served) as visitors:
        whole = {}
        for key in client.scan_iter("larder:r1:[cp]:*"):
            whole[key] = client.hgetall(key)
            client.hset(key, mapping={field: record[:-1] for field, record in whole[key].items()})
        time.sleep(0.5)
        assert route_of(visitors.answers[-1], "personal")["reason"] == "corrupt_record"
        for key, records in whole.items():
            client.hset(key, mapping=records)


def test_a_release_whose_dictionary_is_missing(server: RedisServer, served: Endpoint) -> None:
    client = server.client()
    with visited(served) as visitors:
        publish(client, "r2", personal={"c1": ranked("a9")}, products=5000)
        time.sleep(0.6)
        client.delete(KEYS.dictionary("r2", 0))
        time.sleep(FAULT_SECONDS)
        client.hset(KEYS.live, "release", "r1")
    assert {answer["release"] for answer in visitors.answers} == {"r1"}


def test_flips_amid_requests(server: RedisServer, served: Endpoint) -> None:
    """Every answer is of one release: the ids of the two have nothing in common."""
    client = server.client()
    lists = {"personal": {"c1": ranked("a1", "a2")}, "generic": {("", ""): ranked("a3", "a4")}}
    publish(client, "r2", similar={"p1": ranked("a5")}, **lists)
    with visited(served) as visitors:
        for flip in range(12):
            client.hset(KEYS.live, "release", f"r{flip % 2 + 1}")
            time.sleep(0.3)
    releases = {answer["release"] for answer in visitors.answers}
    assert releases == {"r1", "r2"}
    for answer in visitors.answers:
        assert all(product.startswith("a") is (answer["release"] == "r2") for product in ids_of(answer))


def test_a_thousand_connections_that_never_finish(served: Endpoint) -> None:
    port = int(served.url.rpartition(":")[2])
    held = []
    try:
        with visited(served):
            for number in range(1000):
                held.append(socket.create_connection(("127.0.0.1", port), 5))
                held[-1].sendall(b"GET /v1/recomm" if number % 2 else b"POST /v1/recommendations:batch HTTP/1.1\r\nHo")
            time.sleep(1)
    finally:
        for connection in held:
            with suppress(OSError):
                connection.close()


def test_a_start_without_redis_serves_the_snapshot(
    server: RedisServer, own_endpoint: MakeEndpoint, tmp_path: Path
) -> None:
    client = server.client()
    client.hset("larder:masks", mapping={"p15": "withdrawn", "": "1"})
    first = own_endpoint(server.url, snapshot=tmp_path)
    first.wait_ready("r1")
    wait_until(lambda: (tmp_path / "masks.json").exists() and (tmp_path / "generic-lists.jsonl").exists())
    expected = first.ask("location=zone1&device=till")
    first.stop()
    server.kill()

    second = own_endpoint(server.url, snapshot=tmp_path)
    wait_until(lambda: second.readiness()["ready"])
    answer = second.ask(QUERY)
    assert answer["items"] == expected["items"]
    assert "p15" not in ids_of(answer)
    assert (answer["release"], answer["as_of"]) == (expected["release"], expected["as_of"])
    assert route_of(answer, "personal")["reason"] == "snapshot"
    assert second.readiness()["problem"]
    server.start()
    publish_usual(server.client())
    personal_is_back(second)


@pytest.mark.parametrize("content", [b"", b"{}\n", b'{"format":9}\n', b'{"format":1,"release":"r1"}\n[1]\n'])
def test_a_broken_snapshot_is_told_and_left(own_endpoint: MakeEndpoint, tmp_path: Path, content: bytes) -> None:
    (tmp_path / "generic-lists.jsonl").write_bytes(content)
    (tmp_path / "masks.json").write_bytes(content)
    served = own_endpoint("redis://127.0.0.1:1", snapshot=tmp_path)
    assert served.client.get("/v1/recommendations").status_code == 503
