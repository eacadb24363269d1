"""The files of a run of the table `vision_model`, read."""

from __future__ import annotations

import json
from typing import Any

from larder.jobs.vision.saved_models import MODEL_FILE
from larder.storage import Manifest, Tables

TRAINING_FILE = "training.json"
ENSEMBLE = "ensemble"  # the parameter that says how many networks were saved as one


def model_bytes_of(tables: Tables, trained: Manifest) -> bytes:
    """Returns the .keras file of a run of `vision_model`."""
    return tables.read(trained, MODEL_FILE)


def training_of(tables: Tables, trained: Manifest) -> dict[str, Any]:
    """Returns training.json of a run of `vision_model`: labels, loss (a figure a round) and a summary.

    That of an ensemble has `members`, each with a loss of its own.
    """
    return dict(json.loads(tables.read(trained, TRAINING_FILE)))


def floats_of(trained: Manifest) -> int:
    """Returns the number of floats in an embedding by the model of a run of `vision_model`."""
    return int(trained.parameters["embedding"] * trained.parameters.get(ENSEMBLE, 1))
