"""Files as other people's programs write them: read as they mean it, or set aside with a reason; never a traceback.

An hour each, counted in one run a format. `Expected` says what must come of an hour.
"""

from __future__ import annotations

import bz2
import gzip
import json
import uuid
from collections.abc import Callable
from dataclasses import dataclass, field
from datetime import date, datetime
from decimal import Decimal
from pathlib import Path
from typing import Any

import duckdb
import numpy as np
import pandas as pd
import polars as pl
import pyarrow as pa
import pyarrow.parquet as pq
import pytest
from event_folders import (
    START,
    WRITES_VIEWS,
    aggregate,
    counts_of,
    hour_folder,
    manifest_of,
    moment,
    reasons,
    settings_in,
)
from pyspark.sql import SparkSession

from larder.models.encoding.hashing import xxh64
from larder.settings import Settings

pytestmark = pytest.mark.end_to_end

A_UUID = uuid.UUID("6f1b7c1e-3c1e-4d53-9d2b-8d6f6a0c0001")


@dataclass(frozen=True)
class Expected:
    """What must come of an hour: its groups as (cookie, product, location, events, units), and its reasons."""

    groups: list[tuple[str, str, str, int, int]]
    reasons: dict[str, int] = field(default_factory=dict)
    duplicates: int = 0


def parquet(folder: Path, name: str = "a.parquet", **columns: Any) -> None:
    rows = max(len(values) for values in columns.values())
    usual = {"ts": pa.array([TEN_PAST] * rows, pa.timestamp("us", "UTC")), "event_type": ["purchase"] * rows}
    usual |= {"cookie_id": ["c1"] * rows, "product_id": ["p1"] * rows}
    table = {**usual, **columns}
    pq.write_table(pa.table(list(table.values()), names=list(table)), folder / name)


def lines(folder: Path, *rows: dict[str, Any] | str, name: str = "a.json", join: str = "\n") -> None:
    usual = {"ts": "2017-12-03T00:10:00Z", "cookie_id": "c1", "product_id": "p1", "event_type": "purchase"}
    texts = [row if isinstance(row, str) else json.dumps({**usual, **row}) for row in rows]
    (folder / name).write_text(join.join(texts))


TEN_PAST = moment(START)
ONE = ("c1", "p1", "", 1, 1)
MADE: dict[str, dict[str, tuple[Callable[[Path], None], Expected]]] = {"parquet": {}, "json": {}}


def case(kind: str, *groups: tuple[str, str, str, int, int], duplicates: int = 0, **reasons: int) -> Any:
    named = {name.replace("__", ":"): count for name, count in reasons.items()}

    def note(write: Callable[[Path], None]) -> Callable[[Path], None]:
        MADE[kind][write.__name__] = (write, Expected(list(groups), named, duplicates))
        return write

    return note


@case("parquet", ("5", "1001", "", 4, 4), ("1234567890", "1e", "", 1, 1))
def one_id_in_several_types(folder: Path) -> None:
    parquet(folder, "a.parquet", cookie_id=[5], product_id=[1001])
    parquet(folder, "b.parquet", cookie_id=[5.0], product_id=[1001.0])
    parquet(folder, "c.parquet", cookie_id=[Decimal("5.00")], product_id=pa.array([1001], pa.float32()))
    parquet(folder, "d.parquet", cookie_id=pa.array([5], pa.uint64()), product_id=["1001"])
    parquet(folder, "e.parquet", cookie_id=[1.23456789e9], product_id=["1e"])


@case("parquet", missing__cookie_id=1, missing__product_id=1, bad_type__cookie_id=2)
def floats_that_are_no_ids(folder: Path) -> None:
    parquet(folder, "a.parquet", cookie_id=[float("nan"), 5.0], product_id=[1.0, float("nan")])
    parquet(folder, "b.parquet", cookie_id=[2.0**53, float("inf")])


@case("parquet", (str(A_UUID), "p1", "", 2, 2), ("0123456789abcdef", "p1", "", 1, 1), bad_type__cookie_id=1)
def uuids_and_fixed_bytes(folder: Path) -> None:
    duckdb.sql(
        f"copy (select TIMESTAMP '2017-12-03 00:10:00' as ts, UUID '{A_UUID}' as cookie_id, 'p1' as product_id, "
        f"'purchase' as event_type) to '{folder / 'a.parquet'}' (format parquet)"
    )
    parquet(folder, "b.parquet", cookie_id=[str(A_UUID)])
    parquet(folder, "c.parquet", cookie_id=pa.array([b"0123456789abcdef", b"\xff" * 16], pa.binary(16)))


