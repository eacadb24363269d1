"""The second objective: pictures of products that are bought together come to lie near each other."""

from __future__ import annotations

import argparse
import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest
from pyspark.sql import SparkSession
from written_pictures import COLOURS, SIZE, TRAINING, write_pictures
from written_tables import write_table

from larder.jobs import train_vision
from larder.models.hours import as_of_partition
from larder.models.tables import INTERACTIONS
from larder.settings import Settings, StorageSettings, VisionSettings
from larder.storage import Tables
from larder.storage.manifests import plan_run

AS_OF, PICTURES = 420_096, 120
LOAD = """
import sys
import keras, numpy as np
from larder.models.vision.network import embed, embedding_part
part = embedding_part(keras.models.load_model(sys.argv[1], compile=False))
np.save(sys.argv[2], embed(part, np.load(sys.argv[3])))
"""


def trained(spark: SparkSession, folder: Path, pair_weight: float) -> np.ndarray:
    """Embeddings of a plain picture of each colour, by another process."""
    vision = VisionSettings(**{**TRAINING, "epochs": 6, "pair_weight": pair_weight})
    settings = Settings(storage=StorageSettings(tables=str(folder / "tables")), vision=vision)
    arguments = argparse.Namespace(settings=settings, as_of=AS_OF)
    train_vision.run(spark, arguments)
    tables = Tables(settings.storage.tables)
    model = tables.get("vision_model", "catalogue", "")
    assert ("interactions" in model.inputs) == (pair_weight > 0)
    plain = np.stack([np.full((SIZE, SIZE, 3), colour, np.uint8) for colour in COLOURS.values()])
    np.save(folder / "plain.npy", plain)
    files = [tables.uris([model])[0], str(folder / "vectors.npy"), str(folder / "plain.npy")]
    subprocess.run([sys.executable, "-c", LOAD, *files], check=True, capture_output=True)
    return np.load(folder / "vectors.npy")


@pytest.mark.end_to_end
def test_what_is_bought_together_lies_together(spark: SparkSession, tmp_path: Path) -> None:
    """Reds (every third picture) are bought with greens (the ones after), never with blues."""
    write_pictures(tmp_path / "tables", PICTURES)
    rows = [
        (cookie, f"p{number}", 10, 1, AS_OF, AS_OF)
        for cookie in range(200)
        for number in np.random.default_rng(cookie).integers(0, PICTURES // 3, 6).repeat(2) * 3 + [0, 1] * 6
    ]
    planned = plan_run("interactions", as_of_partition(AS_OF), {}, {"test": 1})
    write_table(Tables(str(tmp_path / "tables")), planned, INTERACTIONS.schema, sorted(set(rows)))
    red, green, blue = trained(spark, tmp_path, 1.0)
    with_pairs = red @ green - red @ blue
    red, green, blue = trained(spark, tmp_path, 0.0)
    assert with_pairs > red @ green - red @ blue + 0.3


def test_pairs_need_an_instant(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    file = tmp_path / "larder.toml"
    file.write_text("[vision]\npair_weight = 0.5\n")
    with pytest.raises(SystemExit):
        train_vision.parse_arguments(["--settings", str(file)])
    assert "name the interactions by --as-of" in capsys.readouterr().err
