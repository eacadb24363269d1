"""A product without a picture gets what sells in its category, and the answer says so."""

from __future__ import annotations

from collections.abc import Iterator

import pytest
from lookup_servers import KEYS, SIMILAR, Endpoint, RedisServer, ids_of, publish, ranked, route_of

from larder.loaders.codec import bucket_and_field
from larder.loaders.keys import BY_CATEGORY, key64

pytestmark = pytest.mark.end_to_end

BY_CATEGORY_LISTS = {"bare": ranked("p3", "p20", "p21"), "p1": ranked("p22")}


@pytest.fixture(scope="module")
def shop(tmp_path_factory: pytest.TempPathFactory) -> Iterator[tuple[RedisServer, Endpoint]]:
    server = RedisServer(tmp_path_factory.mktemp("redis"))
    generic = {("", ""): ranked("p10", "p11")}
    publish(server.client(), "r1", similar=SIMILAR, generic=generic, by_category=BY_CATEGORY_LISTS)
    served = Endpoint(server.url)
    served.wait_ready("r1")
    yield server, served
    assert served.stop() == 0
    server.kill()


@pytest.fixture
def endpoint(shop: tuple[RedisServer, Endpoint]) -> Endpoint:
    return shop[1]


def test_a_product_without_a_picture_gets_its_category_and_the_answer_says_so(endpoint: Endpoint) -> None:
    for _ in range(2):  # read from Redis, then kept in process
        answer = endpoint.ask("product=bare&n=4")
        assert ids_of(answer) == ["p3", "p20", "p21", "p10"]
        route = route_of(answer, "similar")
        assert (route["status"], route["reason"], route["level"]) == ("used", None, "category")


def test_a_picture_goes_before_a_category(endpoint: Endpoint) -> None:
    answer = endpoint.ask("product=p1&n=3")
    assert ids_of(answer) == ["p2", "p3", "p4"]
    assert route_of(answer, "similar")["level"] is None


def test_a_basket_says_that_some_of_it_is_by_category(endpoint: Endpoint) -> None:
    answer = endpoint.ask("product=p5&product=bare&product=nothing&n=4")
    assert ids_of(answer) == ["p6", "p3", "p20", "p7"]
    assert route_of(answer, "similar")["level"] == "category"
    assert route_of(answer, "similar")["reason"] == "unknown_product"
    assert route_of(endpoint.ask("product=p5&product=p1"), "similar")["level"] is None


def test_a_product_of_neither_kind_is_unknown(endpoint: Endpoint) -> None:
    route = route_of(endpoint.ask("product=nothing"), "similar")
    assert (route["status"], route["reason"], route["level"]) == ("skipped", "unknown_product", None)


def test_explain_names_both_records(endpoint: Endpoint) -> None:
    records = endpoint.ask("product=bare&explain=1")["explain"]["records"]
    assert [record["key"].split(":")[2] for record in records] == ["p", "s"]


def test_a_broken_record_is_told(shop: tuple[RedisServer, Endpoint]) -> None:
    server, endpoint = shop
    bucket, field = bucket_and_field(key64("odd"), 2)
    server.client().hset(KEYS.bucket("r1", BY_CATEGORY, bucket), field, b"\xff")
    assert route_of(endpoint.ask("product=odd"), "similar")["reason"] == "corrupt_record"
