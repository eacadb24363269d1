"""Every kind of bad input that docs/events.md names: set aside with its reason; nothing lost, nothing blocked."""

from __future__ import annotations

import gzip
import json
from collections import Counter
from pathlib import Path
from typing import Any

import pyarrow as pa
import pyarrow.parquet as pq
import pytest
from event_folders import (
    AN_EVENT,
    START,
    aggregate,
    counts_of,
    hour_folder,
    manifest_of,
    moment,
    rejected,
    settings_in,
    write_parquet,
)
from pyspark.sql import SparkSession
from repository import ROOT

from larder.models.events.validation import REASONS
from larder.settings import Settings
from larder.storage.event_folders import UNREADABLE

pytestmark = pytest.mark.end_to_end

DOCUMENT = ROOT / "docs" / "events.md"
NOT_UTF8 = pa.array([b"\xc3\x28"], pa.binary()).view(pa.string())[0]
STRUCT = pa.struct([("a", pa.int64())])
# A file each: one sound row, and one with this value of this type.
VALUES: dict[str, tuple[str, Any, pa.DataType, str]] = {
    "no_cookie": ("cookie_id", None, pa.string(), "missing:cookie_id"),
    "blank_cookie": ("cookie_id", " \t", pa.string(), "missing:cookie_id"),
    "struct_cookie": ("cookie_id", {"a": 1}, STRUCT, "bad_type:cookie_id"),
    "no_product": ("product_id", None, pa.string(), "missing:product_id"),
    "empty_product": ("product_id", "", pa.string(), "missing:product_id"),
    "no_type": ("event_type", None, pa.string(), "missing:event_type"),
    "unknown_type": ("event_type", "wishlist", pa.string(), "unknown_event_type"),
    "type_in_capitals": ("event_type", "VIEW", pa.string(), "unknown_event_type"),
    "no_time": ("ts", None, pa.timestamp("us"), "missing:ts"),
    "time_in_words": ("ts", "noon", pa.string(), "bad_type:ts"),
    "impossible_date": ("ts", "2017-02-30T00:00:00", pa.string(), "bad_type:ts"),
    "infinite_time": ("ts", float("inf"), pa.float64(), "bad_type:ts"),
    "boolean_time": ("ts", True, pa.bool_(), "bad_type:ts"),
    "from_the_future": ("ts", moment(START + 1, 0), pa.timestamp("us", "UTC"), "future_timestamp"),
    "far_future": ("ts", moment(START + 10**6, 0), pa.timestamp("us", "UTC"), "future_timestamp"),
    "too_late": ("ts", moment(START - 169), pa.timestamp("us", "UTC"), "too_late"),
    "epoch_zero": ("ts", 0, pa.int64(), "too_late"),
    "no_units": ("quantity", 0, pa.int32(), "quantity_not_positive"),
    "negative_units": ("quantity", -3, pa.int32(), "quantity_not_positive"),
    "half_a_unit": ("quantity", 0.5, pa.float64(), "bad_type:quantity"),
    "too_many_units": ("quantity", 2**40, pa.int64(), "bad_type:quantity"),
    "units_in_words": ("quantity", "two", pa.string(), "bad_type:quantity"),
    "negative_price": ("price", -0.01, pa.float64(), "negative_price"),
    "price_not_a_number": ("price", float("nan"), pa.float64(), "bad_type:price"),
    "price_with_comma": ("price", "1,50", pa.string(), "bad_type:price"),
    "list_of_locations": ("location", ["a"], pa.list_(pa.string()), "bad_type:location"),
    "map_of_devices": ("device", [("a", "b")], pa.map_(pa.string(), pa.string()), "bad_type:device"),
    "struct_event_id": ("event_id", {"a": 1}, STRUCT, "bad_type:event_id"),
    "bytes_that_are_no_text": ("product_id", b"\xc3\x28", pa.binary(), "bad_type:product_id"),
}
FILES = {
    "empty_file": b"",
    "text_file": b"cookie_id,product_id\n1,2\n",
    "footer_cut_off": None,
    "torn_data": None,
}
LINES: dict[str, bytes] = {
    "half_a_line": b'{"cookie_id": "c1", "prod',
    "an_array": b'[{"cookie_id": "c1"}]',
    "a_null": b"null",
    "a_number": b"42",
    "a_text": b'"cookie"',
    "a_nul_byte": b"\x00",
    "something_after_an_object": b"{}x",
    "utf_16": '{"cookie_id": "c1"}'.encode("utf-16-le").replace(b"\n", b""),
    "bytes_in_a_text": b'{"cookie_id": "\xff"}',
    "no_json_at_all": b"GET /index.html 200",
    "an_empty_object": b"{}",
}
REASON_OF_LINE = dict.fromkeys(LINES, "malformed_row") | {"an_empty_object": "missing:cookie_id"}


