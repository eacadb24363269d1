"""A known network as the body: of keras.applications or a file's, frozen or trained, prepared as its family wants."""

from __future__ import annotations

import json
import subprocess
import sys
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from larder.models.vision.backbones import (
    BLUE_FIRST,
    BYTES,
    STANDARD,
    SYMMETRIC,
    Backbone,
    UnknownBackboneError,
    UnusableBackboneError,
    _wanted,
)
from larder.models.vision.mixed_precision import in_precision

SIZE, SHARES = 32, np.array([0.3, 0.7], np.float32)
NAME = "MobileNetV3Small"
OUT_OF_A_FILE = """
import sys
import keras, numpy as np
from larder.models.vision.network import embed, embedding_part
part = embedding_part(keras.models.load_model(sys.argv[1], compile=False))
np.save(sys.argv[2], embed(part, np.load(sys.argv[3])))
"""


def built(backbone: Backbone | None) -> Any:
    from larder.models.vision.network import build_model

    return build_model(SIZE, 8, SHARES, 1, backbone)


def pictures() -> np.ndarray:
    return np.random.default_rng(0).integers(0, 256, (6, SIZE, SIZE, 3), dtype=np.uint8)


@pytest.mark.parametrize(
    ("name", "wanted"),
    [
        ("MobileNetV3Small", BYTES),
        ("MobileNetV2", SYMMETRIC),
        ("MobileNet", SYMMETRIC),
        ("ResNet50", BLUE_FIRST),
        ("ResNet50V2", SYMMETRIC),
        ("DenseNet121", STANDARD),
        ("EfficientNetV2B0", BYTES),
        ("VGG16", BLUE_FIRST),
    ],
)
def test_each_family_has_its_pixels(name: str, wanted: str) -> None:
    assert _wanted(name) == wanted


