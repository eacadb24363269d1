"""Raw rows to believed events: each thing that can be wrong with a row has its reason."""

from __future__ import annotations

from datetime import date, datetime, timedelta, timezone
from decimal import Decimal
from typing import Any

import numpy as np
import pyarrow as pa
import pytest
from hypothesis import given
from hypothesis import strategies as st
from model_rows import HOUR, NOON

from larder.models import columns as C
from larder.models.events.validation import CORRUPT, READ, REASONS, ValidatedEvents, validated

LATEST = 24
TEN_PAST = NOON + timedelta(minutes=10)
# As they come in JSON lines with columns of mixed types, where every value is read as text.
A_RAW_EVENT = {
    "event_id": "e1",
    "ts": TEN_PAST.isoformat(),
    "cookie_id": "c1",
    "location": "north",
    "device": "phone",
    "product_id": "p1",
    "event_type": "view",
    "quantity": None,
    "price": None,
    CORRUPT: False,
}
WRONG: dict[str, dict[str, Any]] = {
    "malformed_row": {CORRUPT: True, "cookie_id": None},
    "bad_type:ts": {"ts": "yesterday"},
    "bad_type:quantity": {"quantity": "two"},
    "bad_type:price": {"price": "1,50"},
    "missing:cookie_id": {"cookie_id": None},
    "missing:product_id": {"product_id": "  "},
    "missing:event_type": {"event_type": ""},
    "missing:ts": {"ts": None},
    "unknown_event_type": {"event_type": "Purchase"},
    "future_timestamp": {"ts": (NOON + timedelta(hours=1)).isoformat()},
    "too_late": {"ts": (NOON - timedelta(hours=LATEST, seconds=1)).isoformat()},
    "quantity_not_positive": {"quantity": "0"},
    "negative_price": {"price": "-0.01"},
}
RIGHT: dict[str, dict[str, Any]] = {
    "as it should be": {},
    "the last second of its hour": {"ts": (NOON + timedelta(minutes=59, seconds=59)).isoformat()},
    "as late as may be": {"ts": (NOON - timedelta(hours=LATEST)).isoformat()},
    "without place and device": {"location": None, "device": None},
    "with quantity and price": {"quantity": "2", "price": "0"},
    "with another zone": {"ts": "2017-12-03T13:10:00+01:00"},
    "with the letter of Greenwich": {"ts": "2017-12-03T12:10:00Z"},
    "with no zone": {"ts": "2017-12-03 12:10:00"},
}


def judge(rows: list[dict[str, Any]], types: dict[str, pa.DataType] | None = None) -> tuple[ValidatedEvents, list[str]]:
    complete = [{**A_RAW_EVENT, **row} for row in rows]
    arrays = {name: pa.array([row[name] for row in complete], (types or {}).get(name)) for name in A_RAW_EVENT}
    events, reason = validated(pa.record_batch(arrays), {}, HOUR, LATEST)
    return events, [REASONS[code] for code in reason]


def judge_column(name: str, values: list[Any], type_: pa.DataType) -> tuple[ValidatedEvents, list[str]]:
    return judge([{name: value} for value in values], {name: type_})


@pytest.mark.parametrize("reason", WRONG)
def test_what_is_wrong_is_named(reason: str) -> None:
    assert judge([WRONG[reason]])[1] == [reason]


def test_rows_are_judged_one_by_one() -> None:
    rows = [*WRONG.values(), *RIGHT.values()]
    events, reasons = judge(rows)
    assert reasons == [*WRONG, *[""] * len(RIGHT)]
    assert len(events) == len(RIGHT)


@pytest.mark.parametrize("name", RIGHT)
def test_what_can_be_believed_has_no_reason(name: str) -> None:
    assert judge([RIGHT[name]])[1] == [""]


def test_the_first_thing_that_is_wrong_is_named() -> None:
    all_wrong = {"event_type": "buy", "price": "-1", "quantity": "0", "ts": "2099-01-01T00:00:00Z"}
    assert judge([all_wrong])[1] == ["unknown_event_type"]


