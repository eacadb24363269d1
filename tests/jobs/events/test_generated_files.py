"""Files of any types, names, orders and damages: every row is accounted for, and judged by nothing but itself."""

from __future__ import annotations

import json
import tempfile
from collections import Counter
from collections.abc import Callable
from datetime import date, datetime, timedelta
from decimal import Decimal
from pathlib import Path
from typing import Any, NamedTuple

import duckdb
import numpy as np
import polars as pl
import pyarrow as pa
import pyarrow.parquet as pq
import pytest
from event_folders import START, hour_folder, moment
from hypothesis import assume, given, settings
from hypothesis import strategies as st

from larder.jobs.events.hour_tasks import AggregationRules, BrokenFile, HourPlan, TaskOutput, count_files, read_pieces
from larder.models.hours import hour_partition
from larder.storage import StoragePath
from larder.storage.event_folders import find_hours
from larder.storage.event_reading import pieces_of

FEW, MANY = 25, 2_000
RULES = AggregationRules({}, 168, 4, ("undefined",))
TEN_PAST = moment(START)
TEXT = st.sampled_from(["a", "b", "", " ", "1001", "1001.0", "2017-12-03", "undefined", "ü", "a\tb", "x" * 20])
INTEGERS = st.sampled_from([0, 1, 2, -3, 1001, 2**31, 2**53, 2**63 - 1, -(2**63)])
FLOATS = st.sampled_from([0.0, -0.0, 1.0, 2.5, 1001.0, 1e15, 2.0**53, 1e300, 1e-7, float("nan"), float("inf")])
SECONDS = int(TEN_PAST.timestamp())
# Types that JSON has too, and values of theirs.
SHARED: dict[str, tuple[pa.DataType, st.SearchStrategy[Any]]] = {
    "text": (pa.string(), TEXT),
    "integer": (pa.int64(), INTEGERS),
    "unsigned": (pa.uint64(), st.sampled_from([1, 1001, 2**64 - 1])),
    "float": (pa.float64(), FLOATS),
    "boolean": (pa.bool_(), st.booleans()),
    "list": (pa.list_(pa.string()), st.lists(TEXT, max_size=1)),
}
OTHERS: dict[str, tuple[pa.DataType, st.SearchStrategy[Any]]] = {
    "large text": (pa.large_string(), TEXT),
    "view": (pa.string_view(), TEXT),
    "bytes": (pa.binary(), st.binary(max_size=3)),
    "fixed": (pa.binary(2), st.binary(min_size=2, max_size=2)),
    **({"uuid": (pa.uuid(), st.uuids().map(lambda value: value.bytes))} if hasattr(pa, "uuid") else {}),
    "dictionary": (pa.dictionary(pa.uint8(), pa.string()), TEXT),
    "narrow": (pa.float32(), st.sampled_from([1.0, 0.5, 2.0**24])),
    "half": (pa.float16(), st.sampled_from([np.float16(1), np.float16(0.5)])),
    "decimal": (pa.decimal128(20, 2), st.sampled_from([Decimal("1001.00"), Decimal("0.50")])),
    "date": (pa.date32(), st.just(date(2017, 12, 3))),
    "time": (pa.time64("us"), st.just(1)),
    "moment": (pa.timestamp("ns"), st.sampled_from([TEN_PAST.replace(tzinfo=None), datetime(1970, 1, 1)])),
    "duration": (pa.duration("s"), st.just(timedelta(1))),
    "struct": (pa.struct([("a", pa.int64())]), st.just({"a": 1})),
    "null": (pa.null(), st.none()),
}
TIMES: dict[str, tuple[pa.DataType, st.SearchStrategy[Any]]] = {
    "text": (
        pa.string(),
        st.sampled_from([TEN_PAST.isoformat(), "2017-12-03 00:10", str(SECONDS), "noon", "1970-01-01"]),
    ),
    "integer": (pa.int64(), st.sampled_from([SECONDS, SECONDS * 10**9, 0, 2**62])),
    "float": (pa.float64(), st.sampled_from([float(SECONDS), SECONDS * 1e3, float("nan"), 1e300])),
}
KINDS = st.sampled_from(["view", "purchase", "impression", "add_to_cart", "VIEW", ""])
OPTIONAL = ("event_id", "location", "device", "quantity", "price", "beside")


