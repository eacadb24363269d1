"""A model as a .keras file for inference: without optimizer, and the same bytes for the same weights."""

from __future__ import annotations

import importlib
import io
import json
import tempfile
import zipfile
from pathlib import Path
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    import keras

MODEL_FILE = "model.keras"
EPOCH_OF_ZIP = (1980, 1, 1, 0, 0, 0)
METADATA, DESCRIPTION = "metadata.json", "config.json"
SHARED = "shared_object_id"
LAYERS = {
    "PairedBatch": "larder.models.vision.contrastive",
    "Palette": "larder.models.vision.palette",
}  # of ours, and where they are


def model_bytes(model: keras.Model) -> bytes:
    """The file's bytes. Keras writes the time of day into it, and where in memory shared objects lay."""
    import keras

    bare = keras.Model(model.inputs, model.outputs, name=model.name)  # never compiled
    with tempfile.TemporaryDirectory() as folder:
        path = Path(folder) / MODEL_FILE
        bare.save(path)
        return _timeless(path.read_bytes())


def model_of(data: bytes) -> keras.Model:
    """The model of such a file, not compiled."""
    import keras

    with zipfile.ZipFile(io.BytesIO(data)) as archive:
        know_layers(archive.read(DESCRIPTION).decode())
    with tempfile.TemporaryDirectory() as folder:
        path = Path(folder) / MODEL_FILE
        path.write_bytes(data)
        return keras.models.load_model(path, compile=False)


def know_layers(description: str) -> None:
    """Imports those of our layers that a model's description names, without which Keras cannot build it."""
    for layer, module in LAYERS.items():
        if layer in description:
            importlib.import_module(module)


def _timeless(archive: bytes) -> bytes:
    out = io.BytesIO()
    with zipfile.ZipFile(io.BytesIO(archive)) as before, zipfile.ZipFile(out, "w") as after:
        for name in sorted(before.namelist()):
            data = before.read(name)
            if name == METADATA:
                data = json.dumps({**json.loads(data), "date_saved": ""}, sort_keys=True).encode()
            elif name == DESCRIPTION:
                data = json.dumps(_renumbered(json.loads(data), {})).encode()
            after.writestr(zipfile.ZipInfo(name, EPOCH_OF_ZIP), data)
    return out.getvalue()


def _renumbered(value: Any, numbers: dict[int, int]) -> Any:
    """Shared objects are numbered as they come."""
    if isinstance(value, list):
        return [_renumbered(each, numbers) for each in value]
    if not isinstance(value, dict):
        return value
    return {
        name: numbers.setdefault(each, len(numbers)) if name == SHARED else _renumbered(each, numbers)
        for name, each in value.items()
    }