@pytest.fixture(scope="module")
def parquet(spark: SparkSession, tmp_path_factory: pytest.TempPathFactory) -> Settings:
    folder = tmp_path_factory.mktemp("bad_parquet")
    for kind, (column, value, type_, _) in VALUES.items():
        sound = None if column in ("location", "device", "event_id", "quantity", "price") else "sound"
        if sound is None:
            write_parquet(folder, START, [{}, {column: value}], f"{kind}.parquet", **{column: type_})
        else:  # a column of this type can hold no sound value
            write_parquet(folder, START, [{column: value}], f"{kind}.parquet", **{column: type_})
    for kind, content in FILES.items():
        path = hour_folder(folder, START) / f"{kind}.parquet"
        if content is None:
            pq.write_table(pa.table({"cookie_id": [f"c{n}" for n in range(5000)]}), path)
            data = path.read_bytes()
            content = data[:-9] if kind == "footer_cut_off" else data[:4] + b"\xff" * 2000 + data[2004:]
        path.write_bytes(content)
    write_parquet(folder, START, [{"cookie_id": "robot"}] * 40, "robot.parquet")
    write_parquet(folder, START, [{"event_id": "twice"}] * 2, "twice.parquet")
    settings = settings_in(folder, max_events_an_hour=39)
    aggregate(spark, settings, START, START + 2)
    return settings


def test_every_bad_value_and_file_of_parquet_has_its_reason(parquet: Settings) -> None:
    found = {Path(row["source"]).stem: row["reason"] for row in rejected(parquet, START)}
    assert found == {kind: reason for kind, (*_, reason) in VALUES.items()} | dict.fromkeys(FILES, UNREADABLE)
    assert len(found) >= 30


def test_nothing_is_lost_and_what_is_sound_counts(parquet: Settings) -> None:
    counts = manifest_of(parquet, START).counts
    sound = sum(column in ("location", "device", "event_id", "quantity", "price") for column, *_ in VALUES.values())
    assert counts["files_quarantined"] == len(FILES)
    assert (counts["quarantined"], counts["bot_events"], counts["duplicates"]) == (len(VALUES), 40, 1)
    assert counts["events"] == sound + 1
    assert counts["rows_in"] == counts["events"] + counts["quarantined"] + counts["bot_events"] + counts["duplicates"]
    assert sum(row["views"] for row in counts_of(parquet, START)) == counts["events"]


def test_an_hour_without_a_folder_is_empty(parquet: Settings) -> None:
    assert manifest_of(parquet, START + 1).counts["rows_in"] == 0


def test_every_bad_line_has_its_reason_and_is_kept(spark: SparkSession, tmp_path: Path) -> None:
    folder = hour_folder(tmp_path, START)
    sound = json.dumps({**AN_EVENT, "ts": moment(START).isoformat()}).encode()
    for kind, line in LINES.items():
        (folder / f"{kind}.json").write_bytes(sound + b"\n" + line + b"\n\n" + sound)
    whole = gzip.compress((sound + b"\n") * 300)
    (folder / "cut_off.json.gz").write_bytes(whole[:-10])
    (folder / "no_gzip.json.gz").write_bytes(b"plain")
    (folder / "no_zstd.json.zst").write_bytes(b"plain")
    settings = settings_in(tmp_path, format="json")
    aggregate(spark, settings, START, START + 1)
    found = {Path(row["source"]).name.split(".")[0]: (row["reason"], row["raw"]) for row in rejected(settings, START)}
    broken = {"cut_off", "no_gzip", "no_zstd"}
    assert {kind for kind, (reason, _) in found.items() if reason == UNREADABLE} == broken
    assert {kind: found[kind] for kind in LINES} == {
        kind: (REASON_OF_LINE[kind], line.decode(errors="backslashreplace")) for kind, line in LINES.items()
    }
    counts = manifest_of(settings, START).counts
    assert (counts["events"], counts["quarantined"], counts["files_quarantined"]) == (2 * len(LINES), len(LINES), 3)


def test_the_document_names_every_reason() -> None:
    named = Counter(DOCUMENT.read_text().split("`"))
    kinds = {reason.split(":")[0] for reason in REASONS if reason} | {UNREADABLE}
    assert {kind for kind in kinds if not any(kind in word for word in named)} == set()
