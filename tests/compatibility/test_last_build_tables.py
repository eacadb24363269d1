"""Tables of the last build: the same log gives the same partitions, files, schemas and rows."""

from __future__ import annotations

import json
import shutil
from pathlib import Path
from types import ModuleType
from typing import Any

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc
import pyarrow.parquet as pq
import pytest
from last_build import BASE, END, KEPT, START, copy_release
from pyspark.sql import SparkSession

from larder.jobs import aggregate_hours, precompute, precompute_cookies, roll_up, train_als
from larder.models.columns import SCORES
from larder.models.hours import as_of_partition, hour
from larder.models.tables import RELEASE_LISTS
from larder.storage import Tables

pytestmark = pytest.mark.end_to_end

# Sums of whole numbers: the same on every processor. Factors, and lists made from them, may differ in the last bits.
EXACT = ("hourly_counts", "quarantine", "bots", "interactions", "contexts")
EMBEDDINGS = "embeddings"  # made from pictures elsewhere: an input here
UNKEPT = ("als_scratch",)


def run(spark: SparkSession, job: ModuleType, settings: Path, *words: str) -> dict[str, Any]:
    report = job.run(spark, job.parse_arguments(["--settings", str(settings), *words]))
    return dict(report.details)


def run_all(spark: SparkSession, settings: Path) -> list[dict[str, Any]]:
    """Runs every job whose tables are kept; returns the details of their reports."""
    first, last = ("--start", START, "--end", BASE), ("--start", BASE, "--end", END)
    return [
        run(spark, aggregate_hours, settings, *first),
        run(spark, roll_up, settings, *first, "--from-empty"),
        run(spark, train_als, settings, "--as-of", BASE),
        run(spark, precompute, settings, "--as-of", BASE),
        run(spark, aggregate_hours, settings, *last),
        run(spark, roll_up, settings, *last),
        run(spark, precompute_cookies, settings, *last),
    ]


def files_of(tables: Path, suffix: str) -> dict[str, Path]:
    """Paths by their names relative to `tables`."""
    found = sorted(tables.glob(f"*/**/*{suffix}"))
    return {str(path.relative_to(tables)): path for path in found if path.relative_to(tables).parts[0] not in UNKEPT}


def test_the_same_log_gives_the_same_tables(spark: SparkSession, tmp_path: Path) -> None:
    settings = copy_release(tmp_path, tables=False)
    (tmp_path / "tables").mkdir()
    (tmp_path / "tables" / EMBEDDINGS).symlink_to(KEPT / "release" / "tables" / EMBEDDINGS)

    run_all(spark, settings)

    old, new = (files_of(folder / "tables", ".json") for folder in (KEPT / "release", tmp_path))
    assert list(new) == list(old)
    for name in old:
        for kept, made in zip(files_named(old[name]), files_named(new[name]), strict=True):
            assert made.name == kept.name, name
            assert pq.read_schema(made).equals(pq.read_schema(kept), check_metadata=True), name
            if name.split("/")[0] in EXACT:
                # Where a row was read from is a path of the machine that read it.
                rows = [pq.read_table(path) for path in (made, kept)]
                found, wanted = (each.drop_columns([n for n in ("source",) if n in each.column_names]) for each in rows)
                assert found.equals(wanted), name


def files_named(manifest: Path) -> list[Path]:
    """The data files that a manifest names. A run has another name if a setting was added."""
    said = json.loads(manifest.read_text())
    table = next(folder.parent for folder in manifest.parents if folder.name == "manifests")
    return [table / "runs" / said["run"] / file["name"] for file in said["files"]]


def test_the_same_factors_give_the_same_lists(spark: SparkSession, tmp_path: Path) -> None:
    """On every platform: what is listed and in which order exactly; scores, which are at most 1, to a float32."""
    settings = copy_release(tmp_path)
    tables = Tables(str(tmp_path / "tables"))
    kept = {name: rows_of(tables, name) for name in RELEASE_LISTS}
    for name in (*RELEASE_LISTS, "release", "release_dictionary"):
        shutil.rmtree(tmp_path / "tables" / name)

    run(spark, precompute, settings, "--as-of", BASE)

    for name, wanted in kept.items():
        found = rows_of(tables, name)
        assert found.drop_columns([SCORES]).equals(wanted.drop_columns([SCORES])), name
        scores = [pc.list_flatten(rows[SCORES]).to_numpy() for rows in (found, wanted)]
        np.testing.assert_allclose(scores[0], scores[1], rtol=3e-7, atol=3e-7, err_msg=name)


def rows_of(tables: Tables, name: str) -> pa.Table:
    """All rows of the release's partition of a table, in the order of its files."""
    uris = tables.uris([tables.get(name, as_of_partition(hour(BASE)), "precompute")])
    return pa.concat_tables([pq.read_table(uri) for uri in uris])
