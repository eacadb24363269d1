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
    Question,
    question_from_json,
    question_from_query,
    requests_from_body,
    rules_from,
)
from larder.settings.lookup_section import Lookup, LookupScene

LIMITS = Lookup()
RULES = rules_from(LIMITS)
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
    expected = Question(SCENE, n, cookie, tuple(products), (), location, device)
    assert vars(question_from_query(urlencode(asked, doseq=True), RULES)) == vars(expected)
    assert vars(question_from_json(json.loads(json.dumps(asked)), RULES)) == vars(expected)


@given(st.text(st.characters(codec="utf-8"), max_size=60) | st.text("%&=+cnodukiep059ABF", max_size=60))
def test_any_query_is_a_question_or_a_bad_request(query: str) -> None:
    try:
        found = question_from_query(query, RULES)
    except BadRequestError as error:
        assert 400 <= error.status < 500
        json.dumps(error.message, ensure_ascii=False).encode()
    else:
        assert 1 <= found.n <= LIMITS.max_n


@given(json_values | st.dictionaries(names, json_values, max_size=3))
def test_any_json_is_a_question_or_a_bad_request(asked: object) -> None:
    try:
        found = question_from_json(asked, RULES)
    except BadRequestError as error:
        json.dumps(error.message, ensure_ascii=False).encode()
    else:
        assert 1 <= found.n <= LIMITS.max_n


@given(st.binary(max_size=60))
def test_any_body_is_a_batch_or_a_bad_request(body: bytes) -> None:
    try:
        assert isinstance(requests_from_body(body, LIMITS), list)
    except BadRequestError as error:
        assert error.code == "invalid_json"


@pytest.mark.parametrize("query", ["", "cookie=&product=&n=&location=&device=", "&&", "product=&product="])
def test_an_empty_value_is_none_at_all(query: str) -> None:
    assert vars(question_from_query(query, RULES)) == vars(Question(SCENE, LIMITS.n))


def test_a_product_named_twice_is_one() -> None:
    assert question_from_query("product=a&product=b&product=a", RULES).products == ("a", "b")


def test_the_default_n_is_never_above_the_limit() -> None:
    assert question_from_query("", rules_from(Lookup(n=10, max_n=3))).n == 3


def test_an_id_may_have_as_many_bytes_as_the_contract_says() -> None:
    longest = "ä" * (MAX_ID_BYTES // 2)
    assert question_from_json({"cookie": longest}, RULES).cookie == longest
    with pytest.raises(BadRequestError, match=f"cookie has {MAX_ID_BYTES + 1} bytes"):
        question_from_json({"cookie": longest + "x"}, RULES)


def test_a_scene_brings_its_own_n() -> None:
    rules = rules_from(Lookup(scenes={"basket": LookupScene(routes=["similar", "generic"], n=4)}))
    found = question_from_query("scene=basket&product=a", rules)
    assert (found.n, [step.route for step in found.scene.steps]) == (4, ["similar", "generic"])
    assert question_from_json({"scene": "basket", "n": 7}, rules).n == 7
    with pytest.raises(BadRequestError, match=r"home.*default, basket"):
        question_from_query("scene=home", rules)


def test_excluded_products_are_read_and_bounded() -> None:
    assert question_from_query("exclude=a&exclude=b&exclude=a", RULES).exclude == ("a", "b")
    assert question_from_json({"exclude": ["a"], "explain": True}, RULES).explain
    with pytest.raises(BadRequestError, match="at most 1"):
        question_from_query("exclude=a&exclude=b", rules_from(Lookup(max_exclude=1)))
