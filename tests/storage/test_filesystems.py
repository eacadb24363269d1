"""Places on the local disk; the others go through the same pyarrow calls."""

from __future__ import annotations

import os
import threading
from pathlib import Path
from typing import Any

import pyarrow.fs as fs
import pytest

from larder.storage import StoragePath
from larder.storage.filesystems import StorageUriError


@pytest.fixture(params=["", "file://"], ids=["path", "file URI"])
def folder(request: pytest.FixtureRequest, tmp_path: Path) -> StoragePath:
    return StoragePath(f"{request.param}{tmp_path}")


def test_what_is_written_is_read(folder: StoragePath) -> None:
    place = folder / "a" / "b.json"
    assert not place.exists()
    place.write(b"one")
    place.write(b"two")
    assert place.exists()
    assert place.read() == b"two"


@pytest.mark.parametrize(
    "uri", ["gopher://shop/events", "://shop", "a b://shop", "gs://shop/events", "abfss://a@b.net/c", "hdfs://a b:x"]
)
def test_a_place_of_an_unknown_kind_is_named(uri: str) -> None:
    with pytest.raises(StorageUriError, match=r".*; name a local path, or one of s3a:// or hdfs://"):
        StoragePath(uri).exists()


def test_slashes_are_not_doubled() -> None:
    assert (StoragePath("s3a://shop/events/") / "dt=2017-12-03").uri == "s3a://shop/events/dt=2017-12-03"


@pytest.mark.parametrize(
    ("uri", "is_local"),
    [("/data", True), ("data", True), ("file:///data", True), ("s3a://shop", False), ("hdfs://n/d", False)],
)
def test_which_places_are_local(uri: str, is_local: bool) -> None:
    assert StoragePath(uri).is_local is is_local


def test_a_relative_place_is_below_the_working_folder(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    assert StoragePath("data/tables").path == str(tmp_path / "data" / "tables")


def test_a_reader_never_sees_half_a_file(tmp_path: Path) -> None:
    place = StoragePath(str(tmp_path)) / "manifest.json"
    contents = [bytes([65 + number]) * 300_000 for number in range(2)]
    place.write(contents[0])
    done = threading.Event()

    def write() -> None:
        for number in range(100):
            place.write(contents[number % 2])
        done.set()

    writer = threading.Thread(target=write)
    writer.start()
    seen = set()
    while not done.is_set():
        seen.add(place.read())
    writer.join()
    assert seen <= set(contents)


def test_a_write_that_fails_leaves_what_was_there(tmp_path: Path) -> None:
    place = StoragePath(str(tmp_path)) / "manifest.json"
    place.write(b"old")
    with pytest.raises(TypeError):
        place.write(object())  # type: ignore[arg-type]
    assert place.read() == b"old"
    assert [path.name for path in tmp_path.iterdir()] == ["manifest.json"]


def test_a_file_half_written_by_a_killed_process_is_not_listed(tmp_path: Path) -> None:
    (tmp_path / ".part-00000.parquet.0123456789abcdef").write_bytes(b"half")
    assert StoragePath(str(tmp_path)).files() == []


def test_two_processes_of_one_number_do_not_write_to_one_file(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """As in two containers that share a folder."""
    monkeypatch.setattr("os.getpid", lambda: 1)
    parts: list[str] = []
    monkeypatch.setattr(StoragePath, "open", lambda self: (_Noting(parts), self.uri))
    for _ in range(2):
        StoragePath(str(tmp_path / "a")).write(b"x")
    assert len(set(parts)) == 2


class _Noting:
    """A local file system that notes what is written to."""

    def __init__(self, parts: list[str]) -> None:
        self.parts, self.system = parts, fs.LocalFileSystem()

    def __getattr__(self, name: str) -> Any:
        return getattr(self.system, name)

    def open_output_stream(self, path: str) -> Any:
        self.parts.append(path)
        return self.system.open_output_stream(path)


@pytest.mark.parametrize(
    "name",
    ["a.json.tmp", "A.TMP", "a._COPYING_", "a.inprogress", "part-0.inprogress.9f", "a.partial", "a.swp", "a~"],
)
def test_files_that_their_writer_has_not_finished_are_not_listed(tmp_path: Path, name: str) -> None:
    for each in (name, f"below-{name}/b.json", "a.json", "progress.json", "a.tmp.json"):
        (tmp_path / each).parent.mkdir(parents=True, exist_ok=True)
        (tmp_path / each).write_bytes(b"{}")
    found = [info.base_name for info in StoragePath(str(tmp_path)).files()]
    assert found == ["a.json", "a.tmp.json", "progress.json"]


def test_files_come_by_path_from_all_folders_below(tmp_path: Path, folder: StoragePath) -> None:
    for name in ("b/2.json", "a.json", "b/1.json", "_SUCCESS", ".a.json.crc", "b/_tmp", "c/.hidden"):
        (tmp_path / name).parent.mkdir(exist_ok=True)
        (tmp_path / name).write_bytes(b"x")
    assert [info.path.removeprefix(f"{tmp_path}/") for info in folder.files()] == [
        "a.json",
        "b/1.json",
        "b/2.json",
    ]


def test_files_in_hidden_folders_are_hidden(tmp_path: Path, folder: StoragePath) -> None:
    """A writer at work keeps what is not complete in such: Spark, for one, in _temporary."""
    for name in ("_temporary/0/part.parquet", ".staging/part.parquet", "whole/part.parquet"):
        (tmp_path / name).parent.mkdir(parents=True)
        (tmp_path / name).write_bytes(b"x")
    assert [info.path.removeprefix(f"{tmp_path}/") for info in folder.files()] == ["whole/part.parquet"]


def test_a_hidden_folder_above_hides_nothing(tmp_path: Path) -> None:
    hidden = tmp_path / ".demo" / "events"
    hidden.mkdir(parents=True)
    (hidden / "a.json").write_bytes(b"x")
    assert len(StoragePath(str(hidden)).files()) == 1


def test_a_file_is_its_own_only_file(folder: StoragePath) -> None:
    place = folder / "catalogue.parquet"
    place.write(b"x")
    assert [info.base_name for info in place.files()] == ["catalogue.parquet"]


def test_what_is_not_there_has_no_files_and_no_folders(folder: StoragePath) -> None:
    assert (folder / "absent").files() == []
    assert (folder / "absent").folders() == []


def test_a_file_written_anew_has_another_version(tmp_path: Path, folder: StoragePath) -> None:
    (folder / "a.json").write(b"one")
    before = folder.versions(folder.files())
    os.utime(tmp_path / "a.json", ns=(0, 1))
    assert list(before) == [str(tmp_path / "a.json")]
    assert folder.versions(folder.files()) == {str(tmp_path / "a.json"): "1"} != before


def test_folders_are_named_in_order(tmp_path: Path, folder: StoragePath) -> None:
    for name in ("as_of=2", "as_of=1", "as_of=1/inner"):
        (tmp_path / name).mkdir(parents=True, exist_ok=True)
    (tmp_path / "file").write_bytes(b"x")
    assert folder.folders() == ["as_of=1", "as_of=2"]
