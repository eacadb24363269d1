"""Several networks trained one after another and saved as one, which embeds like any other."""

from __future__ import annotations

import argparse
import shutil
from pathlib import Path

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
import pytest
from pyspark.sql import SparkSession
from written_pictures import TRAINING, write_pictures

from larder.jobs import embed_products, train_vision
from larder.jobs.runtime.stage_report import StageReport
from larder.models.tables import VISION_SCRATCH
from larder.models.vision.embeddings import unpacked
from larder.settings import Settings, StorageSettings, VisionSettings
from larder.storage import Tables

pytestmark = [pytest.mark.end_to_end, pytest.mark.slow]

EPOCHS, PICTURES, MEMBERS = 3, 60, 2


class Shop:
    """Sixty pictures in a folder of tables, to train so many networks on."""

    def __init__(self, folder: Path, ensemble: int) -> None:
        self.images = write_pictures(folder, PICTURES)
        self.tables = Tables(str(folder))
        vision = VisionSettings(**TRAINING, epochs=EPOCHS, validation=0.2, ensemble=ensemble)
        self.arguments = argparse.Namespace(
            settings=Settings(storage=StorageSettings(tables=str(folder)), vision=vision), as_of=None
        )

    def train(self, spark: SparkSession) -> StageReport:
        return train_vision.run(spark, self.arguments)

    def rounds(self, folder: Path) -> Path:
        """Where the second network's training stands."""
        planned = train_vision._plan(self.images, self.arguments.settings.vision, None, None)
        return folder / VISION_SCRATCH / planned.run / "rounds-2"

    def files(self) -> list[bytes]:
        return [Path(uri).read_bytes() for uri in self.tables.uris([self.tables.get("vision_model", "catalogue", "")])]

    def embeddings(self, spark: SparkSession) -> tuple[StageReport, np.ndarray]:
        report = embed_products.run(spark, self.arguments)
        uris = self.tables.uris([self.tables.get("embeddings", "catalogue", "")])
        table = pa.concat_tables([pq.read_table(uri) for uri in uris]).sort_by("product_id")
        return report, unpacked(table["embedding"])


def test_several_are_trained_resumed_and_embedded_with_as_one(spark: SparkSession, tmp_path: Path) -> None:
    alone = Shop(tmp_path / "alone", 1)
    alone.train(spark)
    assert "ensemble" not in alone.tables.get("vision_model", "catalogue", "").parameters
    several = Shop(tmp_path / "several", MEMBERS)
    report = several.train(spark)
    assert report.details["validated_on"] == PICTURES - report.rows_out
    assert [report.details[f"member_{n}_rounds"] for n in (1, 2)] == [EPOCHS, EPOCHS]
    assert report.details["member_1_loss"] != report.details["member_2_loss"]

    embedded, vectors = several.embeddings(spark)
    assert embedded.details["floats"] == vectors.shape[1] == MEMBERS * TRAINING["embedding"]
    # The first has the seed of a network on its own, and is that one.
    first = vectors[:, : TRAINING["embedding"]] * np.sqrt(MEMBERS)
    np.testing.assert_allclose(first, alone.embeddings(spark)[1], atol=2e-3)

    # Nothing can be kept where a folder of that name lies: the second network's training ends in its second round.
    cut_off = Shop(tmp_path / "cut off", MEMBERS)
    in_the_way = cut_off.rounds(tmp_path / "cut off") / "round-00002.npz"
    (in_the_way / "folder").mkdir(parents=True)
    with pytest.raises(OSError, match=in_the_way.name):
        cut_off.train(spark)
    shutil.rmtree(in_the_way)
    assert cut_off.train(spark).details["resumed_after"] == EPOCHS + 1
    assert cut_off.files() == several.files()
