"""A large batch lets other visitors go first, and has all of its answers."""

from __future__ import annotations

import threading
from collections.abc import Callable

import httpx
import pytest
from lookup_servers import Endpoint, RedisServer, publish, ranked

pytestmark = pytest.mark.end_to_end

PRODUCTS = [f"p{number}" for number in range(300)]
QUERIES = 1000


def test_others_are_answered_while_a_batch_is(
    own_redis: Callable[..., RedisServer], own_endpoint: Callable[..., Endpoint]
) -> None:
    server = own_redis()
    publish(
        server.client(),
        "r1",
        similar={product: ranked(*PRODUCTS[:100]) for product in PRODUCTS},
        personal={"c1": ranked(*PRODUCTS[50:150])},
        generic={("", ""): ranked(*PRODUCTS[-100:])},
    )
    served = own_endpoint(server.url, max_body_bytes=10_000_000)
    served.wait_ready("r1")
    requests = [
        {"cookie": "c1", "product": PRODUCTS[start : start + 20], "exclude": PRODUCTS[:100], "n": 100}
        for start in (number % 200 for number in range(QUERIES))
    ]
    done = threading.Event()
    answers = []

    def ask_batch() -> None:
        response = httpx.post(f"{served.url}/v1/recommendations:batch", json={"requests": requests}, timeout=60)
        answers.extend(response.json()["responses"])
        done.set()

    batch = threading.Thread(target=ask_batch)
    batch.start()
    meanwhile = 0
    while not done.is_set():
        assert served.ask("cookie=c1&n=5")["items"]
        meanwhile += 1
    batch.join()
    # Without turns, some twenty at most: one for each fiftieth query.
    assert meanwhile > 60
    assert len(answers) == QUERIES
    assert [answer["answer"]["request_id"].rpartition("-")[2] for answer in answers] == list(map(str, range(QUERIES)))
    assert all(len(answer["answer"]["items"]) == 100 for answer in answers)