@case("parquet", (str(A_UUID), "p1", "", 1, 2))
def duckdb_with_a_uuid(folder: Path) -> None:
    duckdb.sql(
        f"copy (select TIMESTAMP '2017-12-03 00:10:00' as ts, UUID '{A_UUID}' as cookie_id, 'p1' as product_id, "
        f"'purchase'::ENUM('view', 'purchase') as event_type, 2::UTINYINT as quantity, UUID '{A_UUID}' as event_id) "
        f"to '{folder / 'a.parquet'}' (format parquet)"
    )


@case("parquet", ("c1", "p1", "north", 2, 4), ("c2", "p1", "", 1, 1))
def polars_with_categories(folder: Path) -> None:
    frame = pl.DataFrame(
        {
            "ts": [TEN_PAST] * 3, "cookie_id": ["c1", "c1", "c2"], "product_id": ["p1"] * 3, "quantity": [2, 2, 1],
            "event_type": ["purchase"] * 3, "location": ["north", "north", None],
        }
    )  # fmt: skip
    frame = frame.with_columns(
        pl.col("event_type").cast(pl.Enum(["view", "purchase"])), pl.col("location").cast(pl.Categorical)
    )
    frame.write_parquet(folder / "a.parquet")


@case("parquet", ("c1", "7", "n", 1, 2), ("c2", "8", "", 1, 3))
def pandas_with_categories(folder: Path) -> None:
    frame = pd.DataFrame(
        {"ts": [pd.Timestamp(TEN_PAST)] * 2, "cookie_id": ["c1", "c2"], "product_id": [7, 8], "quantity": [2, 3]}
    )
    frame["event_type"] = pd.Categorical(["purchase"] * 2)
    frame["location"] = pd.Categorical(["n", None])
    frame.to_parquet(folder / "a.parquet")


@case("parquet", ("c1", "1001", "", 1, 1), missing__product_id=1)
def pandas_with_a_missing_integer(folder: Path) -> None:
    frame = pd.DataFrame({"product_id": [1001, np.nan], "quantity": [np.nan, 1.0]})  # both become float64
    frame = frame.assign(ts=pd.Timestamp(TEN_PAST), cookie_id="c1", event_type="purchase")
    frame["quantity"] = pd.array([None, 1], "Int64")
    frame.to_parquet(folder / "a.parquet")


KINDS_OF_TEXT = (
    *((pa.string_view(), pa.binary_view()) if WRITES_VIEWS else ()),
    pa.large_string(),
    pa.large_binary(),
)


@case("parquet", ("c1", "p1", "x", len(KINDS_OF_TEXT), len(KINDS_OF_TEXT)))
def views_and_large_texts(folder: Path) -> None:
    for kind in KINDS_OF_TEXT:
        array = {name: pa.array([text]).cast(pa.binary()).cast(kind) if pa.types.is_binary_view(kind) or
                 pa.types.is_large_binary(kind) else pa.array([text]).cast(kind)
                 for name, text in (("cookie_id", "c1"), ("location", "x"), ("event_type", "purchase"))}  # fmt: skip
        parquet(folder, f"{kind}.parquet", **array)


@case("parquet", ONE, unreadable_file=1)
def a_column_twice(folder: Path) -> None:
    columns = [[TEN_PAST], ["c1"], ["c2"], ["p1"], ["view"]]
    names = ["ts", "cookie_id", "cookie_id", "product_id", "event_type"]
    pq.write_table(pa.table([pa.array(values) for values in columns], names=names), folder / "a.parquet")
    parquet(folder, "b.parquet", x=[1])


@case("parquet", ONE, bad_type__quantity=1)
def a_column_twice_that_nobody_needs(folder: Path) -> None:
    arrays = [pa.array([TEN_PAST] * 2), ["c1"] * 2, ["p1"] * 2, ["purchase"] * 2, ["1", "two"], [1, 2], [3, 4]]
    names = ["ts", "cookie_id", "product_id", "event_type", "quantity", "x", "x"]
    pq.write_table(pa.table(arrays, names=names), folder / "a.parquet")


@case("parquet", ("c1", "p1", "", 2, 4_000_000_000))
def units_beyond_32_bits(folder: Path) -> None:
    parquet(folder, quantity=[2_000_000_000] * 2)


@case("parquet", bad_type__quantity=3, bad_type__price=1)
def values_beyond_belief(folder: Path) -> None:
    parquet(folder, "a.parquet", quantity=[float("inf"), float("-inf"), 1e300], price=[1.0] * 3)
    parquet(folder, "b.parquet", price=[float("inf")])


