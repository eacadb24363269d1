"""Losses of the live release: noticed in readiness and metrics, nothing wrong is served, and a repair is enough."""

from __future__ import annotations

import json
import threading
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from typing import Any

import httpx
import pytest
import redis
from lookup_servers import (
    GENERIC,
    KEYS,
    PERSONAL,
    SIMILAR,
    Endpoint,
    RedisServer,
    ids_of,
    publish,
    publish_usual,
    ranked,
    route_of,
    wait_until,
)

from larder.loaders.codec import bucket_and_field
from larder.loaders.keys import COOKIES, PRODUCTS, key64

pytestmark = pytest.mark.end_to_end

QUERY = "cookie=c1&product=p1&location=zone1&device=till"
MakeRedis = Callable[..., RedisServer]
MakeEndpoint = Callable[..., Endpoint]
RIGHT = {
    "similar": {product for product, _ in SIMILAR["p1"]},
    "personal": {product for product, _ in PERSONAL["c1"]},
    "generic": {product for items in GENERIC.values() for product, _ in items},
}


def bucket_of(kind: str, text: str) -> bytes:
    """The bucket that holds the record of an id in the usual release."""
    buckets = {COOKIES: 1 + len(PERSONAL) // 2, PRODUCTS: 1 + len(SIMILAR) // 2}
    return KEYS.bucket("r1", kind, bucket_and_field(key64(text), buckets[kind])[0])


LOSSES: dict[str, Callable[[redis.Redis], object]] = {
    "cookies": lambda client: client.delete(bucket_of(COOKIES, "c1")),
    "products": lambda client: client.delete(bucket_of(PRODUCTS, "p1")),
    "dictionary": lambda client: client.delete(KEYS.dictionary("r1", 0)),
    "registry": lambda client: client.delete(KEYS.releases),
    "meta": lambda client: client.delete(KEYS.meta("r1")),
    "generic": lambda client: client.delete(*client.keys("larder:r1:g:*")),
    "pointer": lambda client: client.flushall(),
}


@contextmanager
def asked_all_the_time(served: Endpoint) -> Iterator[list[dict[str, Any]]]:
    """Visitors that ask without pause; yields their answers."""
    answers: list[dict[str, Any]] = []
    stop = threading.Event()

    def ask() -> None:
        with httpx.Client(base_url=served.url, timeout=10) as client:
            while not stop.wait(0.002):
                answers.append(client.get(f"/v1/recommendations?{QUERY}").json())

    threads = [threading.Thread(target=ask) for _ in range(3)]
    for thread in threads:
        thread.start()
    try:
        yield answers
    finally:
        stop.set()
        for thread in threads:
            thread.join()


@pytest.mark.parametrize("part", LOSSES)
def test_a_loss_is_noticed_served_round_and_repaired(
    part: str, own_redis: MakeRedis, own_endpoint: MakeEndpoint
) -> None:
    server = own_redis()
    publish_usual(server.client())
    served = own_endpoint(server.url)
    served.wait_ready("r1")
    wait_until(lambda: served.readiness()["losses"] == {})
    with asked_all_the_time(served) as answers:
        wait_until(lambda: len(answers) > 20)
        LOSSES[part](server.client())
        # With pointer_seconds = 0.2; the default of 1 keeps the promise of two seconds.
        wait_until(lambda: served.readiness()["losses"].get(part), 2)
        readiness = served.readiness()
        assert readiness["problem"]
        metrics = served.client.get("/metrics").text
        assert f'larder_lookup_release_losses{{part="{part}"}}' in metrics
        assert "larder_lookup_release_sound 0\n" in metrics
        assert served.client.get("/health/ready").status_code == 200
        asked = len(answers)
        wait_until(lambda: len(answers) > asked + 20)
        publish_usual(server.client())
        wait_until(lambda: served.readiness()["losses"] == {} and served.readiness()["problem"] is None)
        wait_until(lambda: route_of(served.ask(QUERY), "personal")["status"] in ("used", "filled"))
    for answer in answers:
        assert answer["items"]
        for item in answer["items"]:
            assert item["id"] in RIGHT[item["route"]]


def test_products_asked_for_while_redis_was_empty_are_known_after_the_reload(
    own_redis: MakeRedis, own_endpoint: MakeEndpoint
) -> None:
    server = own_redis()
    publish_usual(server.client())
    served = own_endpoint(server.url)
    served.wait_ready("r1")
    server.client().flushall()
    for _ in range(3):
        assert route_of(served.ask("product=p5"), "similar")["status"] == "skipped"
    wait_until(lambda: served.readiness()["losses"].get("pointer"))
    assert route_of(served.ask("cookie=c1"), "personal")["reason"] == "release_gone"
    publish_usual(server.client())
    wait_until(lambda: route_of(served.ask("product=p5"), "similar")["status"] == "used")


def test_a_category_that_stood_in_for_a_lost_list_is_let_go(own_redis: MakeRedis, own_endpoint: MakeEndpoint) -> None:
    server = own_redis()
    lists = {
        "similar": {"p1": ranked("p2", "p3")},
        "by_category": {"p1": ranked("p9"), "p4": ranked("p9")},
        "generic": {("", ""): ranked("p10")},
    }
    publish(server.client(), "r1", **lists)
    served = own_endpoint(server.url)
    served.wait_ready("r1")
    server.client().delete(*server.client().keys("larder:r1:p:*"))
    wait_until(lambda: route_of(served.ask("product=p1"), "similar")["level"] == "category")
    wait_until(lambda: served.readiness()["losses"].get("products"))
    publish(server.client(), "r1", **lists)
    wait_until(lambda: route_of(served.ask("product=p1"), "similar")["level"] is None)
    assert route_of(served.ask("product=p4"), "similar")["level"] == "category"


def test_other_lists_under_the_same_name_and_meta_are_a_new_generation(
    own_redis: MakeRedis, own_endpoint: MakeEndpoint
) -> None:
    server = own_redis()
    publish(server.client(), "r1", similar={"p1": ranked("p2")}, generic={("", ""): ranked("p3", "p4")})
    served = own_endpoint(server.url)
    served.wait_ready("r1")
    assert ids_of(served.ask("product=p1")) == ["p2", "p3", "p4"]
    # The same numbers of everything, so that neither pointer nor meta tells.
    publish(server.client(), "r1", similar={"p1": ranked("q2")}, generic={("", ""): ranked("q3", "q4")})
    wait_until(lambda: ids_of(served.ask("product=p1")) == ["q2", "q3", "q4"])


def test_an_incomplete_release_does_not_replace_a_sound_one(own_redis: MakeRedis, own_endpoint: MakeEndpoint) -> None:
    server = own_redis()
    publish_usual(server.client())
    served = own_endpoint(server.url)
    served.wait_ready("r1")
    lists = {"personal": {"c1": ranked("a1"), "c2": ranked("a2")}, "generic": {("", ""): ranked("a3")}}
    publish(server.client(), "r2", **lists)
    served.wait_ready("r2")
    server.client().hset(KEYS.live, "release", "r1")
    served.wait_ready("r1")
    server.client().delete(*server.client().keys("larder:r2:c:*"))
    server.client().hset(KEYS.live, "release", "r2")
    wait_until(lambda: "r2 is not complete" in (served.readiness()["problem"] or ""))
    assert ids_of(served.ask("cookie=c1&n=1")) == ["p3"]
    publish(server.client(), "r2", **lists)
    wait_until(lambda: ids_of(served.ask("cookie=c1&n=1")) == ["a1"])


def test_a_worker_without_any_generic_list_is_not_ready(own_redis: MakeRedis, own_endpoint: MakeEndpoint) -> None:
    server = own_redis()
    publish_usual(server.client())
    server.client().delete(*server.client().keys("larder:r1:g:*"))
    served = own_endpoint(server.url)
    wait_until(lambda: served.readiness()["release"] == "r1")
    response = served.client.get("/health/ready")
    assert (response.status_code, response.json()["ready"]) == (503, False)
    assert response.json()["losses"] == {"generic": len(GENERIC)}
    # What there is, is served.
    assert ids_of(served.ask("cookie=c1&n=1")) == ["p3"]
    publish_usual(server.client())
    wait_until(lambda: served.client.get("/health/ready").status_code == 200)
    assert ids_of(served.ask("n=1")) == ["p10"]


def test_a_user_with_the_rights_of_an_earlier_build_is_enough(own_redis: MakeRedis, own_endpoint: MakeEndpoint) -> None:
    server = own_redis()
    publish_usual(server.client())
    rights = "~larder:* resetchannels -@all +hget +hgetall +get +smembers +ping +hello +auth +client|setname"
    server.client().execute_command("ACL", "SETUSER", "lookup", "on", ">secret", *rights.split())
    served = own_endpoint(f"redis://lookup:secret@127.0.0.1:{server.port}")
    served.wait_ready("r1")
    wait_until(lambda: served.readiness()["losses"] == {})
    server.client().sadd(KEYS.seen(key64("c1")), "p3")
    wait_until(lambda: ids_of(served.ask("cookie=c1&n=1")) == ["p8"])
    # Without the right to count, samples still tell.
    server.client().delete(*server.client().keys("larder:r1:g:*"))
    wait_until(lambda: served.readiness()["losses"].get("generic"))


def test_registry_entries_that_never_were_are_no_problem(own_redis: MakeRedis, own_endpoint: MakeEndpoint) -> None:
    """Releases may be written by other tools, by the contract; the loss shows in `losses` alone."""
    server = own_redis()
    publish_usual(server.client())
    server.client().delete(KEYS.releases)
    served = own_endpoint(server.url)
    served.wait_ready("r1")
    wait_until(lambda: served.readiness()["losses"] == {"registry": 1})
    assert served.readiness()["problem"] is None
    assert json.loads(served.client.get("/health/ready").content)["ready"] is True
