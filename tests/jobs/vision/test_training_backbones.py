"""Rounds of training above a network from a file, with colours beside its features."""

from __future__ import annotations

import argparse
import shutil
from pathlib import Path

import numpy as np
import pytest
from pyspark.sql import SparkSession
from written_pictures import SIZE, TRAINING, write_pictures

from larder.jobs import train_vision
from larder.jobs.vision.trained_model import model_bytes_of
from larder.settings import Settings, StorageSettings, VisionSettings, load_settings
from larder.storage import Tables

pytestmark = pytest.mark.end_to_end


def trained(spark: SparkSession, tables: Path, backbone: Path) -> train_vision.StageReport:
    vision = VisionSettings(
        **{**TRAINING, "epochs": 3, "backbone": str(backbone), "backbone_frozen": True},
        palette=True,
        hidden=8,
        dropout=0.2,
    )
    settings = Settings(storage=StorageSettings(tables=str(tables)), vision=vision)
    return train_vision.run(spark, argparse.Namespace(settings=settings, as_of=None))


def model_in(tables: Path) -> bytes:
    kept = Tables(str(tables))
    return model_bytes_of(kept, kept.get("vision_model", "catalogue", ""))


@pytest.mark.slow
def test_a_network_from_a_file_is_trained_upon_and_kept(spark: SparkSession, tmp_path: Path) -> None:
    import keras

    from larder.jobs.vision.embedder import loaded

    keras.utils.set_random_seed(3)
    pictures = keras.Input((None, None, 3))
    network = keras.Model(pictures, keras.layers.Conv2D(4, 3, strides=2)(keras.layers.Rescaling(1 / 255)(pictures)))
    (tmp_path / "there").mkdir()
    network.save(file := tmp_path / "network.keras")
    for name in ("one", "other"):
        write_pictures(tmp_path / name, 60)
        report = trained(spark, tmp_path / name, file)
    assert model_in(tmp_path / "one") == model_in(tmp_path / "other")
    (kernel, _), part = network.get_weights(), loaded(model_in(tmp_path / "one"))
    np.testing.assert_array_equal(part.get_layer("backbone").get_weights()[0], kernel)
    assert part.input_shape == (None, SIZE, SIZE, 3) and report.details["loss"] < 1
    moved = shutil.copy(file, tmp_path / "there" / "elsewhere.keras")
    assert trained(spark, tmp_path / "one", moved).details["up_to_date"]


@pytest.mark.parametrize(
    ("named", "found"), [("nets/a.keras", "{folder}/nets/a.keras"), ("s3a://b/a.keras",) * 2, ("VGG16",) * 2]
)
def test_a_file_is_sought_beside_the_settings(tmp_path: Path, named: str, found: str) -> None:
    (tmp_path / "larder.toml").write_text(f'[vision]\nbackbone = "{named}"\n')
    assert load_settings(tmp_path / "larder.toml").vision.backbone == found.format(folder=tmp_path)
