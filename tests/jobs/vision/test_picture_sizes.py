"""Pictures of one size, and settings or a model of another: a line that says so, before anything is trained."""

from __future__ import annotations

import argparse
from pathlib import Path
from types import ModuleType

import pytest
from pyspark.sql import SparkSession
from written_pictures import SIZE, write_pictures

from larder.jobs import embed_products, search_vision, train_vision
from larder.jobs.vision.image_table import OtherSizeError
from larder.settings import Settings, StorageSettings, VisionSettings
from larder.settings.vision_recipe import VisionRecipe
from larder.storage import Tables
from larder.storage.manifests import plan_run

pytestmark = pytest.mark.end_to_end
OTHER = 2 * SIZE


@pytest.mark.parametrize("job", [train_vision, search_vision])
def test_pictures_of_another_size_than_the_settings_say_are_not_trained_on(
    spark: SparkSession, tmp_path: Path, job: ModuleType
) -> None:
    write_pictures(tmp_path / "tables", 3)
    settings = Settings(
        storage=StorageSettings(tables=str(tmp_path / "tables")), vision=VisionSettings(image_size=OTHER)
    )
    arguments = argparse.Namespace(settings=settings, as_of=None, recipe=VisionRecipe(space={"epochs": [1]}))
    with pytest.raises(
        OtherSizeError, match=rf"vision\.image_size is {OTHER}.*have {SIZE} a side.*larder ingest-images"
    ):
        job.run(spark, arguments)


def test_pictures_of_another_size_than_the_model_takes_are_not_embedded(spark: SparkSession, tmp_path: Path) -> None:
    write_pictures(tmp_path / "tables", 3)
    tables = Tables(str(tmp_path / "tables"))
    tables.publish(plan_run("vision_model", "catalogue", {}, {"image_size": OTHER, "embedding": 8}))
    settings = Settings(storage=StorageSettings(tables=tables.root), vision=VisionSettings(image_size=SIZE))
    with pytest.raises(OtherSizeError, match=f"is {OTHER}.*have {SIZE} a side; run `larder train-vision`"):
        embed_products.run(spark, argparse.Namespace(settings=settings))
