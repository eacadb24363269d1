"""Rows for the tests of models: a base row of each table, of which a test names what matters to it."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from datetime import datetime, timedelta, timezone
from typing import Any

from pyspark.sql import DataFrame, Row, SparkSession
from pyspark.sql.types import StructType

from larder.models.tables import HOURLY_COUNTS

EPOCH = datetime(1970, 1, 1, tzinfo=timezone.utc)
NOON = datetime(2017, 12, 3, 12, tzinfo=timezone.utc)
HOUR = (NOON - EPOCH) // timedelta(hours=1)

A_COUNT = {
    "hour": HOUR,
    "cookie_key": 1,
    "product_id": "p1",
    "location": "",
    "device": "",
    "impressions": 0,
    "views": 0,
    "add_to_carts": 0,
    "purchases": 0,
    "quantity": 0,
    "last_ts": NOON,
}
AN_EVENT = {
    "event_id": None,
    "ts": NOON + timedelta(minutes=10),
    "cookie_id": "c1",
    "session_id": None,
    "location": "north",
    "device": "phone",
    "product_id": "p1",
    "event_type": "view",
    "quantity": None,
    "price": None,
    "request_id": None,
}


def counts(spark: SparkSession, *rows: Mapping[str, Any]) -> DataFrame:
    """Rows of HOURLY_COUNTS: A_COUNT with these changes."""
    return frame(spark, HOURLY_COUNTS.schema, [{**A_COUNT, **row} for row in rows])


def frame(spark: SparkSession, schema: StructType, rows: Iterable[Mapping[str, Any]]) -> DataFrame:
    """A frame of exactly these columns, in one partition."""
    names = schema.fieldNames()
    return spark.createDataFrame([tuple(row[name] for name in names) for row in rows], schema).coalesce(1)


def in_order(rows: Iterable[Row | tuple[Any, ...]]) -> list[tuple[Any, ...]]:
    """Rows to compare with others, whatever their order was; nulls come first."""
    return sorted((tuple(row) for row in rows), key=lambda row: [(value is not None, value) for value in row])
