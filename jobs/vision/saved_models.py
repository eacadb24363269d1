"""A model as a .keras file for inference: without its optimizer, and with the same bytes for the same weights."""

from __future__ import annotations

import importlib
import io
import json
import tempfile
import zipfile
from pathlib import Path
from typing import TYPE_CHECKING, Any

from larder.models.vision.keras_files import DESCRIPTION, METADATA, check_keras_version

if TYPE_CHECKING:
    import keras

MODEL_FILE = "model.keras"
EPOCH_OF_ZIP = (1980, 1, 1, 0, 0, 0)
SHARED = "shared_object_id"
# The modules of Larder's own layers, by class name.
LAYERS = {
    "PairedBatch": "larder.models.vision.contrastive",
    "Palette": "larder.models.vision.palette",
}
# What a file says of their modules. Keras finds a registered layer by `registered_name` and never imports this, so it
# stays what it was when the format began: a module that moves must not change a model's bytes.
STORED_MODULES = {
    "larder.models.vision.contrastive": "models.paired_batch",
    "larder.models.vision.palette": "models.palette",
}


def model_bytes(model: keras.Model) -> bytes:
    """Returns the bytes of the model's .keras file.

    Keras writes the time of day and the addresses of shared objects into it: both are replaced by constants.
    """
    import keras

    bare = keras.Model(model.inputs, model.outputs, name=model.name)  # without what `compile` adds
    with tempfile.TemporaryDirectory() as folder:
        path = Path(folder) / MODEL_FILE
        bare.save(path)
        return _reproducible(path.read_bytes())


def model_of(data: bytes, name: str = "the vision model") -> keras.Model:
    """Returns the model, not compiled, of a .keras file's bytes. Raises NewerKerasError, which calls it `name`."""
    import keras

    check_keras_version(data, name)
    with zipfile.ZipFile(io.BytesIO(data)) as archive:
        import_layers(archive.read(DESCRIPTION).decode())
    with tempfile.TemporaryDirectory() as folder:
        path = Path(folder) / MODEL_FILE
        path.write_bytes(data)
        return keras.models.load_model(path, compile=False)


def import_layers(description: str) -> None:
    """Imports the layers of Larder that a model's JSON description names: Keras cannot build it without them."""
    for layer, module in LAYERS.items():
        if layer in description:
            importlib.import_module(module)


def _reproducible(archive: bytes) -> bytes:
    out = io.BytesIO()
    with zipfile.ZipFile(io.BytesIO(archive)) as before, zipfile.ZipFile(out, "w") as after:
        for name in sorted(before.namelist()):
            data = before.read(name)
            if name == METADATA:
                data = json.dumps({**json.loads(data), "date_saved": ""}, sort_keys=True).encode()
            elif name == DESCRIPTION:
                data = json.dumps(_canonical(json.loads(data), {})).encode()
            after.writestr(zipfile.ZipInfo(name, EPOCH_OF_ZIP), data)
    return out.getvalue()


def _canonical(value: Any, numbers: dict[int, int]) -> Any:
    """The description with shared objects numbered in order of appearance, and STORED_MODULES for Larder's modules."""
    if isinstance(value, list):
        return [_canonical(each, numbers) for each in value]
    if not isinstance(value, dict):
        return value
    changed: dict[str, Any] = {}
    for name, each in value.items():
        if name == SHARED:
            changed[name] = numbers.setdefault(each, len(numbers))
        elif name == "module" and each in STORED_MODULES:
            changed[name] = STORED_MODULES[each]
        else:
            changed[name] = _canonical(each, numbers)
    return changed