def test_texts_are_codes_into_distinct_ones() -> None:
    events, _ = judge([{"product_id": "p2"}, {"location": None}, {"product_id": "p2", "location": ""}, {"device": "ç"}])
    assert events.products.take(pa.array(events.product)).to_pylist() == ["p2", "p1", "p2", "p1"]
    assert events.locations.take(pa.array(events.location)).to_pylist() == ["north", "", "", "north"]
    assert events.devices.take(pa.array(events.device)).to_pylist() == ["phone", "phone", "phone", "ç"]
    assert len(events.products) == 2


def test_columns_that_are_not_there_are_null() -> None:
    row = {"cookie_id": ["c1"], "product_id": ["p1"], "event_type": ["view"]}
    times = pa.array([TEN_PAST], pa.timestamp("us", "UTC"))
    events, reason = validated(pa.record_batch({**row, "ts": times}), {}, HOUR, LATEST)
    assert (reason.tolist(), events.event_key, events.quantity.tolist()) == ([0], None, [1])
    _, reason = validated(pa.record_batch(row), {}, HOUR, LATEST)
    assert REASONS[reason[0]] == "missing:ts"


def test_columns_of_other_names() -> None:
    row = {"visitor": ["v1"], "time stamp": [TEN_PAST], "item.id": ["sku"], "event_type": ["view"], "product_id": [7]}
    names = {"cookie_id": "visitor", "ts": "time stamp", "product_id": "item.id"}
    events, reason = validated(pa.record_batch(row), names, HOUR, LATEST)
    assert (reason.tolist(), events.products.to_pylist()) == ([0], ["sku"])


MOMENT = int(TEN_PAST.timestamp())
TIMES: dict[str, tuple[pa.DataType, Any]] = {
    "microseconds": (pa.timestamp("us", "UTC"), TEN_PAST),
    "seconds": (pa.timestamp("s", "UTC"), TEN_PAST),
    "milliseconds": (pa.timestamp("ms", "UTC"), TEN_PAST),
    "nanoseconds": (pa.timestamp("ns", "UTC"), TEN_PAST),
    "no zone": (pa.timestamp("us"), TEN_PAST.replace(tzinfo=None)),
    "another zone": (pa.timestamp("us", "Asia/Tokyo"), TEN_PAST),
    "epoch seconds": (pa.int64(), MOMENT),
    "epoch milliseconds": (pa.int64(), MOMENT * 10**3),
    "epoch microseconds": (pa.int64(), MOMENT * 10**6),
    "epoch nanoseconds": (pa.int64(), MOMENT * 10**9),
    "epoch seconds of 32 bits": (pa.int32(), MOMENT),
    "epoch seconds with a fraction": (pa.float64(), float(MOMENT)),
    "epoch seconds as text": (pa.string(), str(MOMENT)),
    "large text": (pa.large_string(), TEN_PAST.isoformat()),
    "a dictionary": (pa.dictionary(pa.int32(), pa.string()), TEN_PAST.isoformat()),
}


@pytest.mark.parametrize("kind", TIMES)
def test_times_of_every_kind_are_read(kind: str) -> None:
    type_, value = TIMES[kind]
    events, reasons = judge_column("ts", [value, None], type_)
    assert (reasons, events.ts.tolist()) == (["", "missing:ts"], [MOMENT * 10**6])


def test_nanoseconds_are_cut_not_rounded() -> None:
    values = [MOMENT * 10**9 + 999, MOMENT * 10**9 - 1]
    events, _ = judge_column("ts", values, pa.timestamp("ns"))
    assert events.ts.tolist() == [MOMENT * 10**6, MOMENT * 10**6 - 1]


def test_a_day_is_its_midnight() -> None:
    assert judge_column("ts", [date(2017, 12, 3)], pa.date32())[0].ts[0] == (MOMENT - 12 * 3600 - 600) * 10**6


