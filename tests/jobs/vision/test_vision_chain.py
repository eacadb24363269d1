"""Pictures to embeddings, through the three jobs as they are, on a few drawn products."""

from __future__ import annotations

import json
import subprocess
import sys
from argparse import Namespace
from collections import Counter
from collections.abc import Callable
from dataclasses import asdict
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
import pandas as pd
import pyarrow as pa
import pyarrow.parquet as pq
import pytest

from demo.pack_shots import COLUMNS, render_pack_shots
from larder.jobs import embed_products, ingest_images, train_vision
from larder.jobs.runtime.stage_report import StageReport
from larder.jobs.vision.embedder import loaded
from larder.jobs.vision.picture_files import UNREADABLE_IMAGE, PictureFetcher, _UnreadError
from larder.jobs.vision.trained_model import model_bytes_of
from larder.models.evaluation.retrieval_metrics import leaf_precision_at_k
from larder.models.vision.embeddings import unpacked
from larder.models.vision.network import embed
from larder.settings import Settings, StorageSettings, VisionSettings
from larder.storage import Tables

if TYPE_CHECKING:
    from pyspark.sql import SparkSession

KINDS = [
    ("GROCERY", "SOUP", "CONDENSED SOUP"),
    ("GROCERY", "CHEESE", "SHREDDED CHEESE"),
    ("PRODUCE", "CITRUS", "LEMONS"),
]
EACH = 20
EMBED_AGAIN = """
import sys, pathlib, numpy
from larder.jobs.vision.embedder import loaded
from larder.models.vision.network import embed
folder = pathlib.Path(sys.argv[1])
vectors = embed(loaded((folder / "model.keras").read_bytes()), numpy.load(folder / "pixels.npy"))
numpy.save(folder / "vectors.npy", vectors)
"""
JOBS = (ingest_images, train_vision, embed_products)


def products() -> pd.DataFrame:
    rows = [(f"p{i}", str(i % 4), *KINDS[i % 3], "National", "10 OZ") for i in range(EACH * 3)]
    order = ["product_id", "manufacturer_id", "department", "product_category", "product_type", "brand", "package_size"]
    return pd.DataFrame(rows, columns=order)[list(COLUMNS)]


def write_catalogue(folder: Path) -> pd.DataFrame:
    """Sixty drawn products, and one of every kind of trouble."""
    drawn = products()
    files = render_pack_shots(drawn, folder / "images", size=48)
    path = drawn.department + "/" + drawn.product_category + "/" + drawn.product_type
    good = pd.DataFrame(
        {"product_id": drawn.product_id, "category": path, "image": [f"images/{f}" for f in files.values()]}
    )
    good.loc[0, "image"] = f"file://{folder}/images/p0.jpg"
    good.loc[1, "image"] = f"{folder}/images/p1.jpg"
    (folder / "images" / "empty.jpg").write_bytes(b"")
    (folder / "images" / "broken.jpg").write_bytes((folder / "images" / "p2.jpg").read_bytes()[:700])
    (folder / "images" / "page.jpg").write_text("<html>not found</html>")
    trouble = [
        ("no image", None, None),
        ("blank image", "A/B", " "),
        ("missing", "A/B", "images/nowhere.jpg"),
        ("folder", "A/B", "images"),
        ("empty", "A/B", "images/empty.jpg"),
        ("broken", "A/B", "images/broken.jpg"),
        ("page", "A/B", "images/page.jpg"),
        ("web", "A/B", "gopher://example/1.jpg"),
        (None, "A/B", "images/p3.jpg"),
        ("p3", good.category[3], "images/p3.jpg"),  # a product twice
    ]
    catalogue = pd.concat([good, pd.DataFrame(trouble, columns=good.columns)], ignore_index=True)
    catalogue.to_parquet(folder / "catalogue.parquet")
    return catalogue


def settings_for(folder: Path, tables: str = "tables", **vision: object) -> Settings:
    small = {"image_size": 32, "embedding": 8, "epochs": 8, "workers": 2, "min_label_count": 5, "held_out": 0.3}
    storage = StorageSettings(tables=str(folder / tables), catalogue=str(folder / "catalogue.parquet"))
    return Settings(storage=storage, vision=VisionSettings(**{**small, **vision}))


def run_all(spark: SparkSession, settings: Settings) -> list[StageReport]:
    reports = []
    for job in JOBS:
        arguments = job.parse_arguments([])
        arguments.settings = settings
        reports.append(job.run(spark, arguments))
    return reports


def rows_of(settings: Settings, table: str) -> pd.DataFrame:
    tables = Tables(settings.storage.tables)
    return pd.concat([pq.read_table(uri).to_pandas() for uri in tables.uris([tables.get(table, "catalogue", "")])])


