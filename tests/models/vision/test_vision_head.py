"""What lies between a network's features and the embedding: colours, a layer, and what training leaves out."""

from __future__ import annotations

import json

import numpy as np
import pytest

from larder.models.vision.mixed_precision import in_precision
from larder.models.vision.network import NetworkHead, build_model, embed, embedding_part
from larder.models.vision.picture_baselines import histogram_vectors

SIZE, SHARES = 32, np.array([0.3, 0.7], np.float32)
ALL = NetworkHead(palette=True, hidden=16, dropout=0.3)
pytestmark = pytest.mark.end_to_end


@pytest.fixture(scope="module")
def pictures() -> np.ndarray:
    drawn = np.random.default_rng(0).integers(0, 256, (6, SIZE, SIZE, 3), dtype=np.uint8)
    drawn[0] = np.arange(SIZE * SIZE).reshape(SIZE, SIZE, 1) // 4  # every brightness, the edges of all bins among them
    return drawn


def test_colours_are_counted_as_the_histogram_counts_them(pictures: np.ndarray) -> None:
    import keras

    from larder.models.vision.palette import SPREAD

    model = build_model(SIZE, 8, SHARES, 1, head=NetworkHead(palette=True))
    found = keras.Model(model.inputs, model.get_layer("palette").output).predict(pictures, verbose=0)
    expected = histogram_vectors([picture.tobytes() for picture in pictures])
    np.testing.assert_allclose(found / SPREAD, expected, atol=1e-6)


def test_colours_are_counted_where_keras_would_compile_all_else(pictures: np.ndarray) -> None:
    """As it does where it sees a GPU, if every layer says that it can be."""
    model = build_model(SIZE, 8, SHARES, 1, head=NetworkHead(palette=True, augmented=False))
    assert [layer.name for layer in model.layers if not layer.supports_jit] == ["palette"]


def test_a_saved_model_has_its_head_and_embeds_alike(pictures: np.ndarray) -> None:
    from larder.jobs.vision.embedder import loaded
    from larder.jobs.vision.saved_models import model_bytes

    model = build_model(SIZE, 8, SHARES, 1, head=ALL)
    saved = model_bytes(model)
    assert saved == model_bytes(build_model(SIZE, 8, SHARES, 1, head=ALL))
    vectors = embed(embedding_part(model), pictures)
    np.testing.assert_allclose(embed(loaded(saved), pictures), vectors, atol=1e-6)  # nothing is left out
    assert model.get_layer("hidden").units == 16
    assert {"palette", "hidden", "thinned"}.isdisjoint(layer.name for layer in build_model(SIZE, 8, SHARES, 1).layers)


def test_training_need_not_move_pictures() -> None:
    names = {layer.name for layer in build_model(SIZE, 8, SHARES, 1, head=NetworkHead(augmented=False)).layers}
    assert {"moved", "relit"}.isdisjoint(names)
    assert {"moved", "relit"} < {layer.name for layer in build_model(SIZE, 8, SHARES, 1).layers}


def test_colours_are_counted_in_full_precision() -> None:
    text = build_model(SIZE, 8, SHARES, 1, head=ALL).to_json()
    layers = {
        layer["name"]: json.dumps(layer)
        for layer in json.loads(in_precision(text, "mixed_bfloat16"))["config"]["layers"]
    }
    assert "mixed_bfloat16" not in layers["palette"] and "mixed_bfloat16" in layers["hidden"]