@case("parquet", ("c1", "2026-11-20", "", 2, 2), ("c1", "2026-11-20 07:15:00.5", "", 2, 2))
def times_as_ids(folder: Path) -> None:
    parquet(folder, "a.parquet", product_id=[date(2026, 11, 20)])
    parquet(folder, "b.parquet", product_id=["2026-11-20"])
    half = datetime(2026, 11, 20, 7, 15, 0, 500_000)
    parquet(folder, "c.parquet", product_id=pa.array([half], pa.timestamp("ms")))
    parquet(folder, "d.parquet", product_id=pa.array([half], pa.timestamp("ns")))


@case("parquet", ONE, too_late=1, future_timestamp=1)
def int96_sentinels(folder: Path) -> None:
    times = pa.array([datetime(1, 1, 1), datetime(9999, 12, 31), TEN_PAST.replace(tzinfo=None)], pa.timestamp("us"))
    usual = {"cookie_id": ["c1"] * 3, "product_id": ["p1"] * 3, "event_type": ["purchase"] * 3}
    pq.write_table(pa.table({"ts": times, **usual}), folder / "a.parquet", use_deprecated_int96_timestamps=True)


@case("parquet", ("c1", "p1", "", 5, 5))
def times_of_every_type(folder: Path) -> None:
    naive = TEN_PAST.replace(tzinfo=None)
    for number, unit in enumerate(("s", "ms", "us", "ns")):
        parquet(folder, f"{number}.parquet", ts=pa.array([naive], pa.timestamp(unit)))
    parquet(folder, "4.parquet", ts=pa.array([Decimal(int(TEN_PAST.timestamp() * 1000))], pa.decimal128(20, 0)))


@case("parquet", ONE, missing__ts=1)
def float16_and_lists_beside(folder: Path) -> None:
    ts = pa.array([TEN_PAST, None], pa.timestamp("us"))
    half = pa.array([np.float16(1.5)] * 2, pa.float16())
    parquet(folder, ts=ts, half=half, tags=[["a"], None], at=pa.array([1, 2], pa.time64("ns")))


@case("json", ("16049350498237502001", "p1", "", 1, 1), ("16049350498237502002", "p1", "", 2, 2))
def numbers_of_64_bits(folder: Path) -> None:
    lines(folder, {"cookie_id": 16049350498237502001}, {"cookie_id": 16049350498237502002})
    lines(folder, {"cookie_id": "16049350498237502002"}, name="b.json")


@case("json", ("c1", "2026-11-20", "", 3, 3), ("c1", "gift-card", "", 1, 1), malformed_row=1)
def texts_that_look_like_dates(folder: Path) -> None:
    lines(folder, {"product_id": "2026-11-20"})
    lines(folder, {"product_id": "2026-11-20"}, {"product_id": "gift-card"}, name="b.json")
    lines(folder, {"product_id": "2026-11-20"}, '{"ts":"2017-12-03T00:1', name="c.json")


@case("json", ("c1", "p1", "2026-11-20", 1, 1), ("c9", "p1", "north", 1, 1), duplicates=1)
def event_ids_that_look_like_times(folder: Path) -> None:
    row = {"event_id": "2026-11-20T07:15:00Z", "location": "2026-11-20"}
    lines(folder, row)
    lines(folder, row, {"cookie_id": "c9", "location": "north", "event_id": "other"}, name="b.json")


@case("json", ("5", "1001", "", 3, 3), ("5", "12345678", "", 1, 1), malformed_row=1)
def numbers_with_a_fraction(folder: Path) -> None:
    row = '{"ts":"2017-12-03T00:10:00Z","cookie_id":5,"product_id":%s,"event_type":"purchase"}'
    lines(folder, row % "1001.0", row % "1.2345678E7")
    lines(folder, row % "1001.0", '{"ts":"2017-1', name="b.json")
    lines(folder, row % "1001", name="c.json")


@case("json", bad_type__cookie_id=2, bad_type__location=1, malformed_row=1)
def objects_where_values_belong(folder: Path) -> None:
    lines(folder, {"cookie_id": {"$oid": "65a0b1"}})
    lines(folder, {"cookie_id": {"$oid": "65a0b1"}}, {"location": {"city": "x"}}, "{", name="b.json")


@case("json", ("c1", "p1", "", 3, 3), malformed_row=1)
def objects_in_one_line(folder: Path) -> None:
    """As Kinesis Firehose joins records that bring no newline."""
    lines(folder, {}, {}, {}, '{"ts": "2017-1', join="", name="stream-1-2017-12-03-00-00-00")


