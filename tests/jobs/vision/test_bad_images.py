"""Forty kinds of bad pictures among good ones: each is set aside with its reason, and the others come through."""

from __future__ import annotations

import argparse
import re
from dataclasses import replace
from pathlib import Path
from typing import TYPE_CHECKING

import pandas as pd
import pyarrow as pa
import pyarrow.parquet as pq
import pytest
from image_files import JPEG, KINDS, MAX_BYTES, MAX_PIXELS, MIN_SIDE, write_kind
from repository import ROOT
from written_tables import write_table

from larder.jobs import ingest_images
from larder.jobs.runtime.stage_report import StageReport
from larder.jobs.vision.decoding_process import TOO_SLOW
from larder.jobs.vision.picture_files import (
    CHUNK_BYTES,
    FILE_REASONS,
    NAMED,
    NO_PRODUCT_ID,
    UNREADABLE_IMAGE,
    PictureFetcher,
)
from larder.models.tables import QUARANTINE
from larder.models.vision.image_decoding import REASONS
from larder.settings import Settings, StorageSettings, VisionSettings
from larder.storage import Tables

if TYPE_CHECKING:
    from pyspark.sql import SparkSession

GOOD = 10
DOCS = ROOT / "docs" / "images.md"


def ingest(spark: SparkSession, settings: Settings) -> StageReport:
    return ingest_images.run(spark, argparse.Namespace(settings=settings))


def quarantine_of(settings: Settings) -> pd.DataFrame:
    tables = Tables(settings.storage.tables)
    uris = tables.uris([tables.get("image_quarantine", "catalogue", "")])
    return pd.concat([pq.read_table(uri).to_pandas() for uri in uris])


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A shop with a product of each kind, ten good ones, one twice, and one without an id."""
    made = tmp_path_factory.mktemp("shop")
    (made / "images").mkdir()
    rows = [(f"bad{number}", write_kind(made, number)) for number in range(len(KINDS))]
    for number in range(GOOD):
        (made / "images" / f"good{number}.jpg").write_bytes(JPEG)
        rows.append((f"good{number}", f"images/good{number}.jpg"))
    rows += [rows[-1], (None, "images/good0.jpg"), ("no picture", None)]
    pd.DataFrame(rows, columns=["product_id", "image"]).to_parquet(made / "catalogue.parquet")
    return made


@pytest.fixture(scope="module")
def settings(folder: Path) -> Settings:
    limits = {"max_bytes": MAX_BYTES, "max_pixels": MAX_PIXELS, "min_side": MIN_SIDE, "read_ahead": 3}
    storage = StorageSettings(tables=str(folder / "tables"), catalogue=str(folder / "catalogue.parquet"))
    return Settings(storage=storage, vision=VisionSettings(image_size=16, **limits))


@pytest.fixture(scope="module")
def ingested(spark: SparkSession, settings: Settings) -> tuple[StageReport, dict[str, str]]:
    report = ingest(spark, settings)
    found = quarantine_of(settings)
    return report, dict(zip(found.raw, found.reason, strict=True))


@pytest.mark.end_to_end
@pytest.mark.parametrize("number", range(len(KINDS)), ids=[kind.what for kind in KINDS])
def test_each_kind_is_set_aside_with_its_reason(ingested: tuple[StageReport, dict[str, str]], number: int) -> None:
    assert ingested[1][f"bad{number}"] == KINDS[number].reason


@pytest.mark.end_to_end
def test_every_row_is_accounted_for(ingested: tuple[StageReport, dict[str, str]]) -> None:
    report, reasons = ingested
    assert (report.rows_in, report.rows_out) == (len(KINDS) + GOOD + 2, GOOD)
    assert (report.quarantined, report.duplicates) == (len(KINDS) + 1, 1)
    assert report.rows_in == report.rows_out + report.quarantined + report.duplicates
    counts = {name: count for name, count in report.details.items() if name in (*REASONS, *FILE_REASONS)}
    assert sum(counts.values()) == report.quarantined
    assert set(counts) == set(reasons.values())


@pytest.mark.end_to_end
@pytest.mark.usefixtures("ingested")
def test_what_could_not_be_read_is_tried_again(spark: SparkSession, settings: Settings) -> None:
    """Here it is as unreadable as before, and nothing is done for it."""
    assert ingest(spark, settings).details["up_to_date"]
    before = quarantine_of(settings)
    tables = Tables(settings.storage.tables)
    quarantine = tables.get("image_quarantine", "catalogue", "")
    # What a store leaves that was down for a moment, after the look at its files.
    rows = [(str(Path(settings.storage.catalogue).parent / "images" / "good0.jpg"), UNREADABLE_IMAGE, "good0")]
    write_table(tables, replace(quarantine, counts={UNREADABLE_IMAGE: 1}), QUARANTINE.schema, rows)
    again = ingest(spark, settings)
    assert "up_to_date" not in again.details
    pd.testing.assert_frame_equal(quarantine_of(settings), before)


def test_large_pictures_are_handed_on_few_at_a_time(tmp_path: Path) -> None:
    (tmp_path / "1.jpg").write_bytes(JPEG)
    rows = [{"product_id": str(number), "uri": str(tmp_path / "1.jpg")} for number in range(30)]
    fetch = PictureFetcher(image_size=512, max_pixels=MAX_PIXELS, max_bytes=MAX_BYTES, min_side=MIN_SIDE, read_ahead=3)
    found = list(fetch([pa.RecordBatch.from_pylist(rows, schema=NAMED)]))
    assert [batch.num_rows for batch in found] == [21, 9]
    assert max(batch["pixels"].nbytes for batch in found) <= CHUNK_BYTES


def test_every_reason_is_met_and_written_down() -> None:
    table = DOCS.read_text(encoding="utf-8").partition("## Memory")[0]
    stated = re.findall(r"^\| `(\w+)` \|", table, re.MULTILINE)
    assert sorted(stated) == sorted((*REASONS, *FILE_REASONS))
    assert {kind.reason for kind in KINDS} | {NO_PRODUCT_ID, TOO_SLOW} == set(stated)


def test_every_kind_is_written_down() -> None:
    text = DOCS.read_text(encoding="utf-8")
    assert [kind.what for kind in KINDS if kind.what not in text] == []
    assert len(KINDS) > 20
