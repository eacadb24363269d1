"""Raw rows to believed events: each thing that can be wrong with a row has its reason."""

from __future__ import annotations

from datetime import datetime, timedelta
from typing import Any

import pytest
from model_rows import AN_EVENT, EPOCH, HOUR, NOON
from pyspark.sql import DataFrame, SparkSession
from pyspark.sql import types as T

from models.events import CORRUPT, as_events, as_quarantine, filter_valid, with_reason
from models.schemas import EVENT, QUARANTINE

LATEST = 24
TEXT = "%Y-%m-%dT%H:%M:%SZ"
# As they come in JSON lines, where every value is read as text.
A_RAW_EVENT = {
    **{name: None if value is None else str(value) for name, value in AN_EVENT.items()},
    "ts": (NOON + timedelta(minutes=10)).strftime(TEXT),
    CORRUPT: None,
    "hour": HOUR,
}
WRONG: dict[str, dict[str, Any]] = {
    "malformed_row": {CORRUPT: '{"cookie_id": '},
    "bad_type:ts": {"ts": "yesterday"},
    "bad_type:quantity": {"quantity": "two"},
    "bad_type:price": {"price": "1,50"},
    "missing:cookie_id": {"cookie_id": None},
    "missing:product_id": {"product_id": "  "},
    "missing:event_type": {"event_type": ""},
    "missing:ts": {"ts": None},
    "unknown_event_type": {"event_type": "Purchase"},
    "future_timestamp": {"ts": (NOON + timedelta(hours=1)).strftime(TEXT)},
    "too_late": {"ts": (NOON - timedelta(hours=LATEST, seconds=1)).strftime(TEXT)},
    "quantity_not_positive": {"quantity": "0"},
    "negative_price": {"price": "-0.01"},
}
RIGHT: dict[str, dict[str, Any]] = {
    "as it should be": {},
    "the last second of its hour": {"ts": (NOON + timedelta(minutes=59, seconds=59)).strftime(TEXT)},
    "as late as may be": {"ts": (NOON - timedelta(hours=LATEST)).strftime(TEXT)},
    "without place and device": {"location": None, "device": None},
    "with quantity and price": {"quantity": "2", "price": "0"},
    "with another zone": {"ts": "2017-12-03T13:10:00+01:00"},
}


def raw(spark: SparkSession, rows: dict[str, dict[str, Any]]) -> DataFrame:
    """The rows, each with its name as event_id."""
    names = [*EVENT.fieldNames(), CORRUPT, "hour"]
    schema = T.StructType([T.StructField(n, T.IntegerType() if n == "hour" else T.StringType()) for n in names])
    complete = [{**A_RAW_EVENT, **row, "event_id": name} for name, row in rows.items()]
    return spark.createDataFrame([tuple(row[name] for name in names) for row in complete], schema)


@pytest.fixture(scope="module")
def judged(spark: SparkSession) -> dict[str, T.Row]:
    events = with_reason(as_events(raw(spark, WRONG | RIGHT), {}, ["hour"]), LATEST)
    return {row.event_id: row for row in events.collect()}


@pytest.mark.parametrize("reason", WRONG)
def test_what_is_wrong_is_named(judged: dict[str, T.Row], reason: str) -> None:
    assert judged[reason].reason == reason


@pytest.mark.parametrize("name", RIGHT)
def test_what_can_be_believed_has_no_reason(judged: dict[str, T.Row], name: str) -> None:
    assert judged[name].reason is None


def test_values_become_those_of_the_contract(judged: dict[str, T.Row]) -> None:
    event = judged["with quantity and price"]
    expected = {**AN_EVENT, "ts": NOON.replace(tzinfo=None) + timedelta(minutes=10), "quantity": 2, "price": 0.0}
    found = event.asDict()
    assert {name: found[name] for name in EVENT.fieldNames() if name != "event_id"} == {
        name: value for name, value in expected.items() if name != "event_id"
    }


def test_the_first_thing_that_is_wrong_is_named(spark: SparkSession) -> None:
    all_wrong = {"event_type": "buy", "price": "-1", "quantity": "0", "ts": "2099-01-01T00:00:00Z"}
    [row] = with_reason(as_events(raw(spark, {"e": all_wrong}), {}, ["hour"]), LATEST).collect()
    assert row.reason == "unknown_event_type"


def test_valid_and_quarantined_are_all(spark: SparkSession) -> None:
    events = with_reason(as_events(raw(spark, WRONG | RIGHT), {}, ["hour"]), LATEST)
    assert {row.event_id for row in filter_valid(events).collect()} == set(RIGHT)
    rows = as_quarantine(events, "event_id", ["hour"])
    assert rows.columns == [*QUARANTINE.fieldNames(), "hour"]
    found = {row.source: row for row in rows.collect()}
    assert {name: row.reason for name, row in found.items()} == {name: name for name in WRONG}
    assert found["malformed_row"].raw == WRONG["malformed_row"][CORRUPT]
    assert '"price":"-0.01"' in found["negative_price"].raw


def test_columns_of_other_names_are_mapped_and_others_carried_past(spark: SparkSession) -> None:
    row = ("v1", "2017-12-03T12:10:00Z", "sku", "view", 9, "kept out")
    names = ["visitor", "time stamp", "item.id", "event_type", "hour", "a.b"]
    columns = {"cookie_id": "visitor", "ts": "time stamp", "product_id": "item.id"}
    events = as_events(spark.createDataFrame([row], names), columns, ["hour"])
    assert events.columns == [*EVENT.fieldNames(), "reason", "raw", "hour"]
    [found] = events.collect()
    assert (found.cookie_id, found.product_id, found.event_type, found.hour) == ("v1", "sku", "view", 9)
    assert found.ts == datetime(2017, 12, 3, 12, 10)
    assert (found.price, found.quantity, found.reason) == (None, None, None)
    assert '"a.b":"kept out"' in found.raw


def test_a_contract_name_that_means_something_else_is_not_read(spark: SparkSession) -> None:
    frame = spark.createDataFrame([("trolley", "phone", "c1")], ["device", "client", "cookie_id"])
    [found] = as_events(frame, {"device": "client"}, []).collect()
    assert found.device == "phone"


def test_nanoseconds_since_1970_are_times(spark: SparkSession) -> None:
    """Spark reads the timestamps that pandas writes to Parquet as integers."""
    moment = datetime(2017, 12, 3, 12, 10, 0, 123456)
    nanoseconds = (moment - EPOCH.replace(tzinfo=None)) // timedelta(microseconds=1) * 1000
    schema = "ts long, cookie_id string"
    rows = [(nanoseconds + 999, "after"), (None, "none"), (-1, "before")]
    found = {row.cookie_id: row.ts for row in as_events(spark.createDataFrame(rows, schema), {}, []).collect()}
    assert found == {"after": moment, "none": None, "before": datetime(1969, 12, 31, 23, 59, 59, 999999)}


def test_typed_columns_stay_as_they_are(spark: SparkSession) -> None:
    schema = "ts timestamp, cookie_id string, quantity long, price float"
    frame = spark.createDataFrame([(NOON, "c1", 3, 0.5)], schema)
    [found] = as_events(frame, {}, []).collect()
    assert (found.ts, found.quantity, found.price, found.reason) == (NOON.replace(tzinfo=None), 3, 0.5, None)


def test_a_quantity_that_does_not_fit_is_of_a_bad_type(spark: SparkSession) -> None:
    [found] = as_events(spark.createDataFrame([(2**32 + 1,)], "quantity long"), {}, []).collect()
    assert found.reason == "bad_type:quantity"
