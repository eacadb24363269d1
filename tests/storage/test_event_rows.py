"""Raw events read piece by piece: nothing is lost between pieces, and any row can be had as it came."""

from __future__ import annotations

import gzip
import json
from pathlib import Path

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
import pytest

from larder.storage import StoragePath, event_rows
from larder.storage.event_folders import EventHour, find_hours
from larder.storage.event_rows import Piece, UnreadableError, pieces_of, read_piece
from larder.storage.json_lines import CORRUPT

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
    return pa.concat_tables(
        [pa.table(batch.columns) for batch in read_piece(piece, [], [])], promote_options="default"
    ).combine_chunks()


def test_files_are_cut_at_row_groups(hour: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(event_rows, "ROWS_A_PIECE", 5)
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
    monkeypatch.setattr(event_rows, "ROWS_A_BATCH", 16)
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


def test_lines_of_one_type_a_column_are_typed(hour: Path) -> None:
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
    "line", [b"null", b"[]", b'"text"', b"3", b"\x00", b'{"a": ', b"{}{}", b'[{"a": 1}]', b"\xff\xfe{", b'{"a": \xff}']
)
def test_a_line_that_is_no_object_is_a_row_marked_as_such(hour: Path, line: bytes) -> None:
    (hour / "a.json").write_bytes(b"\n".join([LINES[0], line, LINES[1]]))
    [piece] = pieces_of(look(hour, "json"))
    [batch] = read_piece(piece, [], [])
    assert batch.columns.column(CORRUPT).to_pylist() == [False, True, False]
    assert batch.columns.column("cookie_id").to_pylist() == ["c0", None, "c1"]
    assert batch.texts_of(np.array([1])) == [line.decode(errors="backslashreplace")]


def test_columns_of_mixed_types_are_texts(hour: Path) -> None:
    lines = [b'{"q": 1, "t": "a"}', b'{"q": "two", "t": {"x": [1]}}', b'{"q": null}', b'{"q": 1.5, "q": 2e30}']
    batch = read_lines(hour, b"\n".join(lines))
    assert batch.column("q").to_pylist() == ["1", "two", None, "2e+30"]
    assert batch.column("t").to_pylist() == ["a", '{"x": [1]}', None, None]


def test_blocks_are_cut_between_lines(hour: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("larder.storage.json_lines.BYTES_A_BLOCK", 50)
    rows = [{"cookie_id": f"c{n}" * (n % 40)} for n in range(100)]
    batch = read_lines(hour, b"\n".join(json.dumps(row).encode() for row in rows))
    assert batch.column("cookie_id").to_pylist() == [row["cookie_id"] for row in rows]


def test_a_line_without_end_breaks_its_file(hour: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("larder.storage.json_lines.LONGEST_LINE", 100)
    monkeypatch.setattr("larder.storage.json_lines.BYTES_A_BLOCK", 90)
    with pytest.raises(UnreadableError, match="more than 100 bytes"):
        read_lines(hour, b'{"cookie_id": "' + b"x" * 200, "long.json")


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
