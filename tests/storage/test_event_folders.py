"""Finding the files of an hour: what they are like, and which are broken."""

from __future__ import annotations

import os
from pathlib import Path

import pyarrow as pa
import pyarrow.parquet as pq
import pytest

from larder.storage import StoragePath
from larder.storage.event_folders import EventHour, find_hours

ROWS = pa.table({"cookie_id": ["c1", "c2", "c3"], "price": [1.0, None, 2.0]})


def look(folder: Path, *hours: int, event_format: str = "parquet") -> list[EventHour]:
    return find_hours(StoragePath(str(folder)), hours or (0,), lambda hour: f"hr={hour:02d}", event_format)


@pytest.fixture
def hour(tmp_path: Path) -> Path:
    folder = tmp_path / "hr=00"
    folder.mkdir()
    return folder


def test_footers_say_rows(tmp_path: Path, hour: Path) -> None:
    pq.write_table(ROWS, hour / "b.parquet", row_group_size=2)
    pq.write_table(ROWS.slice(1), hour / "a.parquet")
    [found] = look(tmp_path)
    assert [(Path(file.uri).name, file.row_groups, file.error) for file in found.files] == [
        ("a.parquet", (2,), ""),
        ("b.parquet", (2, 1), ""),
    ]
    assert found.likely_rows == 2 + 3


def test_rows_of_lines_are_reckoned_from_bytes(tmp_path: Path, hour: Path) -> None:
    for name in ("a.json", "b.json.gz", "c.json.zst"):
        (hour / name).write_bytes(b"x" * 300)
    (hour / "d.json").write_bytes(b"")
    [found] = look(tmp_path, event_format="json")
    assert [file.likely_rows for file in found.files] == [2, 16, 16, 0]


def test_a_file_found_broken_later_is_broken(tmp_path: Path, hour: Path) -> None:
    for name in "ab":
        pq.write_table(ROWS, hour / f"{name}.parquet")
    [found] = look(tmp_path)
    marked = found.with_errors({found.files[1].uri: ("torn", True), "elsewhere": ("?", False)})
    assert [file.error for file in marked.files] == ["", "torn"]
    assert marked.identity == found.identity


@pytest.mark.parametrize("content", [b"", b"PAR1", b"not parquet at all", b"PAR1" + b"\0" * 100 + b"PAR1"])
def test_a_broken_footer_breaks_its_file_only(tmp_path: Path, hour: Path, content: bytes) -> None:
    pq.write_table(ROWS, hour / "a.parquet")
    (hour / "b.parquet").write_bytes(content)
    [found] = look(tmp_path)
    assert [Path(file.uri).name for file in found.readable] == ["a.parquet"]
    assert [Path(file.uri).name for file in found.broken] == ["b.parquet"]
    assert found.broken[0].error
    assert "\n" not in found.broken[0].error
    assert found.likely_rows == ROWS.num_rows


def test_a_footer_in_which_a_name_is_no_text_breaks_its_file_only(tmp_path: Path, hour: Path) -> None:
    pq.write_table(ROWS, hour / "a.parquet")
    pq.write_table(ROWS, hour / "b.parquet", store_schema=False)
    content = (hour / "b.parquet").read_bytes()
    (hour / "b.parquet").write_bytes(content.replace(b"price", b"\xecrice"))
    [found] = look(tmp_path)
    assert [Path(file.uri).name for file in found.readable] == ["a.parquet"]
    assert "can't decode byte 0xec" in str(found.broken[0].error)


def test_a_truncated_file_is_broken(tmp_path: Path, hour: Path) -> None:
    pq.write_table(ROWS, hour / "a.parquet")
    data = (hour / "a.parquet").read_bytes()
    (hour / "a.parquet").write_bytes(data[:-20])
    assert len(look(tmp_path)[0].broken) == 1


def test_a_folder_empty_absent_or_hidden_within_has_no_files(tmp_path: Path, hour: Path) -> None:
    (hour / "_SUCCESS").write_bytes(b"")
    (hour / ".a.parquet.crc").write_bytes(b"x")
    (hour / "_temporary").mkdir()
    pq.write_table(ROWS, hour / "_temporary" / "a.parquet")
    (tmp_path / "hr=01").mkdir()
    found = look(tmp_path, 0, 1, 2)
    assert [(hour.hour, hour.files, hour.likely_rows) for hour in found] == [(0, (), 0), (1, (), 0), (2, (), 0)]


def test_the_identity_of_an_hour_follows_its_files(tmp_path: Path, hour: Path) -> None:
    pq.write_table(ROWS, hour / "a.parquet")
    before = look(tmp_path)[0].identity
    assert look(tmp_path)[0].identity == before
    (hour / "_SUCCESS").write_bytes(b"")
    assert look(tmp_path)[0].identity == before
    os.utime(hour / "a.parquet", ns=(0, 1))
    touched = look(tmp_path)[0].identity
    pq.write_table(ROWS, hour / "b.parquet")
    added = look(tmp_path)[0].identity
    (hour / "b.parquet").rename(hour / "c.parquet")
    renamed = look(tmp_path)[0].identity
    assert len({before, touched, added, renamed}) == 4


def test_the_identity_of_an_hour_is_the_same_wherever_events_lie(tmp_path: Path, hour: Path) -> None:
    pq.write_table(ROWS, hour / "a.parquet")
    before = look(tmp_path)[0].identity
    tmp_path = tmp_path.rename(tmp_path.with_name("moved"))
    assert look(tmp_path)[0].identity == before
