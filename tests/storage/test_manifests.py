"""Manifests: what a run's name follows from, what a reader sees and when."""

from __future__ import annotations

import json
import os
from collections.abc import Callable
from dataclasses import replace
from hashlib import sha256
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from larder.storage import DamagedTableError, DataFile, Manifest, MissingPartitionError, Tables
from larder.storage import manifests as tables
from larder.storage.filesystems import StorageUriError
from larder.storage.manifests import fingerprint, plan_run

PARTITION = "dt=2017-12-03/hr=07"
MADE_FROM = {
    "table": "counts",
    "partition": PARTITION,
    "inputs": {"events": "e1", "state": "s1"},
    "parameters": {"rank": 8, "weights": {"view": 0.2, "purchase": 1.0}},
}
names = st.text(min_size=1, max_size=20)
values = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats(allow_nan=False) | st.text(),
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(names, inner, max_size=3),
    max_leaves=5,
)
manifests = st.builds(
    Manifest,
    table=names,
    partition=names,
    run=names,
    files=st.lists(st.builds(DataFile, name=names, rows=st.integers(0), bytes=st.integers(0)), max_size=3).map(tuple),
    counts=st.dictionaries(names, st.integers(), max_size=3),
    inputs=st.dictionaries(names, names, max_size=3),
    parameters=st.dictionaries(names, values, max_size=3),
    code_version=names,
)


@given(manifests)
def test_a_manifest_comes_back_from_its_json(manifest: Manifest) -> None:
    assert Manifest.from_json(manifest.as_json()) == manifest


@given(manifests)
def test_a_manifest_says_its_rows_to_those_who_read_json(manifest: Manifest) -> None:
    assert json.loads(manifest.as_json())["rows"] == sum(file.rows for file in manifest.files) == manifest.rows


def test_a_plan_follows_from_what_it_is_made_from_in_any_order() -> None:
    turned = {
        name: dict(reversed(value.items())) if isinstance(value, dict) else value
        for name, value in reversed(MADE_FROM.items())
    }
    assert plan_run(**turned) == plan_run(**MADE_FROM)


@pytest.mark.parametrize(
    "change",
    [
        {"table": "quarantine"},
        {"partition": "dt=2017-12-03/hr=08"},
        {"inputs": {"events": "e2", "state": "s1"}},
        {"inputs": {"events": "e1"}},
        {"parameters": {"rank": 9, "weights": {"view": 0.2, "purchase": 1.0}}},
        {"parameters": {"rank": 8, "weights": {"view": 0.2, "purchase": 1.1}}},
    ],
)
def test_another_input_or_parameter_is_another_run(change: dict[str, object]) -> None:
    assert plan_run(**{**MADE_FROM, **change}).run != plan_run(**MADE_FROM).run


def test_another_version_of_the_code_is_another_run(monkeypatch: pytest.MonkeyPatch) -> None:
    before = plan_run(**MADE_FROM)
    monkeypatch.setattr(tables, "code_version", lambda: "99.0")
    after = plan_run(**MADE_FROM)
    assert after.run != before.run
    assert after.code_version == "99.0"


def test_a_fingerprint_stays_what_it_was() -> None:
    """Changed, it would make every table on every installation anew."""
    expected = sha256(b'{"a":"x","b":[1,2.5]}').hexdigest()[:16]
    assert fingerprint({"b": [1, 2.5], "a": "x"}) == fingerprint({"a": "x", "b": [1, 2.5]}) == expected


@pytest.fixture
def written(tmp_path: Path) -> tuple[Tables, Manifest]:
    files = (DataFile("part-00000.parquet", 3, 100), DataFile("part-00001.parquet", 4, 110))
    made, manifest = Tables(str(tmp_path)), replace(plan_run(**MADE_FROM), files=files, counts={"rows_in": 7})
    for file in files:
        (made.run_folder(manifest) / file.name).write(b"x" * file.bytes)
    return made, manifest


def test_a_partition_is_there_once_it_is_published(written: tuple[Tables, Manifest]) -> None:
    tables, manifest = written
    assert tables.find("counts", PARTITION) is None
    assert not tables.is_current(manifest)
    tables.publish(manifest)
    assert tables.find("counts", PARTITION) == manifest
    assert tables.get("counts", PARTITION, "larder x") == manifest
    assert tables.is_current(manifest)


