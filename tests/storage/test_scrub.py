"""A flipped bit is found, wherever it lies: by scrub, and by whoever reads the file whole."""

from __future__ import annotations

import json
from dataclasses import replace
from pathlib import Path

import pyarrow as pa
import pyarrow.parquet as pq
import pytest
from hypothesis import given
from hypothesis import strategies as st
from typer.testing import CliRunner

from larder.cli import scrub_verb
from larder.storage import DamagedTableError, DataFile, Manifest, StoragePath, Tables
from larder.storage.manifests import plan_run
from larder.storage.parquet_parts import Part
from larder.storage.scrub import scrub

ROWS = pa.table({"cookie_key": list(range(500)), "product_id": [f"p{n % 7}" for n in range(500)]})


def written(tables: Tables, table: str = "interactions", partition: str = "as_of=2017-12-03T00") -> Manifest:
    planned = plan_run(table, partition, {}, {"ranges": 2})
    files = []
    for number in range(2):
        part = Part(ROWS.schema)
        part.add(ROWS.slice(number * 250, 250))
        files.append(part.write(tables.run_folder(planned), number))
    manifest = replace(planned, files=tuple(files))
    tables.publish(manifest)
    return manifest


@pytest.fixture
def tables(tmp_path: Path) -> Tables:
    return Tables(str(tmp_path / "tables"))


def flip(uri: str, at: int, bit: int = 0) -> None:
    data = bytearray(Path(uri).read_bytes())
    data[at % len(data)] ^= 1 << bit
    Path(uri).write_bytes(data)


def test_sound_tables_have_no_damage(tables: Tables) -> None:
    written(tables)
    written(tables, "hourly_counts", "dt=2017-12-03/hr=00")
    found = scrub(tables)
    assert (found.partitions, found.files, found.without_digest, found.damages) == (2, 4, 0, [])
    assert found.bytes == sum(path.stat().st_size for path in Path(tables.root).rglob("*.parquet"))


@pytest.fixture(scope="module")
def to_flip(tmp_path_factory: pytest.TempPathFactory) -> tuple[Tables, Manifest]:
    tables = Tables(str(tmp_path_factory.mktemp("flips")))
    return tables, written(tables)


@given(st.integers(0, 1 << 16), st.integers(0, 7))
def test_every_flipped_bit_is_found(to_flip: tuple[Tables, Manifest], at: int, bit: int) -> None:
    tables, manifest = to_flip
    uri = tables.uris([manifest])[0]
    flip(uri, at, bit)
    try:
        assert len(scrub(tables).damages) == 1
        with pytest.raises(DamagedTableError, match=r"part-00000\.parquet has other bytes"):
            tables.stored([manifest])[0].read()
        with pytest.raises(DamagedTableError, match="make interactions of as_of=2017-12-03T00 again"):
            tables.read(manifest, "part-00000.parquet")
        tables.read(manifest, "part-00001.parquet")
    finally:
        flip(uri, at, bit)
    assert scrub(tables).damages == []


@pytest.mark.parametrize("damage", ["gone", "shorter", "no manifest"])
def test_what_else_is_damaged_is_named(tables: Tables, damage: str) -> None:
    uri = Path(tables.uris([written(tables)])[1])
    manifest = next(Path(tables.root).rglob("*.json"))
    if damage == "gone":
        uri.unlink()
    elif damage == "shorter":
        uri.write_bytes(uri.read_bytes()[:-1])
    else:
        manifest.write_bytes(b"{")
    [told] = scrub(tables).damages
    assert (str(manifest) if damage == "no manifest" else str(uri)) in told
    assert "again" in told


def test_a_manifest_of_before_digests_is_read_and_its_files_decoded(tables: Tables) -> None:
    manifest = written(tables)
    tables.publish(replace(manifest, files=tuple(replace(file, digest="") for file in manifest.files)))
    assert (scrub(tables).without_digest, scrub(tables).damages) == (2, [])
    Path(tables.uris([manifest])[0]).write_bytes(b"x" * manifest.files[0].bytes)
    assert "can't be read" in scrub(tables).damages[0]


def test_digests_stand_where_an_older_version_reads_past_them(tables: Tables) -> None:
    manifest = written(tables)
    values = json.loads(manifest.as_json())
    assert [sorted(file) for file in values["files"]] == [["bytes", "name", "rows"]] * 2
    assert values["parameters"]["digests"] == {file.name: file.digest for file in manifest.files}
    assert Manifest.from_json(manifest.as_json()) == manifest
    assert "digests" not in Manifest.from_json(manifest.as_json()).parameters


def test_the_digest_is_of_the_bytes(tmp_path: Path) -> None:
    pq.write_table(ROWS, tmp_path / "a.parquet")
    data = (tmp_path / "a.parquet").read_bytes()
    assert DataFile.of("a", 500, data) == DataFile.of("a", 500, pa.py_buffer(data))
    assert DataFile.of("a", 0, b"123456789").digest == "cbf43926"  # the check value of CRC-32/ISO-HDLC


def test_the_verb_names_damages_and_fails(tables: Tables, tmp_path: Path) -> None:
    (tmp_path / "larder.toml").write_text(f'[storage]\ntables = "{tables.root}"\n')
    [uri, _] = tables.uris([written(tables)])
    arguments = ["--settings", str(tmp_path / "larder.toml")]
    sound = CliRunner().invoke(scrub_verb.verbs, arguments)
    assert (sound.exit_code, sound.stdout.split(",")[0]) == (0, "scrub: 1 partitions")
    flip(uri, 100)
    damaged = CliRunner().invoke(scrub_verb.verbs, arguments)
    assert isinstance(damaged.exception, scrub_verb.DamageFoundError)
    assert "1 damaged" in damaged.stdout
    assert StoragePath(uri).uri in str(damaged.exception)
    assert CliRunner().invoke(scrub_verb.verbs, [*arguments, "--table", "bots"]).exit_code == 0
