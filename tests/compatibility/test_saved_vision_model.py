"""A vision model that an earlier build saved is read, and this build saves the same bytes."""

from __future__ import annotations

import io
import json
import tempfile
import zipfile
from pathlib import Path

import numpy as np
import pytest

keras = pytest.importorskip("keras")

from larder.jobs.vision.saved_models import model_bytes, model_of  # noqa: E402
from larder.models.vision.backbones import Backbone  # noqa: E402
from larder.models.vision.keras_files import NewerKerasError, check_keras_version  # noqa: E402
from larder.models.vision.network import NetworkHead, build_model, embed, embedding_part  # noqa: E402

# Saved by version 0.1.0, whose modules had other names: a network of two filters, and both of Larder's own layers.
SAVED = Path(__file__).parent / "vision_training.keras"
SAVED_BY = "3.15.1"
# What that build computed for `pictures()`.
EMBEDDINGS = [
    [0.5724416971206665, 0.43872928619384766, 0.5564978718757629, 0.41247713565826416],
    [0.4911193251609802, 0.4930189549922943, 0.5654251575469971, 0.4427510201931],
    [0.48155999183654785, 0.4988531470298767, 0.5660614371299744, 0.44589242339134216],
]


def pictures() -> np.ndarray:
    return np.random.default_rng(3).integers(0, 256, (3, 16, 16, 3), np.uint8)


def with_version(version: str) -> bytes:
    """The saved file, as if another Keras had saved it."""
    out = io.BytesIO()
    with zipfile.ZipFile(SAVED) as before, zipfile.ZipFile(out, "w") as after:
        for name in before.namelist():
            data = before.read(name)
            if name == "metadata.json":
                data = json.dumps({**json.loads(data), "keras_version": version}).encode()
            after.writestr(name, data)
    return out.getvalue()


def tiny_network() -> bytes:
    pixels = keras.Input((16, 16, 3), name="bodyin")
    features = keras.layers.Conv2D(2, 3, strides=4, name="c")(pixels)
    with tempfile.TemporaryDirectory() as folder:
        path = Path(folder) / "tiny.keras"
        keras.Model(pixels, features).save(path)
        return path.read_bytes()


@pytest.fixture(scope="module")
def model() -> keras.Model:
    if tuple(map(int, keras.__version__.split(".")[:2])) < (3, 15):
        pytest.skip(f"saved by Keras {SAVED_BY}")
    return model_of(SAVED.read_bytes())


def test_a_model_of_an_earlier_build_computes_what_it_did(model: keras.Model) -> None:
    assert {"palette", "paired"} <= {layer.name for layer in model.layers}
    np.testing.assert_allclose(embed(embedding_part(model), pictures()), EMBEDDINGS, atol=1e-5)


def test_the_earlier_build_reads_what_this_one_saves(model: keras.Model) -> None:
    """The same network built anew, with the same weights, is the same bytes: what reads one reads the other."""
    if keras.__version__ != SAVED_BY:
        pytest.skip("another Keras writes other bytes")
    shares = np.array([0.2, 0.5, 0.3], np.float32)
    head = NetworkHead(palette=True, hidden=3, dropout=0.1)
    built = build_model(16, 4, shares, 7, Backbone("tiny.keras", tiny_network()), (0.5, 0.2), head)
    built.set_weights(model.get_weights())
    assert model_bytes(built) == SAVED.read_bytes()


@pytest.mark.parametrize("version", ["99.0.0", "4.0", f"{keras.__version__.partition('.')[0]}.999.0.dev1"])
def test_a_file_of_a_newer_keras_is_refused_in_words(version: str) -> None:
    with pytest.raises(NewerKerasError, match=rf"model.keras was saved by Keras {version}, and Keras"):
        model_of(with_version(version), "model.keras")


@pytest.mark.parametrize("version", ["2.15.0", "3.0.0", keras.__version__, f"{keras.__version__}.999"])
def test_a_file_of_this_or_an_older_keras_passes(version: str) -> None:
    check_keras_version(with_version(version), "model.keras")


@pytest.mark.parametrize("data", [b"", b"PK\3\4 and no more", with_version("unknown")])
def test_a_file_without_a_version_is_left_to_its_reader(data: bytes) -> None:
    check_keras_version(data, "model.keras")
