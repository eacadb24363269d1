"""Raw events read piece by piece: nothing is lost between pieces, and any row can be had as it came."""

from __future__ import annotations

import bz2
import gzip
import json
from collections.abc import Callable
from decimal import Decimal
from pathlib import Path

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
import pytest
from event_folders import WRITES_VIEWS
from hypothesis import given
from hypothesis import strategies as st

from larder.storage import StoragePath, event_reading, json_lines
from larder.storage.event_folders import EventHour, find_hours
from larder.storage.event_reading import Piece, UnreadableError, pieces_of, read_piece
from larder.storage.json_lines import CORRUPT

COLUMNS = ["cookie_id", "quantity", "q", "t"]
OBJECTS = [{"cookie_id": f"c{n}", "quantity": n} for n in range(5)]
LINES = [json.dumps(row).encode() for row in OBJECTS]


@pytest.fixture
def hour(tmp_path: Path) -> Path:
    folder = tmp_path / "hr"
    folder.mkdir()
    return folder


def look(folder: Path, event_format: str = "parquet") -> EventHour:
    return find_hours(StoragePath(str(folder.parent)), [0], lambda _: folder.name, event_format)[0]


def read_lines(hour: Path, data: bytes, name: str = "a.json") -> pa.Table:
    (hour / name).write_bytes(data)
    [piece] = pieces_of(look(hour, "json"))
    tables = [pa.table(batch.columns).drop_columns(CORRUPT) for batch in read_piece(piece, COLUMNS, [])]
    return pa.concat_tables(tables, promote_options="default").combine_chunks()