def test_many_are_found_in_the_order_asked(written: tuple[Tables, Manifest]) -> None:
    tables, manifest = written
    asked = [f"dt=2017-12-03/hr={hour:02d}" for hour in range(24)]
    for partition in asked[::2]:
        tables.publish(replace(manifest, partition=partition))
    found = tables.find_all("counts", asked)
    assert [each.partition if each else None for each in found] == [
        partition if number % 2 == 0 else None for number, partition in enumerate(asked)
    ]


def test_publishing_again_replaces_the_pointer(written: tuple[Tables, Manifest]) -> None:
    tables, manifest = written
    tables.publish(manifest)
    other = replace(plan_run(**{**MADE_FROM, "inputs": {}}), files=manifest.files)
    tables.publish(other)
    assert tables.find("counts", PARTITION) == other
    assert not tables.is_current(manifest)


def test_what_is_missing_is_named_with_the_command_that_makes_it(tmp_path: Path) -> None:
    with pytest.raises(MissingPartitionError) as caught:
        Tables(str(tmp_path)).get("counts", PARTITION, "larder aggregate-hours --start 2017-12-03T07")
    message = str(caught.value)
    for named in ("counts", PARTITION, str(tmp_path), "`larder aggregate-hours --start 2017-12-03T07`"):
        assert named in message


def test_data_files_lie_in_the_folder_of_their_run(written: tuple[Tables, Manifest]) -> None:
    tables, manifest = written
    folder = f"{tables.root}/counts/runs/{manifest.run}"
    assert tables.uris([manifest]) == [f"{folder}/part-00000.parquet", f"{folder}/part-00001.parquet"]
    assert tables.uris([]) == []


DAMAGES: dict[str, tuple[Callable[[Path], object], str]] = {
    "gone": (Path.unlink, "is gone, where its manifest says 110 bytes"),
    "emptied by a loss of power": (
        lambda path: path.write_bytes(b""),
        "has 0 bytes, where its manifest says 110 bytes",
    ),
    "cut off": (lambda path: path.write_bytes(b"x" * 109), "has 109 bytes, where its manifest says 110 bytes"),
}


@pytest.mark.parametrize("damage", DAMAGES)
def test_a_damaged_file_is_named_and_made_anew(written: tuple[Tables, Manifest], damage: str) -> None:
    tables, manifest = written
    other = replace(manifest, partition="dt=2017-12-03/hr=08", files=manifest.files[:1])
    tables.publish(manifest)
    tables.publish(other)
    path = Path(tables.uris([manifest])[1])
    spoil, said = DAMAGES[damage]
    spoil(path)
    with pytest.raises(DamagedTableError) as caught:
        tables.uris([other, manifest])
    assert str(caught.value).startswith(f"{path} {said}; make counts of {PARTITION} again")
    with pytest.raises(DamagedTableError):
        tables.read(manifest, "part-00000.parquet")
    assert tables.are_current([other, manifest, other]) == [True, False, True]
    assert tables.read(other, "part-00000.parquet") == b"x" * 100


@pytest.mark.parametrize("content", [b"", b"{", b"[]", b"{}", b'{"rows": 1, "files": [{"name": "x"}]}'])
def test_what_is_no_manifest_is_named(written: tuple[Tables, Manifest], content: bytes) -> None:
    tables, manifest = written
    tables.publish(manifest)
    path = Path(tables.root) / "counts" / "manifests" / f"{PARTITION}.json"
    path.write_bytes(content)
    with pytest.raises(DamagedTableError, match=f"{path} is no manifest .*; remove it, and make counts of"):
        tables.find("counts", PARTITION)
    assert not tables.is_current(manifest)
    tables.publish(manifest)
    assert tables.is_current(manifest)


def test_a_place_that_is_not_known_is_no_damage() -> None:
    with pytest.raises(StorageUriError):
        Tables("gs://shop/tables").find("counts", PARTITION)


def test_a_manifest_and_its_name_are_on_disk_once_it_is_published(
    written: tuple[Tables, Manifest], monkeypatch: pytest.MonkeyPatch
) -> None:
    tables, manifest = written
    synced: list[str] = []
    monkeypatch.setattr(os, "fsync", lambda file: synced.append(os.readlink(f"/proc/self/fd/{file}")))
    tables.publish(manifest)
    file, folder = synced
    assert folder == str((Path(tables.root) / "counts" / "manifests" / PARTITION).parent)
    assert Path(file).parent == Path(folder)
    assert Path(file).name.startswith(".")


def test_a_reference_names_table_partition_and_run(written: tuple[Tables, Manifest]) -> None:
    _, manifest = written
    assert manifest.reference == f"counts/{PARTITION}@{manifest.run}"
