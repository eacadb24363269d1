"""Several networks as one: what it makes of pictures is what its members make of them."""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np
import pytest

from larder.models.vision.ensembles import as_one
from larder.models.vision.network import NetworkHead, build_model, embed, embedding_part

if TYPE_CHECKING:
    import keras

SIZE, EMBEDDING, SHARES = 32, 8, np.array([0.3, 0.7, 0.1], np.float32)
PICTURES = np.random.default_rng(0).integers(0, 256, (6, SIZE, SIZE, 3), dtype=np.uint8)
pytestmark = pytest.mark.end_to_end


def members(*seeds: int) -> list[keras.Model]:
    return [build_model(SIZE, EMBEDDING, SHARES, seed, head=NetworkHead(palette=True, hidden=16)) for seed in seeds]


def test_embeddings_are_joined_and_probabilities_averaged() -> None:
    both = members(1, 2)
    one, other = (embed(embedding_part(member), PICTURES) for member in both)
    expected = [member.predict_on_batch(PICTURES) for member in both]
    ensemble = as_one(both)
    vectors = embed(embedding_part(ensemble), PICTURES)
    np.testing.assert_allclose(vectors, np.hstack([one, other]) / np.sqrt(2), atol=1e-5)
    np.testing.assert_allclose(vectors @ vectors.T, (one @ one.T + other @ other.T) / 2, atol=1e-5)
    np.testing.assert_allclose(ensemble.predict_on_batch(PICTURES), np.mean(expected, axis=0), atol=1e-5)
    assert np.abs(expected[0] - expected[1]).max() > 1e-3  # a mean of what differs


def test_a_saved_one_embeds_alike_and_has_the_same_bytes() -> None:
    from larder.jobs.vision.embedder import loaded
    from larder.jobs.vision.saved_models import model_bytes

    ensemble = as_one(members(1, 2, 3))
    saved = model_bytes(ensemble)
    assert saved == model_bytes(as_one(members(1, 2, 3)))
    vectors = embed(embedding_part(ensemble), PICTURES)
    assert vectors.shape == (len(PICTURES), 3 * EMBEDDING)
    np.testing.assert_allclose(embed(loaded(saved), PICTURES), vectors, atol=1e-5)


def test_of_one_it_is_that_one() -> None:
    (alone,) = members(1)
    assert as_one([alone]) is alone
