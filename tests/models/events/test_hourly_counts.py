"""An hour's events as counts, duplicates and bots apart."""

from __future__ import annotations

import random
from collections import Counter
from datetime import timedelta
from typing import Any

import numpy as np
import pyarrow as pa
import pytest
import xxhash
from hypothesis import given
from hypothesis import strategies as st
from model_rows import AN_EVENT, HOUR, NOON

from larder.models.events.hourly_counts import HourlyCounts, hourly_counts, packed, range_of, split_by_cookie, unpacked
from larder.models.events.validation import ValidatedEvents, validated
from larder.models.tables import HOURLY_COUNTS

COLUMNS = HOURLY_COUNTS.schema.fieldNames()
MANY = 10_000


def key_of(cookie: str) -> int:
    """The cookie's XXH64 as a signed integer."""
    return int.from_bytes(xxhash.xxh64_digest(cookie.encode(), 42), "big", signed=True)


def events_of(*rows: dict[str, Any]) -> ValidatedEvents:
    complete = [{**AN_EVENT, **row} for row in rows]
    types = {"ts": pa.timestamp("us", "UTC")}
    arrays = {name: pa.array([row[name] for row in complete], types.get(name)) for name in AN_EVENT}
    events, reason = validated(pa.record_batch(arrays), {}, HOUR, 24)
    assert not reason.any()
    return events


def counted(*rows: dict[str, Any], max_events: int = MANY) -> HourlyCounts:
    return hourly_counts(events_of(*rows), HOUR, max_events)


def found(counts: HourlyCounts) -> list[dict[str, Any]]:
    assert counts.table.column_names == COLUMNS
    return in_order(counts.table.to_pylist())


def in_order(rows: list[dict[str, Any]]) -> list[dict[str, Any]]:
    return sorted(rows, key=lambda row: tuple(row[name] for name in COLUMNS[:5]))


def row(**changes: Any) -> dict[str, Any]:
    usual = dict.fromkeys(COLUMNS, 0) | {
        "hour": HOUR,
        "cookie_key": key_of("c1"),
        "product_id": "p1",
        "location": "north",
        "device": "phone",
        "last_ts": NOON + timedelta(minutes=10),
    }
    return usual | changes


def test_events_are_counted_by_type() -> None:
    types = ["impression"] * 4 + ["view"] * 3 + ["add_to_cart"] * 2 + ["purchase"]
    counts = counted(*({"event_type": type_} for type_ in types))
    assert found(counts) == [row(impressions=4, views=3, add_to_carts=2, purchases=1, quantity=1)]
    assert (counts.events, counts.duplicates, counts.bots.num_rows) == (10, 0, 0)


def test_a_sum_of_units_beyond_32_bits_is_whole() -> None:
    most = 2**31 - 1
    for several, type_ in ((1, pa.int32()), (3, pa.int64())):
        counts = counted(*({"event_type": "purchase", "quantity": most} for _ in range(several)))
        assert found(counts) == [row(purchases=several, quantity=several * most)]
        assert counts.table.schema.field("quantity").type == type_


def test_cookie_product_location_and_device_are_counted_apart() -> None:
    changes = [{}, {"cookie_id": "ç2"}, {"product_id": "p2"}, {"location": None}, {"device": None}, {"device": ""}]
    expected = [
        row(views=1),
        row(views=1, cookie_key=key_of("ç2")),
        row(views=1, product_id="p2"),
        row(views=1, location=""),
        row(views=2, device=""),
    ]
    assert found(counted(*changes)) == in_order(expected)


def test_units_are_of_purchases_alone_and_one_where_none_are_named() -> None:
    bought = [{"event_type": "purchase", "quantity": quantity} for quantity in (3, None)]
    assert found(counted(*bought, {"quantity": 7})) == [row(views=1, purchases=2, quantity=3 + 1)]


def test_the_last_time_is_kept() -> None:
    times = [{"ts": NOON + timedelta(minutes=minutes)} for minutes in (5, 50, 20)]
    assert found(counted(*times)) == [row(views=3, last_ts=NOON + timedelta(minutes=50))]


def test_an_event_that_came_before_is_counted_as_a_duplicate_alone() -> None:
    twice = {"event_id": "e1", "event_type": "purchase", "quantity": 2}
    counts = counted(twice, twice, twice, {"event_id": "e2"})
    assert found(counts) == [row(views=1, purchases=1, quantity=2)]
    assert (counts.events, counts.duplicates) == (2, 2)


def test_the_earliest_of_the_same_stays() -> None:
    early = {"event_id": "e1", "product_id": "p1"}
    late = {"event_id": "e1", "product_id": "p2", "ts": NOON + timedelta(minutes=30)}
    assert found(counted(early, late)) == found(counted(late, early)) == [row(views=1)]


def test_events_without_an_id_are_never_duplicates() -> None:
    assert found(counted({}, {}, {})) == [row(views=3)]
    assert found(counted({}, {}, {"event_id": "e1"}, {"event_id": "e1"})) == [row(views=3)]