def bytes_of(settings: Settings, table: str) -> list[bytes]:
    tables = Tables(settings.storage.tables)
    return [Path(uri).read_bytes() for uri in tables.uris([tables.get(table, "catalogue", "")])]


def in_another_process(folder: Path, model: bytes, pixels: np.ndarray) -> np.ndarray:
    """Embeddings by a process that knows nothing but the saved model."""
    (folder / "model.keras").write_bytes(model)
    np.save(folder / "pixels.npy", pixels)
    subprocess.run([sys.executable, "-c", EMBED_AGAIN, str(folder)], check=True)
    return np.load(folder / "vectors.npy")


@pytest.mark.end_to_end
def test_pictures_to_embeddings(spark: SparkSession, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    write_catalogue(tmp_path)
    settings = settings_for(tmp_path)
    ingested, trained, embedded = run_all(spark, settings)

    assert (ingested.rows_in, ingested.rows_out, ingested.quarantined, ingested.duplicates) == (68, 60, 7, 1)
    assert ingested.rows_in == ingested.rows_out + ingested.quarantined + ingested.duplicates
    assert (ingested.details["products"], ingested.details["without_image"]) == (70, 2)
    quarantine = rows_of(settings, "image_quarantine")
    assert dict(zip(quarantine.raw, quarantine.reason, strict=True)) == {
        "": "no_product_id",
        "missing": "missing_image",
        "folder": "not_a_file",
        "empty": "empty_file",
        "broken": "truncated",
        "page": "text_file",
        "web": "unsupported_uri",
    }
    assert quarantine.set_index("raw").source["missing"] == f"{tmp_path}/images/nowhere.jpg"

    images = rows_of(settings, "images").sort_values("product_id")
    assert set(images.pixels.map(len)) == {32 * 32 * 3}
    assert 5 < images.held_out.sum() < 30
    assert trained.rows_out == 60 - images.held_out.sum()

    embeddings = rows_of(settings, "embeddings").sort_values("product_id")
    assert embeddings.product_id.tolist() == images.product_id.tolist()
    stored = np.stack([np.frombuffer(value, "<f2") for value in embeddings.embedding]).astype(np.float32)
    np.testing.assert_allclose(np.linalg.norm(stored, axis=1), 1, atol=2e-3)
    vectors = unpacked(pa.array(embeddings.embedding))
    np.testing.assert_allclose(np.linalg.norm(vectors, axis=1), 1, atol=1e-5)
    assert vectors.std(axis=0).max() > 0.05
    learnt = leaf_precision_at_k(vectors, images.category.tolist(), np.ones(60, bool))
    assert learnt["precision"] > 0.6  # chance is a third

    tables = Tables(settings.storage.tables)
    model = tables.get("vision_model", "catalogue", "")
    assert sorted(file.name for file in model.files) == ["model.keras", "training.json"]
    training = train_vision.training_of(tables, model)
    assert "GROCERY" in training["labels"] and "GROCERY/SOUP/CONDENSED SOUP" in training["labels"]
    assert training["loss"][-1] < training["loss"][0]
    assert "images/catalogue@" in json.dumps(dict(model.inputs))

    pixels = np.stack([np.frombuffer(value, np.uint8).reshape(32, 32, 3) for value in images.pixels])
    saved = model_bytes_of(tables, model)
    embedded_here = embed(loaded(saved), pixels)
    np.testing.assert_allclose(embedded_here, in_another_process(tmp_path, saved, pixels), atol=1e-5)
    np.testing.assert_allclose(embedded_here, vectors, atol=2e-3)  # a half float has eleven bits

    again = run_all(spark, settings)
    assert all(report.details["up_to_date"] for report in again)
    assert [(r.rows_in, r.rows_out, r.quarantined) for r in again] == [
        (r.rows_in, r.rows_out, r.quarantined) for r in (ingested, trained, embedded)
    ]

    elsewhere = settings_for(tmp_path, tables="elsewhere")
    run_all(spark, elsewhere)
    for table in ("images", "vision_model", "embeddings"):
        assert bytes_of(settings, table) == bytes_of(elsewhere, table)

    (tmp_path / "images" / "empty.jpg").write_bytes((tmp_path / "images" / "p5.jpg").read_bytes())
    with monkeypatch.context() as patch:
        patch.setattr(ingest_images, "_fetch", unanswered("p7.jpg"))
        silent = ingest_images.run(spark, _arguments(settings))
    assert (silent.rows_out, silent.quarantined, silent.details["unreadable_image"]) == (60, 7, 1)
    before, left = tables.get("images", "catalogue", ""), bytes_of(settings, "images")
    mended = ingest_images.run(spark, _arguments(settings))
    assert (mended.rows_out, mended.quarantined) == (61, 6)
    # What was made of the run before is out of date, and that run is as it was.
    assert tables.get("images", "catalogue", "").reference != before.reference
    assert [Path(uri).read_bytes() for uri in tables.uris([before])] == left
    embed_products.run(spark, _arguments(settings))
    assert {"p7", "empty"} <= set(rows_of(settings, "embeddings").product_id)
    assert ingest_images.run(spark, _arguments(settings)).details["up_to_date"]


def unanswered(name: str) -> Callable[[Settings], PictureFetcher]:
    """A store that tells of this file and, for a moment, does not hand it out: no file of a test's can be so."""

    class Unanswered(PictureFetcher):
        def _read(self, row: dict[str, Any]) -> Any:
            found = super()._read(row)
            return _UnreadError(UNREADABLE_IMAGE) if row["uri"].endswith(name) else found

    fetch = ingest_images._fetch
    return lambda settings: Unanswered(**asdict(fetch(settings)))


def _arguments(settings: Settings) -> Namespace:
    arguments = ingest_images.parse_arguments([])
    arguments.settings = settings
    return arguments


@pytest.mark.end_to_end
def test_a_store_that_is_down_does_not_empty_the_table(spark: SparkSession, tmp_path: Path) -> None:
    pd.DataFrame({"product_id": ["1", "2"], "image": ["a.jpg", "b.jpg"]}).to_parquet(tmp_path / "catalogue.parquet")
    settings = settings_for(tmp_path)
    with pytest.raises(ingest_images.NoImageReadError, match="none of 2 pictures"):
        ingest_images.run(spark, _arguments(settings))
    assert Tables(settings.storage.tables).find("images", "catalogue") is None


@pytest.mark.end_to_end
def test_a_catalogue_without_pictures_or_categories_has_an_empty_table(spark: SparkSession, tmp_path: Path) -> None:
    pd.DataFrame({"product_id": [1, 2]}).to_parquet(tmp_path / "catalogue.parquet")
    settings = settings_for(tmp_path)
    report = ingest_images.run(spark, _arguments(settings))
    assert (report.rows_in, report.rows_out, report.details["without_image"]) == (0, 0, 2)
    arguments = train_vision.parse_arguments([])
    arguments.settings = settings
    with pytest.raises(train_vision.NoLabelsError, match="min_label_count"):
        train_vision.run(spark, arguments)


@pytest.mark.end_to_end
def test_products_whose_id_cannot_be_read_are_counted(
    spark: SparkSession, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    pd.DataFrame({"product_id": [b"1", None, b"\xff"]}).to_parquet(tmp_path / "catalogue.parquet")
    report = ingest_images.run(spark, _arguments(settings_for(tmp_path)))
    assert (report.details["products"], report.details["without_id"]) == (3, 2)
    assert "rows without an id that can be read: 2" in capsys.readouterr().err


@pytest.mark.parametrize(
    ("uri", "full"),
    [
        ("1.jpg", "/shop/images/1.jpg"),
        ("a b/1.jpg", "/shop/images/a b/1.jpg"),
        ("a:b.jpg", "/shop/images/a:b.jpg"),
        ("/elsewhere/1.jpg", "/elsewhere/1.jpg"),
        ("file:/elsewhere/1.jpg", "/elsewhere/1.jpg"),
        ("file:///else%20where/1.jpg", "/else where/1.jpg"),
        ("s3a://bucket/a%20b.jpg", "s3a://bucket/a%20b.jpg"),
    ],
)
def test_full_uris(uri: str, full: str) -> None:
    assert ingest_images.resolved(uri, "/shop/images/") == full


def test_pictures_are_beside_the_catalogue_unless_the_settings_say_otherwise(tmp_path: Path) -> None:
    (tmp_path / "catalogue.parquet").touch()
    settings = settings_for(tmp_path)
    assert ingest_images.image_prefix(settings) == str(tmp_path)
    inside = settings.model_copy(update={"storage": StorageSettings(catalogue=str(tmp_path))})
    assert ingest_images.image_prefix(inside) == str(tmp_path)
    named = settings.model_copy(update={"storage": StorageSettings(images="s3a://b/images")})
    assert ingest_images.image_prefix(named) == "s3a://b/images"


def test_help_names_the_settings(capsys: pytest.CaptureFixture[str]) -> None:
    for job in JOBS:
        with pytest.raises(SystemExit) as stopped:
            job.parse_arguments(["--help"])
        assert stopped.value.code == 0
    assert Counter(capsys.readouterr().out.split())["--settings"] >= len(JOBS)
