"""Retrieval on planted vectors, where the answer is known."""

from __future__ import annotations

import numpy as np
import pytest

from larder.models.evaluation.retrieval_metrics import leaf_precision_at_k
from larder.models.vision.picture_baselines import histogram_vectors, pixel_vectors, projected_vectors

ALL = np.ones(12, bool)
LEAVES = [f"Shop/Leaf {i // 4}" for i in range(12)]  # three leaves of four


def planted(noise: float) -> np.ndarray:
    random = np.random.default_rng(3)
    return np.repeat(np.eye(3), 4, axis=0) + noise * random.normal(size=(12, 3))


def test_planted_leaves_are_found() -> None:
    found = leaf_precision_at_k(planted(0.01), LEAVES, ALL, k=3)
    assert found["precision"] == found["ceiling"] == found["low"] == found["high"] == 1
    assert found["queries"] == 12


def test_a_leaf_smaller_than_k_lowers_the_ceiling() -> None:
    found = leaf_precision_at_k(planted(0.01), LEAVES, ALL, k=6)
    assert found["precision"] == found["ceiling"] == pytest.approx(3 / 6)


def test_equal_vectors_are_as_good_as_chance() -> None:
    found = leaf_precision_at_k(np.ones((12, 2)), LEAVES, ALL, k=11)
    assert found["precision"] == pytest.approx(3 / 11)


def test_only_held_out_products_with_company_ask() -> None:
    leaves = ["a", "a", "b", "", None, "c", "c", "c"]
    mask = np.array([1, 0, 1, 1, 1, 1, 0, 0], bool)
    assert leaf_precision_at_k(np.eye(8), leaves, mask, k=2)["queries"] == 2


def test_length_does_not_matter() -> None:
    scaled = planted(0.3) * np.arange(1, 13)[:, None]
    assert leaf_precision_at_k(scaled, LEAVES, ALL, k=3) == leaf_precision_at_k(planted(0.3), LEAVES, ALL, k=3)


def test_the_interval_holds_the_mean_and_follows_the_seed() -> None:
    one = leaf_precision_at_k(planted(0.9), LEAVES, ALL, k=3, seed=1)
    assert one["low"] <= one["precision"] <= one["high"]
    assert one == leaf_precision_at_k(planted(0.9), LEAVES, ALL, k=3, seed=1)


def test_nobody_to_ask() -> None:
    found = leaf_precision_at_k(np.eye(2), ["a", "b"], np.ones(2, bool))
    assert found["queries"] == 0
    assert np.isnan(found["precision"])


def test_pixels_are_compared_without_their_brightness() -> None:
    picture = np.arange(12, dtype=np.uint8)
    one, other = pixel_vectors([picture.tobytes(), (picture + 100).tobytes()])
    np.testing.assert_allclose(one, other, atol=1e-6)
    assert np.linalg.norm(one) == pytest.approx(1)


def test_a_histogram_sees_colours_and_not_where_they_lie() -> None:
    red, blue = bytes((200, 10, 10)), bytes((10, 10, 200))
    one, turned, other = histogram_vectors([red * 3 + blue, blue + red * 3, blue * 4])
    np.testing.assert_array_equal(one, turned)
    assert one @ other == pytest.approx(np.sqrt(1 / 4))


def test_a_projection_keeps_what_is_alike_alike() -> None:
    random = np.random.default_rng(5)
    picture = random.integers(0, 256, 768, dtype=np.uint8)
    near = np.clip(picture + random.normal(0, 5, 768), 0, 255).astype(np.uint8)
    far = random.integers(0, 256, 768, dtype=np.uint8)
    found = projected_vectors([picture.tobytes(), near.tobytes(), far.tobytes()], 64, seed=1)
    assert found.shape == (3, 64)
    assert found[0] @ found[1] > 0.9 > 0.5 > found[0] @ found[2]
    np.testing.assert_array_equal(found[:2], projected_vectors([picture.tobytes(), near.tobytes()], 64, seed=1))