@pytest.fixture(scope="module")
def file(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Weights of a network that something has been done to."""
    keras = pytest.importorskip("keras")
    keras.utils.set_random_seed(5)
    network = keras.applications.MobileNetV3Small(include_top=False, weights=None, input_shape=(SIZE, SIZE, 3))
    path = tmp_path_factory.mktemp("weights") / "small.weights.h5"
    network.save_weights(path)
    return path


@pytest.mark.end_to_end
def test_weights_come_from_a_file_and_may_be_frozen(file: Path) -> None:
    frozen = built(Backbone(NAME, file.read_bytes(), str(file), frozen=True))
    tuned = built(Backbone(NAME, file.read_bytes(), str(file)))
    fresh = built(Backbone(NAME))
    assert len(frozen.trainable_weights) == 4 < len(tuned.trainable_weights) == len(fresh.trainable_weights)
    loaded, alike, other = (model.get_layer(NAME).get_weights() for model in (frozen, tuned, fresh))
    assert all(np.array_equal(one, two) for one, two in zip(loaded, alike, strict=True))
    assert not all(np.array_equal(one, two) for one, two in zip(loaded, other, strict=True))


@pytest.mark.end_to_end
@pytest.mark.parametrize("name", ["small", NAME])
def test_two_models_of_a_process_have_the_same_bytes_and_another_process_embeds_alike(
    file: Path, tmp_path: Path, name: str
) -> None:
    from larder.jobs.vision.saved_models import model_bytes
    from larder.models.vision.network import embed, embedding_part

    backbone = Backbone(NAME, file.read_bytes(), str(file), frozen=True) if name == NAME else None
    model = built(backbone)
    saved = model_bytes(model)
    assert saved == model_bytes(built(backbone))
    (tmp_path / "model.keras").write_bytes(saved)
    np.save(tmp_path / "pictures.npy", pictures())
    files = [str(tmp_path / name) for name in ("model.keras", "vectors.npy", "pictures.npy")]
    subprocess.run([sys.executable, "-c", OUT_OF_A_FILE, *files], check=True, capture_output=True)
    np.testing.assert_allclose(np.load(files[1]), embed(embedding_part(model), pictures()), atol=1e-5)


@pytest.mark.end_to_end
def test_pictures_are_prepared_in_full_precision() -> None:
    """Half precision has eight bits, and knows no brightness between 200 and 201."""
    description = json.loads(in_precision(built(Backbone("VGG16")).to_json(), "mixed_bfloat16"))
    layers = [layer for layer in description["config"]["layers"] if layer["class_name"] != "Functional"]
    prepared = layers[: next(place for place, layer in enumerate(layers) if layer["name"] == "mean")]
    assert {"bytes", "standard"} < {layer["name"] for layer in prepared}
    assert "mixed_bfloat16" not in json.dumps(prepared)
    assert "mixed_bfloat16" in json.dumps(description)


@pytest.mark.end_to_end
@pytest.mark.parametrize("backbone", [None, Backbone(NAME)])
def test_training_in_half_precision_learns_and_keeps_full_weights(backbone: Backbone | None) -> None:
    import keras

    from larder.models.vision.network import compile_model

    model = keras.models.model_from_json(in_precision(built(backbone).to_json(), "mixed_bfloat16"))
    compile_model(model, 0.01)
    bright = np.arange(64) % 2
    pixels = np.broadcast_to((40 + 170 * bright)[:, None, None, None], (64, SIZE, SIZE, 3)).astype(np.uint8)
    losses = model.fit(pixels, np.eye(2)[bright], epochs=4, batch_size=16, verbose=0).history["loss"]
    assert losses[-1] < losses[0]
    assert {weight.dtype for weight in model.get_weights()} == {np.dtype(np.float32)}
    assert any(layer.compute_dtype == "bfloat16" for layer in model.layers)
    assert model.get_layer("embedding").compute_dtype == "float32"


def saved_network(path: Path, side: int | None = None, pooled: bool = False) -> bytes:
    """A .keras file of a network that takes 0 to 255: the mean colour of each quarter, or of all."""
    import keras

    pictures = keras.Input((side, side, 3), name="mean")  # as a layer of ours is called
    quarters = keras.layers.AveragePooling2D(SIZE // 2, name="embedding")(keras.layers.Rescaling(1 / 255)(pictures))
    made = keras.layers.Conv2D(3, 1, kernel_initializer="orthogonal", name="labels")(quarters)
    made = keras.layers.GlobalAveragePooling2D()(made) if pooled else made
    network = keras.Model(pictures, made, name="vision")
    network.save(path)
    return path.read_bytes()


@pytest.mark.end_to_end
@pytest.mark.parametrize("pooled", [False, True], ids=["maps", "features"])
def test_a_file_may_hold_any_network(tmp_path: Path, pooled: bool) -> None:
    import keras

    from larder.jobs.vision.embedder import loaded
    from larder.jobs.vision.saved_models import model_bytes
    from larder.models.vision.network import embed

    path = tmp_path / "any.keras"
    backbone = Backbone(str(path), saved_network(path, pooled=pooled), str(path), frozen=True)
    model = built(backbone)
    assert model_bytes(model) == model_bytes(built(backbone))
    assert len(model.trainable_weights) == 4 < len(built(Backbone(str(path), backbone.weights)).trainable_weights)
    maps = keras.models.load_model(path).predict(pictures().astype(np.float32), verbose=0)
    features = maps if pooled else np.concatenate([maps.mean(axis=(1, 2)), maps.max(axis=(1, 2))], axis=1)
    kernel, bias = model.get_layer("directions").get_weights()
    expected = features @ kernel + bias
    expected /= np.linalg.norm(expected, axis=1, keepdims=True)
    np.testing.assert_allclose(embed(loaded(model_bytes(model)), pictures()), expected, atol=1e-5)


@pytest.mark.end_to_end
def test_a_file_that_is_no_body_is_told(tmp_path: Path) -> None:
    path = tmp_path / "other.keras"
    with pytest.raises(UnusableBackboneError, match="cannot be read"):
        built(Backbone(str(path), b"PK no network"))
    large = saved_network(path, side=2 * SIZE)
    with pytest.raises(UnusableBackboneError, match="does not take pictures of 32 x 32 pixels"):
        built(Backbone(str(path), large))


def test_another_name_is_told() -> None:
    pytest.importorskip("keras")
    with pytest.raises(UnknownBackboneError, match="MobileNetV3Small"):
        built(Backbone("MobileNetV9"))