@case("json", ("c1", "p1", "", 6, 6))
def compressed_by_other_names(folder: Path) -> None:
    lines(folder, {}, {}, name="plain")
    data = (folder / "plain").read_bytes()
    (folder / "plain").unlink()
    (folder / "A.JSON.GZ").write_bytes(gzip.compress(data))
    (folder / "a.json.gz.1").write_bytes(gzip.compress(data[: len(data) // 2]) + gzip.compress(data[len(data) // 2 :]))
    (folder / "stream-2017-12-03").write_bytes(bz2.compress(data))


@case("json", ONE)
def unfinished_and_empty_files(folder: Path) -> None:
    lines(folder, {})
    for name in ("a.json.tmp", "b.json._COPYING_", "c.inprogress", "d.inprogress.9f", "_temporary/0/e.json", ".f.crc"):
        (folder / name).parent.mkdir(parents=True, exist_ok=True)
        (folder / name).write_bytes((folder / "a.json").read_bytes())
    for name in ("empty.json", "empty.json.gz"):
        (folder / name).write_bytes(b"")


@case("json", ONE, placeholder__cookie_id=3, placeholder__product_id=2)
def placeholder_ids(folder: Path) -> None:
    wrong = [{"cookie_id": text} for text in ("undefined", "NULL", str(uuid.UUID(int=0)))]
    lines(folder, {}, *wrong, {"product_id": "None"}, {"product_id": "[object Object]"})


TIMES = {
    "2017-12-03T00:10:00Z": True, "2017-12-03T00:10:00.1Z": True, "2017-12-03T00:10:00.12345Z": True,
    "2017-12-03T00:10:00.123456789Z": True, "2017-12-03T00:10:00+0000": True, "2017-12-03T01:10:00+01": True,
    "2017-12-03 00:10:00.123": True, "2017-12-03 00:10:00,123": True, "2017-12-03 00:10": True,
    "20171203T001000Z": True,
    "2017-12-03T00:10:00-00:00": True, "1512259800": True, "1512259800.5": True, "1512259800000": True,
    "2017-12-03 00:10:00 UTC": False, "2017-12-03T00:10:00.000Z[UTC]": False, "Sun, 03 Dec 2017 00:10:00 GMT": False,
    "03/Dec/2017:00:10:00 +0000": False, "1.5122598E9": False, "2017/12/03 00:10:00": False,
}  # fmt: skip


@case("json", ("c1", "p1", "", 2 * sum(TIMES.values()), 2 * sum(TIMES.values())), bad_type__ts=12)
def times_as_texts(folder: Path) -> None:
    lines(folder, *({"ts": text} for text in TIMES))
    for number, text in enumerate(TIMES):
        lines(folder, {"ts": text}, name=f"{number}.json")


@case("json", ("c1", "p1", "", 3, 3), bad_type__price=1, bad_type__quantity=1)
def not_a_number(folder: Path) -> None:
    row = '{"ts":"2017-12-03T00:10:00Z","cookie_id":"c1","product_id":"p1","event_type":"purchase",%s}'
    lines(
        folder, *(row % more for more in ('"x":NaN', '"x":-Infinity', '"price":NaN', '"quantity":1e400', '"price":1e2'))
    )


@pytest.fixture(scope="module")
def counted(spark: SparkSession, tmp_path_factory: pytest.TempPathFactory) -> dict[str, Settings]:
    """Settings by format, after a run in which each case had an hour of its own."""
    settings = {}
    for kind, cases in MADE.items():
        folder = tmp_path_factory.mktemp(kind)
        for number, (write, _) in enumerate(cases.values()):
            write(hour_folder(folder, START + number))
        settings[kind] = settings_in(folder, format=kind)
        aggregate(spark, settings[kind], START, START + len(cases))
    return settings


@pytest.mark.parametrize(("kind", "name"), [(kind, name) for kind, cases in MADE.items() for name in cases])
def test_a_file_is_read_as_it_is_meant_or_its_rows_have_a_reason(
    counted: dict[str, Settings], kind: str, name: str
) -> None:
    hour, expected = START + list(MADE[kind]).index(name), MADE[kind][name][1]
    rows = counts_of(counted[kind], hour)
    groups = [tuple(row[c] for c in ("cookie_key", "product_id", "location", "purchases", "quantity")) for row in rows]
    keys = xxh64(pa.array([cookie for cookie, *_ in expected.groups], pa.string())).tolist()
    assert sorted(groups) == sorted((key, *group[1:]) for key, group in zip(keys, expected.groups, strict=True))
    assert reasons(counted[kind], hour) == expected.reasons
    counts = manifest_of(counted[kind], hour).counts
    assert counts["duplicates"] == expected.duplicates
    assert counts["rows_in"] == sum(counts[name] for name in ("events", "quarantined", "duplicates", "bot_events"))
