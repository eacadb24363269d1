"""Simulated visitors: what they look at, click and buy is as planted, and what is expected is the formula's value."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
import pytest

from demo.played_visits import HOUR, hours_of, write_visits
from demo.simulated_visitors import (
    VISIT_SCHEMA,
    Behaviour,
    Reactions,
    Visitor,
    click_probabilities,
    events_of,
    numbers_of_visits,
    reactions,
    relevance_of,
)
from demo.visit_truth import ArmTruth, Truth
from larder.client import Answer, Item
from larder.models.hours import hour, hour_partition

ANN = Visitor("ann", {"tea": 0.5, "milk": 0.25}, 0.125)
BOB = Visitor("bob", {}, 1.0)
BEHAVIOUR = Behaviour(shown=3, eta=1.0, buys=0.4)
SECOND = 1_000_000
MOMENT = hour("2026-11-20T10") * HOUR


def answer(*products: str, request: str = "q") -> Answer:
    return Answer(tuple(Item(product, None, "generic") for product in products), request)


@pytest.mark.parametrize(
    ("eta", "expected"), [(0.0, [1, 1, 1, 1]), (1.0, [1, 1 / 2, 1 / 3, 1 / 4]), (2.0, [1, 1 / 4, 1 / 9, 1 / 16])]
)
def test_attention_falls_with_the_position(eta: float, expected: list[float]) -> None:
    assert Behaviour(shown=4, eta=eta).examination() == pytest.approx(expected)


def test_relevance_is_that_of_the_visitor_and_of_nothing_where_no_product_is() -> None:
    found = relevance_of([ANN, BOB], [answer("milk", "soap", "tea"), answer("tea")], 3)
    np.testing.assert_array_equal(found, [[0.25, 0.125, 0.5], [1.0, 0.0, 0.0]])
    np.testing.assert_allclose(click_probabilities(found, BEHAVIOUR), [[0.25, 0.125 / 2, 0.5 / 3], [1.0, 0.0, 0.0]])


def test_visitors_come_with_the_probabilities_of_a_heavy_tail() -> None:
    behaviour = Behaviour(visits_exponent=2.0, most_visits=3)
    probabilities = np.array([1, 1 / 4, 1 / 9]) / (1 + 1 / 4 + 1 / 9)
    np.testing.assert_allclose(behaviour.visit_probabilities(), probabilities)
    count = 100_000
    found = np.bincount(numbers_of_visits(np.random.default_rng(1), count, behaviour), minlength=4)
    error = np.sqrt(count * probabilities * (1 - probabilities))
    assert found[0] == 0
    assert (np.abs(found[1:] - count * probabilities) < 4 * error).all()


def test_clicks_and_purchases_are_drawn_with_their_probabilities() -> None:
    count = 100_000
    clicks = np.array([0.9, 0.3, 0.0])
    found = reactions(np.random.default_rng(1), np.tile(clicks, (count, 1)), BEHAVIOUR)
    for drawn, probability in ((found.clicked, clicks), (found.bought, clicks * 0.4)):
        error = np.sqrt(probability * (1 - probability) / count)
        assert (np.abs(drawn.mean(0) - probability) <= 4 * error).all()
    assert not (found.bought & ~found.clicked).any()
    assert {*found.seconds.ravel()} == {*range(1, 21)}


def test_the_truth_of_an_arm_is_the_sum_of_the_probabilities() -> None:
    truth = Truth(BEHAVIOUR, {"tea": 2.0, "milk": 1.0})
    asked = [answer("milk", "soap", "tea"), answer("tea")]
    clicks = click_probabilities(relevance_of([ANN, BOB], asked, 3), BEHAVIOUR)
    truth.add("new", "ann", asked[0], clicks[0], times=2)
    truth.add("new", "bob", asked[1], clicks[1])
    truth.add("old", "ann", asked[0], clicks[0])
    of_ann, of_bob = 0.25 + 0.125 / 2 + 0.5 / 3, 1.0
    clicked, bought = 2 * of_ann + of_bob, 0.4 * (2 * of_ann + of_bob)
    revenue = 0.4 * (2 * (0.25 * 1.0 + 0.5 / 3 * 2.0) + 1.0 * 2.0)
    new = truth.arms["new"]
    assert (new.cookies, new.answers, new.impressions) == ({"ann", "bob"}, 3, 2 * 3 + 1)
    assert new.metrics() == pytest.approx(
        {"click_through": clicked / 7, "add_to_cart": bought / 2, "purchase": bought / 2, "revenue": revenue / 2}
    )
    variance = 2 * sum(p * (1 - p) for p in (0.25, 0.125 / 2, 0.5 / 3))  # what is always clicked varies nowhere
    of_buying = 2 * sum(p * (1 - p) for p in (0.1, 0.025, 0.2 / 3)) + 0.4 * 0.6
    assert new.standard_errors() == pytest.approx({"click_through": variance**0.5 / 7, "purchase": of_buying**0.5 / 2})
    assert truth.as_json()["old"]["metrics"]["click_through"] == pytest.approx(of_ann / 3)


def test_an_arm_without_answers_expects_nothing() -> None:
    assert set(ArmTruth().metrics().values()) == {0.0}


def test_a_click_is_a_view_and_a_purchase_three_events_after_the_answer() -> None:
    reacted = Reactions(
        np.array([[True, False], [False, True]]), np.array([[True, False], [False, False]]), np.full((2, 2), 10)
    )
    asked = [answer("tea", "milk", request="q-0"), answer("soap", "milk", request="q-1")]
    found = events_of(["ann", "bob"], asked, reacted, MOMENT, {"tea": 2.5})
    shared = {"quantity": 1, "location": None, "device": None}
    of_ann = {"cookie_id": "ann", "session_id": "q-0", "request_id": "q-0", "product_id": "tea", "price": 2.5}
    of_bob = {"cookie_id": "bob", "session_id": "q-1", "request_id": "q-1", "product_id": "milk", "price": None}
    expected = [
        {"event_id": "q-0-tea-view", "ts": MOMENT + 10 * SECOND, "event_type": "view", **of_ann, **shared},
        {"event_id": "q-0-tea-add_to_cart", "ts": MOMENT + 15 * SECOND, "event_type": "add_to_cart", **of_ann,
         **shared},
        {"event_id": "q-0-tea-purchase", "ts": MOMENT + 20 * SECOND, "event_type": "purchase", **of_ann, **shared},
        {"event_id": "q-1-milk-view", "ts": MOMENT + 10 * SECOND, "event_type": "view", **of_bob, **shared},
    ]  # fmt: skip
    assert found == pa.Table.from_pylist(expected, VISIT_SCHEMA)


def test_the_same_seed_gives_the_same_events() -> None:
    asked = [answer("milk", "soap", "tea", request=f"q-{place}") for place in range(50)]
    clicks = click_probabilities(relevance_of([ANN] * 50, asked, 3), BEHAVIOUR)

    def events(seed: int) -> pa.Table:
        reacted = reactions(np.random.default_rng(seed), clicks, BEHAVIOUR)
        return events_of(["ann"] * 50, asked, reacted, MOMENT, {})

    assert events(1) == events(1)
    assert events(1) != events(2)


def test_events_lie_in_the_partitions_of_their_hours(tmp_path: Path) -> None:
    reacted = Reactions(np.array([[True, True]]), np.array([[False, False]]), np.array([[1, 3600]]))
    events = events_of(["ann"], [answer("tea", "milk")], reacted, MOMENT, {})
    hours = hours_of(events, MOMENT - 1)
    first = MOMENT // HOUR - 1
    assert hours == range(first, first + 3)
    write_visits(tmp_path, events, hours)
    found = [pq.read_table(tmp_path / hour_partition(each) / "visits.parquet", partitioning=None) for each in hours]
    assert found == [VISIT_SCHEMA.empty_table(), events.slice(0, 1), events.slice(1, 1)]


def test_without_any_event_the_hours_are_those_of_the_start() -> None:
    assert hours_of(VISIT_SCHEMA.empty_table(), MOMENT) == range(MOMENT // HOUR, MOMENT // HOUR + 1)
