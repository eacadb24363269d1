"""What the endpoint does when Redis, the pointer or a record lets it down."""

from __future__ import annotations

import signal
from collections.abc import Callable

import pytest
from lookup_servers import (
    KEYS,
    PATIENCE,
    PERSONAL,
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
from larder.loaders.keys import COOKIES, key64

pytestmark = pytest.mark.end_to_end

MakeRedis = Callable[..., RedisServer]
MakeEndpoint = Callable[..., Endpoint]
DEADLINE_MS = 200
MANY = 200


def test_no_release_is_503_until_one_is_loaded(own_redis: MakeRedis, own_endpoint: MakeEndpoint) -> None:
    server = own_redis()
    served = own_endpoint(server.url)
    for response in (
        served.client.get("/v1/recommendations"),
        served.client.post("/v1/recommendations:batch", json={"requests": [{}]}),
    ):
        assert response.status_code == 503
        assert int(response.headers["retry-after"]) >= 1
        assert response.json()["error"]["code"] == "no_release"
    assert served.client.get("/v1/recommendations?n=0").status_code == 400
    ready = served.client.get("/health/ready")
    assert (ready.status_code, ready.json()["ready"]) == (503, False)
    wait_until(lambda: "larder:live is not there" in served.readiness()["problem"])
    publish_usual(server.client())
    served.wait_ready("r1")
    assert served.client.get("/health/ready").status_code == 200
    assert ids_of(served.ask("cookie=c1&n=1")) == ["p3"]


def test_a_flip_is_seen(own_redis: MakeRedis, own_endpoint: MakeEndpoint) -> None:
    server = own_redis()
    publish_usual(server.client())
    served = own_endpoint(server.url)
    served.wait_ready("r1")
    # Other ids in the dictionary, so that an answer that mixed releases would name other products.
    publish(server.client(), "r2", personal={"c1": ranked("a9", "a8")}, scores=False)
    answer = wait_until(lambda: (found := served.ask("cookie=c1"))["release"] == "r2" and found)
    assert [(item["id"], item["score"]) for item in answer["items"]] == [("a9", None), ("a8", None)]
    assert route_of(answer, "generic")["reason"] == "no_generic_list"


def test_a_release_name_that_comes_again_is_read_again(own_redis: MakeRedis, own_endpoint: MakeEndpoint) -> None:
    server = own_redis()
    publish_usual(server.client())
    served = own_endpoint(server.url)
    served.wait_ready("r1")
    server.client().flushall()
    publish(server.client(), "r1", personal={"c1": ranked("a9", "a8")}, as_of="2018-01-01T00")
    wait_until(lambda: ids_of(served.ask("cookie=c1")) == ["a9", "a8"])


@pytest.mark.parametrize(
    "meta",
    [
        {"format": 2},
        {"products": 10**6},
        {"as_of": "yesterday"},
        {"buckets": {"c": 0, "p": 1, "g": 1}},
        {"buckets": {"c": 2**60, "p": 1, "g": 1}},
    ],
)
def test_a_release_that_cannot_be_read_is_refused(
    own_redis: MakeRedis, own_endpoint: MakeEndpoint, meta: dict[str, object]
) -> None:
    server = own_redis()
    publish_usual(server.client())
    served = own_endpoint(server.url)
    served.wait_ready("r1")
    publish(server.client(), "r2", personal={"c1": ranked("a9")}, **meta)
    problem = wait_until(lambda: served.readiness()["problem"])
    assert "r2" in problem
    assert served.readiness()["ready"]
    assert served.ask("cookie=c1")["release"] == "r1"
    assert 'loads_total{result="refused"} 1\n' in served.client.get("/metrics").text
    publish(server.client(), "r3", personal={"c1": ranked("a9")})
    served.wait_ready("r3")
    assert served.readiness()["problem"] is None


def test_without_redis_generic_lists_answer_and_all_comes_back(
    own_redis: MakeRedis, own_endpoint: MakeEndpoint
) -> None:
    server = own_redis()
    publish_usual(server.client())
    served = own_endpoint(server.url)
    served.wait_ready("r1")
    server.kill()
    answer = served.ask("cookie=c1&product=p1&location=zone1&device=till")
    assert ids_of(answer) == ["p15", "p10"]
    assert route_of(answer, "personal")["reason"] == "redis_down"
    assert route_of(answer, "similar")["reason"] == "redis_down"
    assert route_of(answer, "generic")["level"] == "location_device"
    wait_until(lambda: not served.readiness()["redis"]["up"])
    assert served.client.get("/health/ready").status_code == 200
    assert "larder_lookup_redis_up 0\n" in served.client.get("/metrics").text
    server.start()
    publish_usual(server.client())
    wait_until(lambda: route_of(served.ask("cookie=c1"), "personal")["status"] == "used")


def test_a_redis_that_hangs_costs_the_deadline_and_no_more(own_redis: MakeRedis, own_endpoint: MakeEndpoint) -> None:
    server = own_redis()
    publish_usual(server.client())
    served = own_endpoint(server.url, deadline_ms=DEADLINE_MS)
    assert MANY * DEADLINE_MS > PATIENCE * 1000
    served.wait_ready("r1")
    server.process.send_signal(signal.SIGSTOP)
    answers = [served.ask("cookie=c1") for _ in range(5)]
    # One deadline for all: one after the other they would take longer than the client waits.
    requests = [{"cookie": "c1"}] * MANY
    response = served.client.post("/v1/recommendations:batch", json={"requests": requests})
    # All have come before Redis has said anything.
    server.process.send_signal(signal.SIGCONT)
    answers += [each["answer"] for each in response.json()["responses"]]
    assert len(answers) == 5 + MANY
    assert all(answer["items"] for answer in answers)
    reasons = [route_of(answer, "personal")["reason"] for answer in answers]
    assert reasons[0] == "redis_timeout"
    assert set(reasons) <= {"redis_timeout", "redis_down", "breaker_open"}
    wait_until(lambda: route_of(served.ask("cookie=c1"), "personal")["status"] == "used")


@pytest.mark.parametrize(
    "record",
    [b"\x07\x00", b"", b"\x02\xff\xff\x03", b"\x03\x00\x00\x7c\xff", b"\x80\x80\x80\x80\x80\x80\x01"],
    ids=["truncated", "empty", "ordinal too high", "infinite score", "endless varint"],
)
def test_a_corrupt_record_is_skipped(redis_server: RedisServer, endpoint: Endpoint, record: bytes) -> None:
    bucket, field = bucket_and_field(key64("broken"), 1 + len(PERSONAL) // 2)
    name = KEYS.bucket("r1", COOKIES, bucket)
    redis_server.client().hset(name, field, record)
    answer = endpoint.ask("cookie=broken")
    redis_server.client().hdel(name, field)
    assert route_of(answer, "personal") == {
        "route": "personal", "status": "skipped", "reason": "corrupt_record", "level": None
    }  # fmt: skip
    assert answer["items"]


def test_an_error_of_redis_skips_the_route(own_redis: MakeRedis, own_endpoint: MakeEndpoint) -> None:
    server = own_redis()
    publish_usual(server.client())
    bucket, _ = bucket_and_field(key64("c1"), 1 + len(PERSONAL) // 2)
    server.client().set(KEYS.bucket("r1", COOKIES, bucket), "not a hash")
    served = own_endpoint(server.url)
    served.wait_ready("r1")
    assert route_of(served.ask("cookie=c1"), "personal")["reason"] == "redis_error"


def test_generic_lists_beyond_the_bound_are_learned(own_redis: MakeRedis, own_endpoint: MakeEndpoint) -> None:
    server = own_redis()
    publish_usual(server.client())
    served = own_endpoint(server.url, generic_lists=2)
    served.wait_ready("r1")
    first = served.ask("location=zone1&device=till")
    assert route_of(first, "generic")["level"] == "location_device"
    server.kill()
    assert served.ask("location=zone1&device=till")["items"] == first["items"]
    lower = served.ask("location=zone1&device=phone")
    assert route_of(lower, "generic")["reason"] == "redis_down"
    assert ids_of(served.ask())[0] == "p10"


@pytest.mark.parametrize("user", ["", "reader"])
def test_password_and_socket(own_redis: MakeRedis, own_endpoint: MakeEndpoint, user: str) -> None:
    server = own_redis("--requirepass", "s3cret/", "--user", "reader", "on", ">s3cret/", "~*", "+@all")
    publish_usual(server.client(password="s3cret/"))
    served = own_endpoint(f"unix://{user}:s3cret%2F@{server.folder / 'redis.sock'}?db=0")
    served.wait_ready("r1")
    assert ids_of(served.ask("cookie=c1&n=1")) == ["p3"]


def test_a_wrong_password_is_told(own_redis: MakeRedis, own_endpoint: MakeEndpoint) -> None:
    server = own_redis("--requirepass", "s3cret")
    served = own_endpoint(f"redis://:wrong@127.0.0.1:{server.port}/0")
    wait_until(lambda: "WRONGPASS" in (served.readiness()["redis"]["problem"] or ""))
    # Never the password itself.
    assert "wrong@" not in served.client.get("/health/ready").text