def test_files_are_cut_at_row_groups(hour: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(event_reading, "ROWS_A_PIECE", 5)
    table = pa.table({"cookie_id": [f"c{n}" for n in range(10)], "more": range(10)})
    pq.write_table(table, hour / "a.parquet", row_group_size=2)
    pq.write_table(table.slice(0, 3), hour / "b.parquet")
    pq.write_table(table.slice(0, 0), hour / "c.parquet")
    pieces = pieces_of(look(hour))
    assert [(Path(piece.uri).name, piece.row_groups, piece.likely_rows) for piece in pieces] == [
        ("a.parquet", (0, 1), 4),
        ("a.parquet", (2, 3), 4),
        ("a.parquet", (4,), 2),
        ("b.parquet", (0,), 3),
    ]
    assert [piece.number for piece in pieces] == [0, 1, 2, 3]
    read = []
    for piece in pieces:
        for batch in read_piece(piece, ["cookie_id"], []):
            read += batch.columns.column("cookie_id").to_pylist()
    assert read == [*(f"c{n}" for n in range(10)), "c0", "c1", "c2"]


@pytest.mark.parametrize("of_few_values", [[], ["device"]])
def test_rows_are_had_as_they_came(hour: Path, monkeypatch: pytest.MonkeyPatch, of_few_values: list[str]) -> None:
    monkeypatch.setattr(event_reading, "ROWS_A_BATCH", 16)
    monkeypatch.setattr("larder.storage.whole_rows.ROWS_A_BATCH", 16)
    devices = [f"d{n % 3}" for n in range(100)]
    table = pa.table({"device": devices, "number": range(100), "none": pa.nulls(100), "raw": [b"\xff\x41"] * 100})
    pq.write_table(table, hour / "a.parquet", row_group_size=7)
    [piece] = pieces_of(look(hour))
    at = 0
    for batch in read_piece(piece, ["device", "not there"], of_few_values):
        assert batch.columns.schema.names == ["device"]
        assert len(batch.columns) <= 16
        texts = batch.texts_of(np.arange(0, len(batch.columns), 3))
        numbers = range(at, at + len(batch.columns), 3)
        assert texts == [f'{{"device":"d{n % 3}","number":{n},"raw":"\\\\xffA"}}' for n in numbers]
        at += len(batch.columns)
    assert at == 100


@pytest.mark.skipif(not WRITES_VIEWS, reason="PyArrow before version 21 can't write views")
def test_rows_of_types_that_arrow_cannot_take_from_are_had(hour: Path) -> None:
    views = {
        "read": pa.array(["a", "b", None], pa.string_view()),
        "x": pa.array([b"c"] * 3, pa.binary_view()),
    }
    late = pa.array([1, 2**62, 3], pa.timestamp("us"))
    pq.write_table(pa.table({**views, "late": late}), hour / "a.parquet")
    [piece] = pieces_of(look(hour))
    batches = read_piece(piece, ["read"], [])
    shown = next(batches).texts_of(np.array([1, 2]))
    assert json.loads(shown[0]) == {"read": "b", "x": "c", "late": str(2**62)}
    assert json.loads(shown[1]) == {"x": "c", "late": "1970-01-01T00:00:00.000003"}


def test_columns_that_nobody_asked_for_are_left_out_and_others_typed(hour: Path) -> None:
    batch = read_lines(hour, b"\n".join(LINES) + b"\n")
    assert batch.to_pylist() == OBJECTS


@pytest.mark.parametrize("name", ["a.json", "a.json.gz", "a.json.zst"])
def test_lines_may_be_compressed(hour: Path, name: str) -> None:
    data = b"\n".join(LINES)
    if name.endswith("gz"):
        data = gzip.compress(data)
    elif name.endswith("zst"):
        data = pa.compress(data, codec="zstd", asbytes=True)
    assert read_lines(hour, data, name).to_pylist() == OBJECTS


def test_blank_lines_and_line_ends_of_any_kind_are_no_rows(hour: Path) -> None:
    data = b"\xef\xbb\xbf" + LINES[0] + b"\r\n\n  \t\n" + LINES[1] + b"\r\n\r\n" + LINES[2]
    assert read_lines(hour, data).to_pylist() == OBJECTS[:3]


@pytest.mark.parametrize(
    "line",
    [
        b"null",
        b"[]",
        b'"text"',
        b"3",
        b"\x00",
        b'{"a": ',
        b"{}x",
        b'{"a": 1}, {"a": 2}',
        b'[{"a": 1}]',
        b"\xff\xfe{",
        b'{"a": \xff}',
        b'{"a": "\xff"}',
        b'{"a": "\xc0\x80"}',
        b'{"a": "\xed\xa0\x80"}',
        b'{"a": 01}',
        b'{"a": 1.}',
        b'{"a": +1}',
        b'{"a": .5}',
        b'{"a": 1e}',
        b'{"a": "\\x"}',
        b'{"a": "\t"}',
        b'{"a": 1,}',
        b"{a: 1}",
        b'{"a": [1,]}',
        b'{"a": [1}',
        b'{"a": {"b": 1]}',
        b'{"a" 1}',
        b'{"a": nul}',
        b"{'a': 1}",
        b"{" * 600,
        b'{"a":' + b"[" * 600 + b"]" * 600 + b"}",
    ],
)
def test_a_line_that_is_no_object_is_a_row_marked_as_such(hour: Path, line: bytes) -> None:
    (hour / "a.json").write_bytes(b"\n".join([LINES[0], line, LINES[1]]))
    [piece] = pieces_of(look(hour, "json"))
    [batch] = read_piece(piece, COLUMNS, [])
    assert batch.columns.column(CORRUPT).to_pylist() == [False, True, False]
    assert batch.columns.column("cookie_id").to_pylist() == ["c0", None, "c1"]
    assert batch.texts_of(np.array([1])) == [line.strip().decode(errors="backslashreplace")]


def test_a_value_keeps_its_own_type_whatever_stands_beside_it(hour: Path) -> None:
    lines = [b'{"q": 1, "t": "a"}', b'{"q": "two", "t": {"x": [1]}}', b'{"q": null}', b'{"q": 1.5, "q": 2e30}', b"[]"]
    batch = read_lines(hour, b"\n".join(lines))
    assert batch.column("q").to_pylist() == [1, "two", None, 2e30, None]
    types = [field.type for field in batch.schema.field("q").type]
    assert types == [pa.string(), pa.int64(), pa.float64()]
    assert batch.column("t").to_pylist() == ["a", [], None, None, None]


@pytest.mark.parametrize("many", [1, 3])
@pytest.mark.parametrize(
    ("literal", "type_", "value"),
    [
        (b"9007199254740993", pa.int64(), 9007199254740993),
        (b"9223372036854775807", pa.int64(), 2**63 - 1),
        (b"16049350498237502001", pa.decimal256(76, 0), Decimal("16049350498237502001")),
        (b"-0", pa.int64(), 0),
        (b"1001.0", pa.float64(), 1001.0),
        (b"1.2345678E7", pa.float64(), 12345678.0),
        (b"-Infinity", pa.float64(), float("-inf")),
        (b"1e400", pa.float64(), float("inf")),
        (b"true", pa.bool_(), True),
        (b'"2026-11-20T07:15:00Z"', pa.string(), "2026-11-20T07:15:00Z"),
        (b'"2026-11-20"', pa.string(), "2026-11-20"),
        (b'"K\\u00f6ln \\ud83d\\ude00 \\n\\"\\/"', pa.string(), 'K\u00f6ln \U0001f600 \n"/'),
        (b'"\\ud800"', pa.string(), "?"),
        (b'""', pa.string(), ""),
    ],
)
def test_values_have_the_types_that_parquet_gives_them(
    hour: Path, many: int, literal: bytes, type_: pa.DataType, value: object
) -> None:
    batch = read_lines(hour, b'{"q": %s}\n' % literal * many)
    assert batch.schema.field("q").type == type_
    assert batch.column("q").to_pylist() == [value] * many


def test_objects_joined_in_one_line_are_rows(hour: Path) -> None:
    (hour / "a.json").write_bytes(b"".join(LINES) + b'  {"cookie_id": "c5"} {"cookie_id": "cut')
    [piece] = pieces_of(look(hour, "json"))
    [batch] = read_piece(piece, COLUMNS, [])
    assert batch.columns.column("cookie_id").to_pylist() == [*(row["cookie_id"] for row in OBJECTS), "c5", None]
    assert batch.columns.column(CORRUPT).to_pylist() == [False] * 6 + [True]
    assert batch.texts_of(np.array([5, 6])) == ['{"cookie_id": "c5"}', '{"cookie_id": "cut']


def test_objects_joined_in_a_line_longer_than_a_block_are_rows(hour: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("larder.storage.json_lines.BYTES_A_BLOCK", 70)
    monkeypatch.setattr("larder.storage.json_lines.LONGEST_LINE", 100)
    monkeypatch.setattr("larder.storage.json_lines.ROWS_A_BATCH", 3)
    batch = read_lines(hour, b"".join(LINES * 40))
    assert batch.column("cookie_id").to_pylist() == [row["cookie_id"] for row in OBJECTS] * 40


@pytest.mark.parametrize(
    ("name", "compress"),
    [
        ("EVENTS.JSON.GZ", gzip.compress),
        ("a.json.gzip", gzip.compress),
        ("a.json.gz.1", gzip.compress),
        ("stream-1-2026-11-20", gzip.compress),
        ("a.json.bz2", bz2.compress),
        ("a.json", bz2.compress),
        ("a.json.zst", lambda data: pa.compress(data, codec="zstd", asbytes=True)),
        ("a.zstd", lambda data: b"\x50\x2a\x4d\x18\x04\0\0\0abcd" + pa.compress(data, codec="zstd", asbytes=True)),
    ],
)
def test_streams_of_several_members_are_read_to_the_last(
    hour: Path, name: str, compress: Callable[[bytes], bytes]
) -> None:
    members = [compress(b"\n".join(LINES[:2]) + b"\n"), compress(b"\n".join(LINES[2:]))]
    assert read_lines(hour, b"".join(members), name).to_pylist() == OBJECTS


JSON_VALUES = st.recursive(
    st.none() | st.booleans() | st.integers(-(10**25), 10**25) | st.floats(allow_nan=False) | st.text(max_size=8),
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(st.text(max_size=3), inner, max_size=3),
    max_leaves=5,
)
ANY_LINES = st.one_of(
    st.dictionaries(st.sampled_from(["q", "t", "x", "Q"]), JSON_VALUES, max_size=4).map(json.dumps),
    st.dictionaries(st.sampled_from(["q", "t"]), JSON_VALUES, max_size=2).map(
        lambda row: json.dumps(row, ensure_ascii=False)
    ),
    st.text('{}[]":,qt01.e- \\', max_size=20),
).map(lambda line: line.replace("\n", " ").encode(errors="surrogatepass"))


def rows_of(data: bytes) -> list[tuple[object, ...]]:
    found = []
    for batch, texts in json_lines.read_lines(pa.BufferReader(data), ["q", "t"]):
        columns = [
            batch.column(name).to_pylist() if name in batch.schema.names else [None] * len(batch)
            for name in ("q", "t", CORRUPT)
        ]
        found += zip(*columns, texts(np.arange(len(batch))), strict=True)
    return found


@given(st.lists(ANY_LINES, max_size=6))
def test_each_line_alone_is_read_as_among_others(lines: list[bytes]) -> None:
    together = rows_of(b"\n".join(lines))
    alone = [row for line in lines for row in rows_of(line)]
    assert repr(together) == repr(alone)


@given(ANY_LINES)
def test_a_line_is_an_object_where_python_says_so(line: bytes) -> None:
    try:
        expected = json.loads(line)
    except ValueError:
        expected = None
    found = rows_of(line)
    if isinstance(expected, dict):
        [(q, t, corrupt, _)] = found
        assert not corrupt
        for value, wanted in ((q, expected.get("q")), (t, expected.get("t"))):
            if isinstance(wanted, str):
                assert value == wanted.encode(errors="replace").decode()
            elif isinstance(wanted, (list, dict)):
                assert value == []
            else:
                assert value == wanted
    else:
        # Several objects in a line are several rows; anything else is one malformed row, or a blank line.
        assert len(found) != 1 or found[0][2]


def test_blocks_are_cut_between_lines(hour: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("larder.storage.json_lines.BYTES_A_BLOCK", 50)
    rows = [{"cookie_id": f"c{n}" * (n % 40)} for n in range(100)]
    batch = read_lines(hour, b"\n".join(json.dumps(row).encode() for row in rows))
    assert batch.column("cookie_id").to_pylist() == [row["cookie_id"] for row in rows]


def test_a_line_without_end_breaks_its_file(hour: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("larder.storage.json_lines.LONGEST_LINE", 100)
    monkeypatch.setattr("larder.storage.json_lines.BYTES_A_BLOCK", 90)
    with pytest.raises(UnreadableError, match="more than 100 bytes"):
        read_lines(hour, b'{"cookie_id": "' + b"x" * 300, "long.json")


@pytest.mark.parametrize("cut", [1, 20])
def test_a_truncated_file_breaks(hour: Path, cut: int) -> None:
    data = gzip.compress(b"\n".join(LINES * 200))
    with pytest.raises(UnreadableError):
        read_lines(hour, data[:-cut], "a.json.gz")


def test_data_broken_below_a_sound_footer_breaks(hour: Path) -> None:
    pq.write_table(pa.table({"cookie_id": [f"c{n}" for n in range(5000)]}), hour / "a.parquet")
    data = bytearray((hour / "a.parquet").read_bytes())
    data[4:2000] = b"\xff" * 1996
    (hour / "a.parquet").write_bytes(data)
    [piece] = pieces_of(look(hour))
    assert isinstance(piece, Piece)
    with pytest.raises(UnreadableError):
        list(read_piece(piece, ["cookie_id"], []))


def test_a_column_that_nobody_asked_for_breaks_when_a_row_is_to_be_shown(hour: Path) -> None:
    texts = [f"some text {n}" for n in range(5000)]
    pq.write_table(pa.table({"torn": texts, "cookie_id": texts}), hour / "a.parquet", compression="none")
    data = bytearray((hour / "a.parquet").read_bytes())
    data[4:2000] = b"\xff" * 1996
    (hour / "a.parquet").write_bytes(data)
    [piece] = pieces_of(look(hour))
    batches = read_piece(piece, ["cookie_id"], [])
    batch = next(batches)
    assert len(batch.columns) == 5000
    with pytest.raises(UnreadableError):
        batch.texts_of(np.array([3]))
