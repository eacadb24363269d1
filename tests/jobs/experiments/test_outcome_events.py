"""Raw events as events that may follow an impression, whole."""

from __future__ import annotations

from typing import Any

import pyarrow as pa
import pytest
from event_folders import START, moment

from larder.jobs.experiments.outcome_events import EventRules, event_rows
from larder.models.columns import EVENT_TYPES
from larder.models.encoding.hashing import xxh64
from larder.settings import EventsSettings, MetricSettings

FIRST = 1_000
REVENUE = MetricSettings(event_types=["purchase"], value="price", times_quantity=True)
AN_EVENT = {
    "ts": moment(START), "cookie_id": "c1", "product_id": "p1", "event_type": "view", "request_id": "q1",
}  # fmt: skip


def rules(by_request: bool = False, columns: dict[str, str] | None = None, **metrics: MetricSettings) -> EventRules:
    return EventRules(EventsSettings(columns=columns or {}), metrics, by_request)


def found(rows: list[dict[str, Any]], how: EventRules) -> list[dict[str, Any]]:
    names = {name for row in rows for name in row}
    batch = pa.record_batch(
        {name: pa.array([{**AN_EVENT, **row}.get(name) for row in rows]) for name in sorted(names | set(AN_EVENT))}
    )
    return event_rows(batch, START, FIRST, how).to_pylist()


def key(text: str) -> int:
    hashed: int = xxh64(pa.array([text], pa.string()))[0]
    return hashed


def event(number: int, kind: str = "view", request: str | None = "q1", **more: Any) -> dict[str, Any]:
    return {
        "unit": key("c1"), "hour": START, "event": number, "moment": int(moment(START).timestamp() * 1e6),
        "event_type": EVENT_TYPES.index(kind), "request": None if request is None else key(request),
        "product": key("p1"), **more,
    }  # fmt: skip


def test_impressions_and_invalid_events_are_left_out() -> None:
    rows = [
        {"event_type": "impression"}, {}, {"cookie_id": None}, {"event_type": "wishlist"}, {"product_id": "undefined"},
        {"event_type": "purchase", "request_id": None},
    ]  # fmt: skip
    assert found(rows, rules()) == [event(FIRST + 1), event(FIRST + 5, "purchase", None)]


def test_values_are_whole_hundredths_times_the_quantity() -> None:
    rows = [
        {"event_type": "purchase", "price": "1.005", "quantity": 2}, {"price": "7"}, {"price": None},
        {"price": "0.29", "quantity": 3},
    ]  # fmt: skip
    once = MetricSettings(event_types=["view"], value="price")
    assert found(rows, rules(revenue=REVENUE, price=once)) == [
        event(FIRST, "purchase", value_revenue=201, value_price=100),
        event(FIRST + 1, value_revenue=700, value_price=700),
        event(FIRST + 2, value_revenue=None, value_price=None),
        event(FIRST + 3, value_revenue=87, value_price=29),
    ]


def test_a_column_that_is_nowhere_has_no_values() -> None:
    assert found([{}], rules(revenue=REVENUE)) == [event(FIRST, value_revenue=None)]


def test_columns_may_have_other_names() -> None:
    renamed = rules(columns={"request_id": "rid", "price": "eur"}, revenue=REVENUE)
    assert found([{"rid": "q2", "eur": 2.5}], renamed) == [event(FIRST, request="q2", value_revenue=250)]


def test_an_event_id_tells_events_apart() -> None:
    assert found([{"event_id": "e1"}, {"event_id": None}], rules()) == [event(key("e1")), event(FIRST + 1)]


@pytest.mark.parametrize("kind", ["text", "number"])
def test_ids_have_one_spelling(kind: str) -> None:
    rows = [{"request_id": "7" if kind == "text" else 7.0}]
    assert found(rows, rules()) == [event(FIRST, request="7")]


def test_where_the_request_is_the_unit_events_without_one_are_left_out() -> None:
    rows = [{"request_id": "q1"}, {"request_id": None}]
    assert found(rows, rules(by_request=True)) == [{**event(FIRST), "unit": key("q1")}]
