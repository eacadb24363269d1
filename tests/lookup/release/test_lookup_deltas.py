"""An endpoint over a delta: the lists that changed from it, all others from the whole release beneath."""

from __future__ import annotations

import json
from collections.abc import Callable

import pytest
import redis
from lookup_servers import KEYS, Endpoint, RedisServer, ids_of, packed, publish_usual, ranked, route_of, wait_until

from larder.loaders.codec import bucket_and_field, decode_dictionary, encode_dictionary
from larder.loaders.keys import COOKIES, DELTA_FORMAT, key64

pytestmark = pytest.mark.end_to_end

CHANGED = {"c1": ["p3", "new"], "c2": ["newer", "p9"]}


def lay_over(client: redis.Redis, base: str, name: str) -> None:
    """Writes CHANGED as a delta over a release, by the contract, and makes it live."""
    meta = json.loads(client.get(KEYS.meta(base)))
    ids = [*sorted({product for product in all_ids(client, base)}), "new", "newer"]
    for cookie, items in CHANGED.items():
        bucket, field = bucket_and_field(key64(cookie), 2)
        client.hset(KEYS.bucket(name, COOKIES, bucket), field, packed(ranked(*items), ids, True))
    client.set(KEYS.dictionary(name, 0), encode_dictionary(ids)[0])
    beneath = {**{part: meta[part] for part in ("release", "as_of", "buckets", "records")}, "chunks": 0}
    changes = {"format": DELTA_FORMAT, "release": name, "as_of": "2017-12-04T01", "buckets": {COOKIES: 2}}
    changes |= {"records": {COOKIES: len(CHANGED)}, "products": len(ids), "base": beneath}
    client.set(KEYS.meta(name), json.dumps({**meta, **changes}))
    client.hset(KEYS.live, mapping={"release": name, "previous": base})


def all_ids(client: redis.Redis, release: str) -> list[str]:
    return decode_dictionary(client.get(KEYS.dictionary(release, 0)))


def usual_served(
    own_redis: Callable[..., RedisServer], own_endpoint: Callable[..., Endpoint]
) -> tuple[redis.Redis, Endpoint]:
    """A server with the usual release, and an endpoint that serves it."""
    server = own_redis()
    client = server.client()
    publish_usual(client)
    served = own_endpoint(server.url)
    served.wait_ready("r1")
    return client, served


def test_a_changed_list_wins_and_the_others_stay(
    own_redis: Callable[..., RedisServer], own_endpoint: Callable[..., Endpoint]
) -> None:
    client, served = usual_served(own_redis, own_endpoint)
    before = served.ask("product=p1&cookie=c1&location=zone1&n=9")
    lay_over(client, "r1", "r2")
    served.wait_ready("r2")
    answer = served.ask("product=p1&cookie=c1&location=zone1&n=9")
    similar = [item for item in before["items"] if item["route"] == "similar"]
    assert answer["items"][: len(similar)] == similar
    assert ids_of(answer)[len(similar) :] == ["new", "p13", "p10"]
    assert answer["as_of"] == "2017-12-04T01:00:00Z"
    assert ids_of(served.ask("cookie=c2&n=2")) == ["newer", "p9"]
    assert route_of(served.ask("cookie=none&n=1"), "personal")["reason"] == "nothing_new"
    assert route_of(served.ask("cookie=c3&n=1"), "personal")["reason"] == "unknown_cookie"
    questions = {"requests": [{"cookie": "c1", "location": "zone9"}, {"cookie": "c2", "product": ["p5"]}]}
    batch = served.client.post("/v1/recommendations:batch", json=questions).json()["responses"]
    assert "new" in ids_of(batch[0]["answer"])
    assert ids_of(batch[1]["answer"])[:3] == ["p6", "p3", "p7"]
    client.hset(KEYS.live, mapping={"release": "r1", "previous": "r2"})
    served.wait_ready("r1")
    assert served.ask("product=p1&cookie=c1&location=zone1&n=9")["items"] == before["items"]


def test_generic_lists_are_read_from_beneath_when_asked_for(
    own_redis: Callable[..., RedisServer], own_endpoint: Callable[..., Endpoint]
) -> None:
    server = own_redis()
    publish_usual(server.client())
    lay_over(server.client(), "r1", "r2")
    served = own_endpoint(server.url, generic_lists=1)
    served.wait_ready("r2")
    assert ids_of(served.ask("cookie=c2&location=zone1&n=4")) == ["newer", "p9", "p13", "p10"]


@pytest.mark.parametrize("broken", [{"base": {}}, {"buckets": {}}, {"format": 3}])
def test_a_delta_that_makes_no_sense_is_not_served(
    own_redis: Callable[..., RedisServer], own_endpoint: Callable[..., Endpoint], broken: dict[str, object]
) -> None:
    client, served = usual_served(own_redis, own_endpoint)
    lay_over(client, "r1", "r2")
    client.set(KEYS.meta("r2"), json.dumps({**json.loads(client.get(KEYS.meta("r2"))), **broken}))
    problem = wait_until(lambda: served.readiness()["problem"])
    assert "r2" in problem
    assert served.readiness()["release"] == "r1"
