"""What one visitor has seen, however much it is, costs other visitors nothing."""

from __future__ import annotations

import threading
from collections.abc import Callable, Iterator
from contextlib import contextmanager

import httpx
import pytest
from lookup_servers import KEYS, Endpoint, RedisServer, ids_of, publish_usual, route_of, wait_until

from larder.loaders.keys import key64

pytestmark = pytest.mark.end_to_end

MEMBERS = 300_000
MakeRedis = Callable[..., RedisServer]
MakeEndpoint = Callable[..., Endpoint]


@contextmanager
def asked(url: str, query: str) -> Iterator[None]:
    """A visitor who asks without pause."""
    stop = threading.Event()

    def ask() -> None:
        with httpx.Client(base_url=url, timeout=20) as client:
            while not stop.is_set():
                assert client.get(f"/v1/recommendations?{query}").status_code == 200

    threads = [threading.Thread(target=ask) for _ in range(3)]
    for thread in threads:
        thread.start()
    try:
        yield
    finally:
        stop.set()
        for thread in threads:
            thread.join()


def test_a_huge_set_of_one_visitor_does_not_take_the_lists_of_others(
    own_redis: MakeRedis, own_endpoint: MakeEndpoint
) -> None:
    server = own_redis()
    client = server.client()
    publish_usual(client)
    for start in range(0, MEMBERS, 50_000):
        client.sadd(KEYS.seen(key64("greedy")), *(f"seen{number}" for number in range(start, start + 50_000)))
    # A time limit that reading all members would exceed.
    served = own_endpoint(server.url, deadline_ms=60, breaker_failures=1000)
    served.wait_ready("r1")
    with asked(served.url, "cookie=greedy"):
        answers = [served.ask("cookie=c1&n=1") for _ in range(200)]
    given = [route_of(answer, "personal")["status"] for answer in answers]
    # A busy machine may cost a few their time.
    assert given.count("used") > 190
    metrics = served.client.get("/metrics").text
    [count] = [line.split()[1] for line in metrics.splitlines() if line.startswith("larder_lookup_seen_cut_total")]
    assert float(count) > 0


def test_sets_up_to_the_limit_are_left_out_wholly(own_redis: MakeRedis, own_endpoint: MakeEndpoint) -> None:
    server = own_redis()
    client = server.client()
    publish_usual(client)
    client.sadd(KEYS.seen(key64("c1")), "p3", "p8", *(f"seen{number}" for number in range(500)))
    served = own_endpoint(server.url, max_seen=1000)
    served.wait_ready("r1")
    wait_until(lambda: ids_of(served.ask("cookie=c1&n=1")) == ["p9"])
    assert "larder_lookup_seen_cut_total 0\n" in served.client.get("/metrics").text