class Outcome(NamedTuple):
    """What became of an hour: its groups, the rows set aside by reason, and its counts."""

    groups: list[tuple[Any, ...]]
    reasons: Counter[str]
    counts: Counter[str]
    broken: list[str]


def counted(folder: Path, event_format: str) -> Outcome:
    """Counts the hour START as a job does, without Spark."""
    events = StoragePath(str(folder / "events"))
    [hour] = find_hours(events, [START], hour_partition, event_format)
    runs = [StoragePath(str(folder / "tables" / name)) for name in ("counts", "quarantine", "bots")]
    plans = {START: HourPlan(*runs, 0, 2)}
    parcels = list(read_pieces.__wrapped__(pieces_of(hour), plans, RULES))  # type: ignore[attr-defined]
    reports = list(count_files.__wrapped__(parcels, plans, RULES))  # type: ignore[attr-defined]
    totals: Counter[str] = Counter()
    rows: dict[str, list[dict[str, Any]]] = {"hourly_counts": [], "quarantine": [], "bots": []}
    for report in reports:
        if isinstance(report, TaskOutput):
            totals.update(report.counts)
            if report.file:
                place = runs[list(rows).index(report.table)] / report.file.name
                rows[report.table] += pq.read_table(place.path).to_pylist()
    names = ("cookie_key", "product_id", "location", "device", "views", "purchases", "quantity", "last_ts")
    groups = sorted(tuple(row[name] for name in names) for row in rows["hourly_counts"])
    broken = [report.error for report in reports if isinstance(report, BrokenFile)] + [
        file.error for file in hour.broken
    ]
    return Outcome(groups, Counter(row["reason"] for row in rows["quarantine"]), totals, broken)


@st.composite
def tables(draw: st.DrawFn, types: dict[str, Any], most: int = 6) -> pa.Table:
    """Some rows: columns in any order, each of any of these types, with nulls."""
    size = draw(st.integers(1, most))

    def column(pairs: dict[str, Any]) -> pa.Array:
        type_, values = draw(st.sampled_from(sorted(pairs)).map(pairs.__getitem__))
        found = draw(st.lists(st.none() | values if draw(st.booleans()) else values, min_size=size, max_size=size))
        if pa.types.is_nested(type_) or not isinstance(type_, pa.BaseExtensionType):
            return pa.array(found, type_)
        return pa.ExtensionArray.from_storage(type_, pa.array(found, type_.storage_type))

    plain = {"text": types["text"]}
    columns = {
        "cookie_id": column(draw(st.sampled_from([plain, types]))),
        "product_id": column(draw(st.sampled_from([plain, types]))),
        "event_type": column({"text": (pa.string(), KINDS)}),
        "ts": column(TIMES if draw(st.booleans()) else {"text": (pa.string(), st.just(TEN_PAST.isoformat()))}),
    }
    for name in draw(st.lists(st.sampled_from(OPTIONAL), unique=True)):
        columns[name] = column(types)
    names = draw(st.permutations(sorted(columns)))
    return pa.table([columns[name] for name in names], names=list(names))


def as_lines(table: pa.Table) -> bytes:
    return "".join(json.dumps(row) + "\n" for row in table.to_pylist()).encode()


def by_pyarrow(table: pa.Table, file: Path) -> None:
    pq.write_table(table, file, row_group_size=2, use_dictionary=len(table) % 2 == 0)


def by_polars(table: pa.Table, file: Path) -> None:
    frame = pl.from_arrow(table)
    assert isinstance(frame, pl.DataFrame)
    frame.write_parquet(file)


