"""An hour's events as counts, duplicates apart."""

from __future__ import annotations

from datetime import timedelta
from typing import Any

import xxhash
from model_rows import AN_EVENT, HOUR, NOON, events, in_order
from pyspark.sql import SparkSession
from pyspark.sql import functions as F

from models.counts import as_hourly_counts, with_cookie_key, with_duplicates_marked, with_no_duplicates
from models.schemas import HOURLY_COUNTS

COLUMNS = HOURLY_COUNTS.fieldNames()
NAIVE_NOON = NOON.replace(tzinfo=None)


def key_of(cookie: str) -> int:
    """The cookie's XXH64 as a signed integer."""
    return int.from_bytes(xxhash.xxh64_digest(cookie.encode(), 42), "big", signed=True)


def counted(spark: SparkSession, *rows: dict[str, Any], ids: bool = True) -> list[tuple[Any, ...]]:
    """What the job does with the rows of one hour."""
    keyed = with_cookie_key(events(spark, *rows)).withColumn("hour", F.lit(HOUR))
    marked = with_duplicates_marked(keyed, ["hour"]) if ids else with_no_duplicates(keyed)
    return in_order(as_hourly_counts(marked, ["hour"]).select(*COLUMNS).collect())


def row(**changes: Any) -> tuple[Any, ...]:
    usual = dict.fromkeys(COLUMNS, 0) | {
        "hour": HOUR,
        "cookie_key": key_of("c1"),
        "product_id": "p1",
        "location": "north",
        "device": "phone",
        "last_ts": NAIVE_NOON + timedelta(minutes=10),
    }
    return tuple((usual | changes)[name] for name in COLUMNS)


def test_events_are_counted_by_type(spark: SparkSession) -> None:
    types = ["impression"] * 4 + ["view"] * 3 + ["add_to_cart"] * 2 + ["purchase"]
    assert counted(spark, *({"event_type": type_} for type_ in types), ids=False) == [
        row(impressions=4, views=3, add_to_carts=2, purchases=1, quantity=1)
    ]


def test_cookie_product_location_and_device_are_counted_apart(spark: SparkSession) -> None:
    changes = [{}, {"cookie_id": "ç2"}, {"product_id": "p2"}, {"location": None}, {"device": None}, {"device": ""}]
    assert counted(spark, *changes) == in_order(
        [
            row(views=1),
            row(views=1, cookie_key=key_of("ç2")),
            row(views=1, product_id="p2"),
            row(views=1, location=""),
            row(views=2, device=""),
        ]
    )


def test_units_are_of_purchases_alone_and_one_where_none_are_named(spark: SparkSession) -> None:
    bought = [{"event_type": "purchase", "quantity": quantity} for quantity in (3, None)]
    assert counted(spark, *bought, {"quantity": 7}) == [row(views=1, purchases=2, quantity=3 + 1)]


def test_the_last_time_is_kept(spark: SparkSession) -> None:
    times = [{"ts": NOON + timedelta(minutes=minutes)} for minutes in (5, 50, 20)]
    assert counted(spark, *times) == [row(views=3, last_ts=NAIVE_NOON + timedelta(minutes=50))]


def test_an_event_that_came_before_is_counted_as_a_duplicate_alone(spark: SparkSession) -> None:
    twice = {"event_id": "e1", "event_type": "purchase", "quantity": 2}
    assert counted(spark, twice, twice, twice, {"event_id": "e2"}) == [
        row(views=1, purchases=1, quantity=2, duplicates=2)
    ]


def test_the_earliest_of_the_same_stays(spark: SparkSession) -> None:
    early = {"event_id": "e1", "product_id": "p1"}
    late = {"event_id": "e1", "product_id": "p2", "ts": NOON + timedelta(minutes=30)}
    expected = in_order([row(views=1), row(product_id="p2", duplicates=1, last_ts=NAIVE_NOON + timedelta(minutes=30))])
    assert counted(spark, early, late) == counted(spark, late, early) == expected


def test_events_without_an_id_are_never_duplicates(spark: SparkSession) -> None:
    assert counted(spark, {}, {}, {}) == [row(views=3)]


def test_the_same_id_of_two_cookies_is_two_events(spark: SparkSession) -> None:
    rows = counted(spark, {"event_id": "e1"}, {"event_id": "e1", "cookie_id": "c2"})
    assert rows == in_order([row(views=1), row(views=1, cookie_key=key_of("c2"))])


def test_the_base_event_is_one_of_the_contract() -> None:
    assert AN_EVENT["event_type"] == "view"
