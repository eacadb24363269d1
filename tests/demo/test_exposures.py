"""All exposures: every product that the visited store promoted in the week of the visit, once each."""

from __future__ import annotations

from pathlib import Path

import pandas as pd
import pyarrow as pa
import pyarrow.compute as pc
import pyarrow.dataset as ds
import pytest

from demo.complete_journey import EVENT_SCHEMA, NOWHERE, per_visit, purchases
from demo.exposures import Shelves, count, visits, write_all

PROMOTIONS = pa.RecordBatch.from_pylist(
    [
        {"store_id": 7, "week": 1, "product_id": 12, "display_location": NOWHERE},
        {"store_id": 7, "week": 1, "product_id": 12, "display_location": "A"},  # on display and in the mailer
        {"store_id": 7, "week": 1, "product_id": 11, "display_location": NOWHERE},
        {"store_id": 7, "week": 2, "product_id": 13, "display_location": "3"},
        {"store_id": 8, "week": 1, "product_id": 14, "display_location": "3"},
    ]
)
LINE = {"household_id": 1, "product_id": 99, "quantity": 1, "sales_value": 2.0, "week": 1, "store_id": 7}
TRANSACTIONS = pd.DataFrame(
    [
        {**LINE, "basket_id": 100, "transaction_timestamp": pd.Timestamp("2017-01-01 10:30:00.5")},
        {**LINE, "basket_id": 100, "transaction_timestamp": pd.Timestamp("2017-01-01 10:30:00.5"), "product_id": 98},
        {**LINE, "basket_id": 101, "transaction_timestamp": pd.Timestamp("2017-01-01 12:00"), "week": 2},
        {**LINE, "basket_id": 102, "transaction_timestamp": pd.Timestamp("2017-01-01 12:01"), "store_id": 9},
    ]
)
HOURS = pd.date_range("2017-01-01 10:00", periods=3, freq="h")


@pytest.fixture
def shelves() -> Shelves:
    return Shelves([PROMOTIONS.slice(0, 2), PROMOTIONS.slice(2)], NOWHERE)


def test_each_visit_sees_its_store_in_its_week(shelves: Shelves, tmp_path: Path) -> None:
    written = write_all(tmp_path, HOURS, purchases(TRANSACTIONS), visits(TRANSACTIONS), shelves)

    table = ds.dataset(tmp_path, partitioning="hive").to_table().sort_by([("ts", "ascending")])
    assert written == table.num_rows == len(TRANSACTIONS) + count(TRANSACTIONS, shelves)
    assert table.select(EVENT_SCHEMA.names).schema == EVENT_SCHEMA
    seen = [
        tuple(row[name] for name in ("hr", "session_id", "location", "product_id", "device"))
        for row in table.to_pylist()
        if row["event_type"] == "impression"
    ]
    assert sorted(seen) == [
        (10, "100", "7", "11", "mailer"),
        (10, "100", "7", "12", "display"),
        (12, "101", "7", "13", "display"),
    ]


def test_every_hour_has_a_file_and_purchases_stay_as_they_are(shelves: Shelves, tmp_path: Path) -> None:
    bought = purchases(TRANSACTIONS)
    write_all(tmp_path, HOURS, bought, visits(TRANSACTIONS), shelves)
    files = sorted(tmp_path.rglob("*.parquet"))
    assert [file.parent.name for file in files] == ["hr=10", "hr=11", "hr=12"]
    table = pa.concat_tables([ds.dataset(file).to_table() for file in files])
    assert table.filter(pc.equal(table["event_type"], "purchase")).equals(bought)


def test_all_is_a_number_of_impressions_too() -> None:
    assert (per_visit("all"), per_visit("10")) == ("all", 10)
    with pytest.raises(ValueError, match="many"):
        per_visit("many")