def by_pandas(table: pa.Table, file: Path) -> None:
    table.to_pandas().to_parquet(file)


def by_duckdb(table: pa.Table, file: Path) -> None:
    with duckdb.connect() as connection:
        connection.register("rows", table)
        connection.execute(f"copy (select * from rows) to '{file}' (format parquet)")


WRITERS: dict[str, Callable[[pa.Table, Path], None]] = {
    "pyarrow": by_pyarrow, "polars": by_polars, "pandas": by_pandas, "duckdb": by_duckdb,
}  # fmt: skip


def check_every_row_is_accounted_for(table: pa.Table, writer: str, damage: int | None, bits: int) -> None:
    with tempfile.TemporaryDirectory() as name:
        file = hour_folder(Path(name), START) / "a.parquet"
        try:
            WRITERS[writer](table, file)
        except Exception:  # a type that this writer does not know
            assume(False)
        if damage is not None:
            data = bytearray(file.read_bytes())
            data[damage % len(data)] ^= bits
            file.write_bytes(data if bits % 3 else data[: damage % len(data)])
        found = counted(Path(name), "parquet")
    if damage is None:
        assert found.broken == []
        assert found.counts["rows_in"] == len(table)
    if not found.broken:
        parts = ("events", "quarantined", "duplicates", "bot_events")
        assert found.counts["rows_in"] == sum(found.counts[part] for part in parts)
        assert found.counts["quarantined"] == found.reasons.total()


def check_parquet_and_json_say_the_same(table: pa.Table) -> None:
    with tempfile.TemporaryDirectory() as name:
        for kind in ("parquet", "json"):
            hour_folder(Path(name) / kind, START)
        by_pyarrow(table, hour_folder(Path(name) / "parquet", START) / "a.parquet")
        (hour_folder(Path(name) / "json", START) / "a.json").write_bytes(as_lines(table))
        assert counted(Path(name) / "parquet", "parquet") == counted(Path(name) / "json", "json")


ANY_TABLE = tables(SHARED | OTHERS)
DAMAGES = st.none() | st.integers(0, 1 << 16)


@settings(max_examples=FEW)
@given(ANY_TABLE, st.sampled_from(sorted(WRITERS)), DAMAGES, st.integers(1, 255))
def test_every_row_is_accounted_for(table: pa.Table, writer: str, damage: int | None, bits: int) -> None:
    check_every_row_is_accounted_for(table, writer, damage, bits)


@settings(max_examples=FEW)
@given(tables(SHARED))
def test_parquet_and_json_say_the_same(table: pa.Table) -> None:
    check_parquet_and_json_say_the_same(table)


@settings(max_examples=FEW)
@given(st.lists(tables(SHARED, 2), min_size=2, max_size=3))
def test_each_row_alone_is_judged_as_among_others(some: list[pa.Table]) -> None:
    rows = [row for table in some for row in table.to_pylist()]
    with tempfile.TemporaryDirectory() as name:
        lines = [json.dumps(row) for row in rows]
        (hour_folder(Path(name) / "together", START) / "a.json").write_text("\n".join(lines))
        for number, line in enumerate(lines):
            (hour_folder(Path(name) / "alone", START) / f"{number}.json").write_text(line)
        assert counted(Path(name) / "alone", "json") == counted(Path(name) / "together", "json")


@pytest.mark.slow
@settings(max_examples=MANY)
@given(ANY_TABLE, st.sampled_from(sorted(WRITERS)), DAMAGES, st.integers(1, 255))
def test_every_row_of_many_files_is_accounted_for(table: pa.Table, writer: str, damage: int | None, bits: int) -> None:
    check_every_row_is_accounted_for(table, writer, damage, bits)


@pytest.mark.slow
@settings(max_examples=MANY)
@given(tables(SHARED))
def test_parquet_and_json_say_the_same_of_many_files(table: pa.Table) -> None:
    check_parquet_and_json_say_the_same(table)
