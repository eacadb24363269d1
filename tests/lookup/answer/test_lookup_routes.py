"""What a visitor gets from a running endpoint, and what a caller who asks wrongly is told."""

from __future__ import annotations

import json
import socket
from collections.abc import Callable
from typing import Any

import pytest
from lookup_servers import KEYS, SIMILAR, Endpoint, RedisServer, ids_of, publish_usual, route_of

from larder.loaders.codec import bucket_and_field
from larder.loaders.keys import PRODUCTS, key64

pytestmark = pytest.mark.end_to_end


def outcome(status: str, reason: str | None = None, level: str | None = None) -> dict[str, Any]:
    return {"status": status, "reason": reason, "level": level}


def outcomes(answer: dict[str, Any]) -> dict[str, dict[str, Any]]:
    return {
        each["route"]: {name: value for name, value in each.items() if name != "route"} for each in answer["routes"]
    }


def test_product_alone_gets_similar_then_generic(endpoint: Endpoint) -> None:
    answer = endpoint.ask("product=p1&n=5")
    assert ids_of(answer) == ["p2", "p3", "p4", "p10", "p11"]
    assert [item["route"] for item in answer["items"]] == ["similar"] * 3 + ["generic"] * 2
    assert outcomes(answer) == {
        "similar": outcome("used"),
        "personal": outcome("skipped", "no_cookie"),
        "generic": outcome("filled", level="all"),
    }


def test_all_three_routes_fill_one_answer(endpoint: Endpoint) -> None:
    answer = endpoint.ask("product=p1&cookie=c1&location=zone1&n=7")
    assert ids_of(answer) == ["p2", "p3", "p4", "p8", "p9", "p13", "p10"]
    assert [each["status"] for each in answer["routes"]] == ["used", "filled", "filled"]


def test_a_full_route_leaves_the_next_ones_out(endpoint: Endpoint) -> None:
    answer = endpoint.ask("cookie=c1&n=2")
    assert ids_of(answer) == ["p3", "p8"]
    assert outcomes(answer)["personal"] == outcome("used")
    assert outcomes(answer)["generic"] == outcome("skipped", "not_needed")


def test_basket_is_merged_by_rank_without_what_is_in_it(endpoint: Endpoint) -> None:
    answer = endpoint.ask("product=p1&product=p5&product=p3&n=4")
    assert ids_of(answer) == ["p2", "p6", "p7", "p4"]
    assert outcomes(answer)["similar"] == outcome("used", "unknown_product")


@pytest.mark.parametrize(
    ("query", "level", "first"),
    [
        ("location=zone1&device=till", "location_device", "p15"),
        ("location=zone1&device=phone", "location", "p13"),
        ("location=zone9&device=phone", "device", "p14"),
        ("location=zone9&device=desk", "all", "p10"),
        ("", "all", "p10"),
    ],
)
def test_ladder_takes_the_most_specific_list(endpoint: Endpoint, query: str, level: str, first: str) -> None:
    answer = endpoint.ask(query)
    assert route_of(answer, "generic")["level"] == level
    assert ids_of(answer)[0] == first


def test_unknown_visitor_and_product_get_generic_with_reasons(endpoint: Endpoint) -> None:
    answer = endpoint.ask("cookie=nobody&product=nothing")
    assert outcomes(answer)["similar"] == outcome("skipped", "unknown_product")
    assert outcomes(answer)["personal"] == outcome("skipped", "unknown_cookie")
    assert outcomes(answer)["generic"] == outcome("used", level="all")


def test_an_empty_list_is_no_answer(endpoint: Endpoint) -> None:
    assert outcomes(endpoint.ask("cookie=none"))["personal"] == outcome("skipped", "nothing_new")


def test_ids_of_any_text(endpoint: Endpoint) -> None:
    answer = endpoint.ask("product=k%C3%A4se+50%25&n=2")
    assert ids_of(answer) == ["brot&butter", "p2"]


def test_scores_and_release(endpoint: Endpoint) -> None:
    answer = endpoint.ask("cookie=c1&n=3")
    assert [item["score"] for item in answer["items"]] == pytest.approx([1, 1 / 2, 1 / 3], abs=1 / 255)
    assert answer["release"] == "r1"
    assert answer["as_of"] == "2017-12-04T00:00:00Z"
    assert answer["age_seconds"] > 0


@pytest.mark.parametrize(("given", "kept"), [("shop-7/a", True), ("with space", False), ("x" * 129, False)])
def test_request_id_is_kept_where_sane(endpoint: Endpoint, given: str, kept: bool) -> None:
    answer = endpoint.ask(**{"X-Request-Id": given})
    assert (answer["request_id"] == given) is kept
    assert len(answer["request_id"]) >= 8