@pytest.mark.parametrize(
    ("name", "type_", "value", "reason"),
    [
        ("quantity", pa.int64(), 2**32 + 1, "bad_type:quantity"),
        ("quantity", pa.uint64(), 2**63, "bad_type:quantity"),
        ("quantity", pa.float64(), 1.5, "bad_type:quantity"),
        ("quantity", pa.float64(), float("nan"), "bad_type:quantity"),
        ("quantity", pa.bool_(), True, "bad_type:quantity"),
        ("quantity", pa.list_(pa.int64()), [1], "bad_type:quantity"),
        ("quantity", pa.string(), "", "bad_type:quantity"),
        ("quantity", pa.string(), " 3 ", ""),
        ("quantity", pa.string(), "2.0", ""),
        ("quantity", pa.float32(), 2.0, ""),
        ("quantity", pa.decimal128(5, 1), Decimal("2.0"), ""),
        ("quantity", pa.int8(), 0, "quantity_not_positive"),
        ("price", pa.float64(), float("nan"), "bad_type:price"),
        ("price", pa.decimal128(9, 2), Decimal("-1.50"), "negative_price"),
        ("price", pa.binary(), b"1.5", ""),
        ("price", pa.binary(), b"\xff", "bad_type:price"),
        ("cookie_id", pa.int64(), 17, ""),
        ("cookie_id", pa.struct([("a", pa.int64())]), {"a": 1}, "bad_type:cookie_id"),
        ("cookie_id", pa.null(), None, "missing:cookie_id"),
        ("product_id", pa.int32(), 4711, ""),
        ("location", pa.list_(pa.string()), ["x"], "bad_type:location"),
        ("event_id", pa.map_(pa.string(), pa.string()), [("a", "b")], "bad_type:event_id"),
        ("event_type", pa.large_string(), "purchase", ""),
        ("event_type", pa.string(), "view\x00", "unknown_event_type"),
        ("ts", pa.time64("us"), datetime(2017, 12, 3, 12).time(), "bad_type:ts"),
        ("ts", pa.float64(), float("inf"), "bad_type:ts"),
        ("ts", pa.string(), "0000-00-00 00:00:00", "bad_type:ts"),
        ("ts", pa.timestamp("us"), datetime(1970, 1, 1), "too_late"),
        ("ts", pa.int64(), -1, "too_late"),
    ],
)
def test_values_of_other_types_are_read_or_named(name: str, type_: pa.DataType, value: Any, reason: str) -> None:
    assert judge_column(name, [value], type_)[1] == [reason]


@pytest.mark.parametrize("name", ["cookie_id", "product_id", "location"])
def test_bytes_that_are_no_text_are_of_a_bad_type(name: str) -> None:
    """Parquet's strings need not be UTF-8."""
    broken = pa.array([b"\xc3\x28", b"fine"], pa.binary()).view(pa.string())
    complete = {key: pa.array([value] * 2) for key, value in A_RAW_EVENT.items()} | {name: broken}
    _, reason = validated(pa.record_batch(complete), {}, HOUR, LATEST)
    assert [REASONS[code] for code in reason] == [f"bad_type:{name}", ""]


def test_dictionaries_that_parquet_kept_are_read_as_they_are() -> None:
    kinds = pa.array(["view", None, "nonsense", "purchase"]).dictionary_encode()
    complete = {key: pa.array([value] * 4) for key, value in A_RAW_EVENT.items()} | {"event_type": kinds}
    events, reason = validated(pa.record_batch(complete), {}, HOUR, LATEST)
    assert [REASONS[code] for code in reason] == ["", "missing:event_type", "unknown_event_type", ""]
    assert events.event_type.tolist() == [C.EVENT_TYPES.index("view"), C.EVENT_TYPES.index("purchase")]


@given(st.lists(st.tuples(st.sampled_from(["a", "", " ", None, "ü"]), st.integers(-3, 3)), max_size=30))
def test_every_row_is_believed_or_has_a_reason(rows: list[tuple[str | None, int]]) -> None:
    types = {"cookie_id": pa.string(), "quantity": pa.int64()} | {n: pa.string() for n in READ if n != "quantity"}
    events, reasons = judge([{"cookie_id": cookie, "quantity": quantity} for cookie, quantity in rows], types)
    expected = [
        "missing:cookie_id" if not (cookie or "").strip() else "quantity_not_positive" if quantity < 1 else ""
        for cookie, quantity in rows
    ]
    assert reasons == expected
    assert events.quantity.tolist() == [
        quantity for (_, quantity), reason in zip(rows, reasons, strict=True) if not reason
    ]


def test_the_zone_of_a_text_counts() -> None:
    noon = datetime(2017, 12, 3, 12, 10, tzinfo=timezone(timedelta(hours=-5)))
    events, reasons = judge([{"ts": noon.isoformat()}, {}])
    assert reasons == ["future_timestamp", ""]
    assert events.ts.dtype == np.int64