def test_the_same_id_of_two_cookies_is_two_events() -> None:
    counts = counted({"event_id": "e1"}, {"event_id": "e1", "cookie_id": "c2"})
    assert (counts.events, counts.duplicates) == (2, 0)


def test_a_bot_is_whoever_has_more_events_than_a_person() -> None:
    robot = [{"cookie_id": "robot", "event_id": f"e{n % 2}"} for n in range(4)]
    counts = counted(*robot, {}, {}, {}, max_events=3)
    assert found(counts) == [row(views=3)]
    assert counts.bots.to_pylist() == [{"hour": HOUR, "cookie_key": key_of("robot"), "events": 4}]
    assert (counts.events, counts.duplicates) == (3, 0)


def test_no_events_are_no_counts() -> None:
    assert found(hourly_counts(events_of({}).take(slice(0, 0)), HOUR, MANY)) == []


@pytest.mark.parametrize("ranges", [1, 2, 64])
def test_keys_are_dealt_to_ranges_in_their_order(ranges: int) -> None:
    keys = np.sort(np.array([-(2**63), -(2**62), -1, 0, 1, 2**62, 2**63 - 1]))
    found_ranges = range_of(keys, ranges)
    assert (np.diff(found_ranges) >= 0).all()
    assert (found_ranges[0], found_ranges[-1]) == (0, ranges - 1)


EVENTS = st.builds(
    dict,
    cookie_id=st.sampled_from(["a", "b", "c"]),
    product_id=st.sampled_from(["p1", "p2", "p3"]),
    location=st.sampled_from(["north", None]),
    event_id=st.sampled_from(["e1", "e2", None]),
    event_type=st.sampled_from(["impression", "purchase"]),
    quantity=st.integers(1, 3),
    ts=st.integers(0, 3).map(lambda minutes: NOON + timedelta(minutes=minutes)),
)


@given(st.lists(EVENTS, min_size=1, max_size=60), st.randoms())
def test_any_order_and_any_parts_give_the_counts_of_a_plain_loop(
    rows: list[dict[str, Any]], draw: random.Random
) -> None:
    seen: set[tuple[str, str | None]] = set()
    expected: Counter[int] = Counter()
    for event in rows:
        pair = (event["cookie_id"], event["event_id"])
        if pair not in seen or event["event_id"] is None:
            expected[key_of(event["cookie_id"])] += 1
        seen.add(pair)
    shuffled = draw.sample(rows, len(rows))
    cut = draw.randrange(len(rows) + 1)
    parts = [events_of(*part) for part in (shuffled[:cut], shuffled[cut:]) if part]
    counts = hourly_counts(
        unpacked([packed(some) for part in parts for _, some in split_by_cookie(part, 1)]), HOUR, MANY
    )
    assert counts.table.equals(counted(*rows).table)
    assert counts.duplicates == len(rows) - sum(expected.values())
    by_cookie: Counter[int] = Counter()
    for each in counts.table.to_pylist():
        by_cookie[each["cookie_key"]] += each["impressions"] + each["purchases"]
    assert by_cookie == expected


def test_many_events_of_few_cookies_are_sorted_as_well() -> None:
    draw = random.Random(1)
    rows = [{"cookie_id": f"c{draw.randrange(2)}", "product_id": f"p{draw.randrange(300)}"} for _ in range(3000)]
    expected = Counter((key_of(each["cookie_id"]), each["product_id"]) for each in rows)
    assert {(each["cookie_key"], each["product_id"]): each["views"] for each in found(counted(*rows))} == expected


def test_dealt_and_packed_events_come_out_whole() -> None:
    rows = [
        {"cookie_id": f"c{n}", "product_id": f"p{n % 3}", "event_id": None if n % 2 else f"e{n}"} for n in range(50)
    ]
    events = events_of(*rows)
    parts = split_by_cookie(events, 8)
    assert sum(len(some) for _, some in parts) == 50
    for number, some in parts:
        assert (range_of(some.cookie_key, 8) == number).all()
    joined = unpacked([packed(some) for _, some in parts])
    assert hourly_counts(joined, HOUR, MANY).table.equals(hourly_counts(events, HOUR, MANY).table)


@pytest.mark.parametrize("largest", [255, 256, 257, 65_535, 65_536, 65_537, 2**31 - 1])
def test_packed_quantities_come_out_as_they_went_in(largest: int) -> None:
    """A distance of 255 from a least quantity of 1 fits one byte, and the quantity itself does not."""
    bought = {"event_type": "purchase", "price": 1.0}
    events = events_of({**bought, "quantity": 1}, {**bought, "quantity": largest})
    joined = unpacked([packed(events)])
    for name in ("ts", "event_type", "quantity"):
        before, after = getattr(events, name), getattr(joined, name)
        assert after.dtype == before.dtype
        assert after.tolist() == before.tolist()