def test_generated_request_ids_differ(endpoint: Endpoint) -> None:
    assert len({endpoint.ask()["request_id"] for _ in range(20)}) == 20


def test_batch_answers_each_or_says_why_not(endpoint: Endpoint) -> None:
    requests = [
        {"cookie": "c1", "n": 2},
        {"product": ["p1", "p5"], "n": 1},
        {"product": "p5", "n": 1, "location": None},
        {"n": 0},
        7,
    ]
    response = endpoint.client.post(
        "/v1/recommendations:batch", json={"requests": requests}, headers={"x-request-id": "b"}
    )
    first, second, third, fourth, fifth = response.json()["responses"]
    assert ids_of(first["answer"]) == ["p3", "p8"]
    assert ids_of(second["answer"]) == ["p2"]
    assert ids_of(third["answer"]) == ["p6"]
    assert fourth["error"]["code"] == "invalid_n"
    assert fifth["error"]["code"] == "invalid_json"
    assert [first["answer"]["request_id"], third["answer"]["request_id"]] == ["b-0", "b-2"]


def test_empty_batch(endpoint: Endpoint) -> None:
    assert endpoint.client.post("/v1/recommendations:batch", json={"requests": []}).json() == {"responses": []}


@pytest.mark.parametrize(
    ("query", "code", "named"),
    [
        ("n=ten", "invalid_n", "n "),
        ("n=0", "invalid_n", "100"),
        ("n=101", "invalid_n", "100"),
        ("n=-1", "invalid_n", "n "),
        ("n=1.5", "invalid_n", "n "),
        ("n=%EF%BC%91", "invalid_n", "n "),
        ("n=" + "9" * 5000, "invalid_n", "n "),
        ("colour=red", "unknown_parameter", "colour"),
        ("cookie=a&cookie=b", "repeated_parameter", "cookie"),
        ("cookie=" + "x" * 513, "id_too_long", "cookie"),
        ("product=" + "%C3%A4" * 257, "id_too_long", "product"),
        ("cookie=%FF", "invalid_encoding", "cookie"),
        ("cookie=%zz", "invalid_encoding", "cookie"),
        ("cookie=100%", "invalid_encoding", "cookie"),
        ("cookie=%ED%A0%80", "invalid_encoding", "cookie"),
        ("%FF=1", "invalid_encoding", "name"),
        ("product=a&product=b&product=c&product=d", "too_many_products", "3"),
    ],
)
def test_a_bad_parameter_is_named(endpoint: Endpoint, query: str, code: str, named: str) -> None:
    # As raw bytes, because a well-behaved client would repair some of these.
    status, body = raw_get(endpoint, f"/v1/recommendations?{query}")
    error = json.loads(body)["error"]
    assert (status, error["code"]) == (400, code)
    assert named in error["message"]


def raw_get(endpoint: Endpoint, target: str) -> tuple[int, bytes]:
    with socket.create_connection(("127.0.0.1", int(endpoint.url.rpartition(":")[2])), 5) as connection:
        connection.sendall(f"GET {target} HTTP/1.1\r\nHost: x\r\nConnection: close\r\n\r\n".encode())
        answer = b"".join(iter(lambda: connection.recv(65536), b""))
    head, _, body = answer.partition(b"\r\n\r\n")
    return int(head.split()[1]), body


@pytest.mark.parametrize(
    ("body", "status", "code"),
    [
        (b"", 400, "invalid_json"),
        (b"{", 400, "invalid_json"),
        (b"[]", 400, "invalid_json"),
        (b'{"requests": {}}', 400, "invalid_json"),
        (b'{"requests": [], "more": 1}', 400, "invalid_json"),
        (b'{"requests": ["\xff"]}', 400, "invalid_json"),
        (b"[" * 4000, 400, "invalid_json"),
        (b" " * 5000, 413, "body_too_large"),
        (b'{"requests": [{},{},{},{},{},{}]}', 400, "batch_too_large"),
    ],
)
def test_a_bad_batch_is_refused(endpoint: Endpoint, body: bytes, status: int, code: str) -> None:
    response = endpoint.client.post("/v1/recommendations:batch", content=body)
    assert (response.status_code, response.json()["error"]["code"]) == (status, code)


def test_a_large_body_of_unknown_length_is_refused(endpoint: Endpoint) -> None:
    pieces = (b" " * 1000 for _ in range(20))
    assert endpoint.client.post("/v1/recommendations:batch", content=pieces).status_code == 413


