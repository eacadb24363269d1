"""Reading questions: what a caller sends is a question or a refusal, and never anything else."""

from __future__ import annotations

import json
from urllib.parse import urlencode

import pytest
from hypothesis import given
from hypothesis import strategies as st

from larder.lookup.http.http_errors import BadRequestError
from larder.lookup.http.query import (
    MAX_ID_BYTES,
    RecommendationQuery,
    parse_batch,
    parse_json_query,
    parse_query_string,
    query_limits,
)
from larder.settings import LookupSettings, SceneSettings

LIMITS = LookupSettings()
RULES = query_limits(LIMITS)
SCENE = RULES.scenes["default"]
text = st.text(st.characters(codec="utf-8"), min_size=1, max_size=MAX_ID_BYTES // 4)
json_values = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats() | st.text(max_size=5),
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(st.text(max_size=5), inner, max_size=3),
    max_leaves=5,
)
names = st.sampled_from(["cookie", "product", "location", "device", "n", "exclude", "scene", "explain", "other"])


@given(st.lists(text, max_size=5, unique=True), text, text, text, st.integers(1, LIMITS.max_n))
def test_any_text_survives_a_query_and_a_body(
    products: list[str], cookie: str, location: str, device: str, n: int
) -> None:
    asked = {"product": products, "cookie": cookie, "location": location, "device": device, "n": n}
    expected = RecommendationQuery(SCENE, n, cookie, tuple(products), (), location, device, has_n=True)
    assert vars(parse_query_string(urlencode(asked, doseq=True), RULES)) == vars(expected)
    assert vars(parse_json_query(json.loads(json.dumps(asked)), RULES)) == vars(expected)


@given(st.text(st.characters(codec="utf-8"), max_size=60) | st.text("%&=+cnodukiep059ABF", max_size=60))
def test_any_query_is_a_question_or_a_bad_request(query: str) -> None:
    try:
        found = parse_query_string(query, RULES)
    except BadRequestError as error:
        assert 400 <= error.status < 500
        json.dumps(error.message, ensure_ascii=False).encode()
    else:
        assert 1 <= found.n <= LIMITS.max_n


@given(json_values | st.dictionaries(names, json_values, max_size=3))
def test_any_json_is_a_question_or_a_bad_request(asked: object) -> None:
    try:
        found = parse_json_query(asked, RULES)
    except BadRequestError as error:
        json.dumps(error.message, ensure_ascii=False).encode()
    else:
        assert 1 <= found.n <= LIMITS.max_n


@given(st.binary(max_size=60))
def test_any_body_is_a_batch_or_a_bad_request(body: bytes) -> None:
    try:
        assert isinstance(parse_batch(body, LIMITS), list)
    except BadRequestError as error:
        assert error.code == "invalid_json"


@pytest.mark.parametrize("query", ["", "cookie=&product=&n=&location=&device=", "&&", "product=&product="])
def test_an_empty_value_is_none_at_all(query: str) -> None:
    assert vars(parse_query_string(query, RULES)) == vars(RecommendationQuery(SCENE, LIMITS.n))


def test_a_product_named_twice_is_one() -> None:
    assert parse_query_string("product=a&product=b&product=a", RULES).products == ("a", "b")


def test_the_default_n_is_never_above_the_limit() -> None:
    assert parse_query_string("", query_limits(LookupSettings(n=10, max_n=3))).n == 3


def test_an_id_may_have_as_many_bytes_as_the_contract_says() -> None:
    longest = "ä" * (MAX_ID_BYTES // 2)
    assert parse_json_query({"cookie": longest}, RULES).cookie == longest
    with pytest.raises(BadRequestError, match=f"cookie has {MAX_ID_BYTES + 1} bytes"):
        parse_json_query({"cookie": longest + "x"}, RULES)


def test_a_scene_brings_its_own_n() -> None:
    rules = query_limits(LookupSettings(scenes={"basket": SceneSettings(routes=["similar", "generic"], n=4)}))
    found = parse_query_string("scene=basket&product=a", rules)
    assert (found.n, [step.route for step in found.scene.steps]) == (4, ["similar", "generic"])
    assert parse_json_query({"scene": "basket", "n": 7}, rules).n == 7
    with pytest.raises(BadRequestError, match=r"home.*default, basket"):
        parse_query_string("scene=home", rules)


def test_excluded_products_are_read_and_bounded() -> None:
    assert parse_query_string("exclude=a&exclude=b&exclude=a", RULES).exclude == ("a", "b")
    assert parse_json_query({"exclude": ["a"], "explain": True}, RULES).explain
    with pytest.raises(BadRequestError, match="at most 1"):
        parse_query_string("exclude=a&exclude=b", query_limits(LookupSettings(max_exclude=1)))
