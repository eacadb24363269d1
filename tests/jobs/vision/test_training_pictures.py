"""Which pictures are trained on, and which the driver keeps to measure by: each of them is one or the other."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING

import pytest
from written_pictures import COLOURS, SIZE, write_pictures

from larder.jobs.vision import training_pictures
from larder.jobs.vision.training_pictures import held_back, is_held_back, shards_of, validation_share
from larder.models.tables import IMAGES
from larder.models.vision.network import label_list
from larder.settings import VisionSettings
from larder.storage import StoragePath, Tables
from larder.storage.frames import read_frame

if TYPE_CHECKING:
    from pyspark.sql import SparkSession

PICTURES, MOST = 120, 30
SHAPE = (SIZE, SIZE, 3)


@pytest.mark.parametrize(
    ("validation", "pictures", "share"), [(0.1, 1_000, 0.1), (0.1, 1_000_000, 0.0218), (0.0, 1_000, 0.0)]
)
def test_the_share_shrinks_where_the_driver_cannot_hold_it(validation: float, pictures: int, share: float) -> None:
    assert validation_share(VisionSettings(validation=validation), pictures, (64, 64, 3)) == share


@pytest.mark.end_to_end
def test_what_the_driver_cannot_hold_is_trained_on(
    spark: SparkSession, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(training_pictures, "VALIDATION_BYTES", MOST * SIZE * SIZE * 3)
    tables = Tables(str(tmp_path / "tables"))
    pictures = read_frame(spark, tables, [write_pictures(tmp_path / "tables", PICTURES)], IMAGES.schema)
    labels = label_list(dict.fromkeys(COLOURS, PICTURES // len(COLOURS)), 1)
    back = is_held_back(validation_share(VisionSettings(validation=0.9), PICTURES, SHAPE))
    kept = held_back(pictures.where(back), labels, SHAPE)
    shards = shards_of(pictures.where(~back), labels, SHAPE, 2, StoragePath(str(tmp_path / "shards")))
    assert kept is not None and len(kept[0]) == len(kept[1])
    assert MOST / 2 < len(kept[0]) < MOST * 1.5
    assert len(kept[0]) + sum(shard.samples for shard in shards) == PICTURES