@pytest.mark.parametrize(
    ("question", "code"),
    [
        ({"product": 5}, "invalid_type"),
        ({"product": [5]}, "invalid_type"),
        ({"cookie": ["c1"]}, "invalid_type"),
        ({"cookie": False}, "invalid_type"),
        ({"n": True}, "invalid_n"),
        ({"n": "5"}, "invalid_n"),
        ({"n": 5.0}, "invalid_n"),
        ({"n": 10**3000}, "invalid_n"),
        ({"colour": "red"}, "unknown_parameter"),
        ({"\ud800": "red"}, "unknown_parameter"),
        ({"cookie": "\ud800"}, "invalid_encoding"),
        ({"location": "ä" * 300}, "id_too_long"),
    ],
)
def test_a_bad_question_fails_alone(endpoint: Endpoint, question: dict[str, Any], code: str) -> None:
    body = json.dumps({"requests": [question, {}]})
    bad, good = endpoint.client.post("/v1/recommendations:batch", content=body).json()["responses"]
    assert bad["error"]["code"] == code
    assert good["answer"]["items"]


@pytest.mark.parametrize(
    ("method", "path", "allowed"),
    [
        ("POST", "/v1/recommendations", "GET, HEAD"),
        ("GET", "/v1/recommendations:batch", "POST"),
        ("DELETE", "/health/ready", "GET, HEAD"),
    ],
)
def test_wrong_method_says_which_is_right(endpoint: Endpoint, method: str, path: str, allowed: str) -> None:
    response = endpoint.client.request(method, path)
    assert (response.status_code, response.headers["allow"]) == (405, allowed)
    assert response.json()["error"]["code"] == "method_not_allowed"


def test_unknown_path(endpoint: Endpoint) -> None:
    response = endpoint.client.get("/v2/recommendations")
    assert (response.status_code, response.json()["error"]["code"]) == (404, "not_found")


def test_head_is_get_without_body(endpoint: Endpoint) -> None:
    response = endpoint.client.head("/health/ready")
    assert (response.status_code, response.content) == (200, b"")


def test_health_and_metrics(endpoint: Endpoint) -> None:
    endpoint.ask("cookie=nobody")
    assert endpoint.client.get("/health/live").json() == {"live": True}
    assert endpoint.readiness()["redis"] == {"up": True, "problem": None}
    text = endpoint.client.get("/metrics").text
    assert "larder_lookup_redis_up 1\n" in text
    assert 'larder_lookup_release_info{release="r1"} 1\n' in text
    assert 'larder_lookup_requests_total{endpoint="recommendations",status="200"}' in text
    skipped = 'route="personal",status="skipped",reason="unknown_cookie",level="none"'
    assert f"larder_lookup_routes_total{{{skipped}}}" in text
    assert 'larder_lookup_request_seconds_bucket{endpoint="recommendations",le="+Inf"}' in text


def test_answers_fit_the_published_schema(endpoint: Endpoint) -> None:
    jsonschema = pytest.importorskip("jsonschema")
    description = endpoint.client.get("/openapi.json").json()
    answers = {
        "Answer": [
            endpoint.ask(query)
            for query in ("", "product=p1&cookie=c1", "cookie=nobody&product=p5", "cookie=c1&explain=1")
        ],
        "Readiness": [endpoint.readiness()],
        "Error": [endpoint.client.get("/v1/recommendations?n=0").json(), endpoint.client.get("/").json()],
        "BatchAnswer": [endpoint.client.post("/v1/recommendations:batch", json={"requests": [{}, {"n": 0}]}).json()],
    }
    for name, found in answers.items():
        schema = {"$ref": f"#/components/schemas/{name}", "components": description["components"]}
        for each in found:
            jsonschema.validate(each, schema, cls=jsonschema.Draft202012Validator)


def test_a_product_that_was_looked_at_is_read_no_more(
    own_redis: Callable[..., RedisServer], own_endpoint: Callable[..., Endpoint]
) -> None:
    server = own_redis()
    publish_usual(server.client())
    served = own_endpoint(server.url, hot_products=2)
    served.wait_ready("r1")
    key, _ = bucket_and_field(key64("p1"), 1 + len(SIMILAR) // 2)
    name = KEYS.bucket("r1", PRODUCTS, key)
    whole = server.client().hgetall(name)
    # What is broken is not kept.
    server.client().hset(name, mapping={field: record[:-1] for field, record in whole.items()})
    assert route_of(served.ask("product=p1"), "similar")["reason"] == "corrupt_record"
    server.client().hset(name, mapping=whole)
    first = served.ask("product=p1")
    assert ids_of(first)[0] == "p2"
    server.kill()
    assert served.ask("product=p1")["items"] == first["items"]
    basket = served.ask("product=p1&product=p5")
    assert (ids_of(basket)[0], route_of(basket, "similar")["reason"]) == ("p2", "redis_down")
