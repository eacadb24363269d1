"""The page of held-out pictures with their nearest: whole in itself, and the same for the same input."""

from __future__ import annotations

import re

import numpy as np
import pyarrow as pa
import pytest

from larder.jobs.evaluation.picture_evaluation import EMBEDDING, PictureMetrics, most_pictures, picture_metrics
from larder.models.vision.embeddings import packed
from larder.settings import EvaluationSettings

KINDS, EACH, SIDE = 4, 12, 16
SHARES = (EMBEDDING, "colour histogram", "raw pixels", "random projection")


@pytest.fixture(scope="module")
def table() -> pa.Table:
    """Four kinds of pictures that pixels do not tell apart, and embeddings do; and a fifth kind, of one picture."""
    random = np.random.default_rng(3)
    kinds = np.append(np.arange(KINDS * EACH) % KINDS, KINDS)
    pixels = random.integers(0, 256, (len(kinds), SIDE * SIDE * 3), dtype=np.uint8)
    vectors = np.eye(KINDS + 1)[kinds] + 0.1 * random.normal(size=(len(kinds), KINDS + 1))
    return pa.table(
        {
            "product_id": [f"<p{number:02d}>" for number in range(len(kinds))],
            "category": [f"Shop & Co/Kind {kind}" for kind in kinds],
            "held_out": np.arange(len(kinds)) % 3 == 0,
            "pixels": [picture.tobytes() for picture in pixels],
            "embedding": packed(vectors / np.linalg.norm(vectors, axis=1, keepdims=True)),
        }
    )


@pytest.fixture(scope="module")
def found(table: pa.Table) -> PictureMetrics:
    return picture_metrics(table, EvaluationSettings(bootstrap=50))


def test_what_is_learnt_beats_what_is_not(found: PictureMetrics) -> None:
    assert tuple(found.shares) == SHARES
    ours, *others = (found.shares[name] for name in SHARES)
    assert ours["precision"] == ours["ceiling"] == 1
    assert all(other["high"] < 0.6 < ours["low"] for other in others)
    assert ours["queries"] == 16  # the only one of its kind is not asked


def test_the_page_needs_nothing_else(found: PictureMetrics) -> None:
    assert set(re.findall(r'src="(\w+):', found.page)) == {"data"}
    assert "http" not in found.page and "<script" not in found.page
    assert "Shop &amp; Co/Kind 1" in found.page and "&lt;p" in found.page and "<p0" not in found.page


def test_a_query_of_each_kind_is_shown_with_ten_neighbours_each_way(found: PictureMetrics) -> None:
    assert found.page.count("<section>") == KINDS
    assert found.page.count("<img") == KINDS * (1 + 2 * 10)
    assert found.page.count("10 of 10") == KINDS


def test_the_same_input_gives_the_same_page(table: pa.Table, found: PictureMetrics) -> None:
    assert picture_metrics(table, EvaluationSettings(bootstrap=50)) == found


@pytest.mark.parametrize(("image_size", "most"), [(64, 10_000), (224, 1_783), (512, 341)])
def test_the_driver_holds_fewer_of_large_pictures(image_size: int, most: int) -> None:
    assert most_pictures(image_size, EvaluationSettings()) == most
    assert most_pictures(image_size, EvaluationSettings(pictures=300)) == 300


def test_nothing_to_look_at(table: pa.Table) -> None:
    assert picture_metrics(table.slice(0, 0), EvaluationSettings()) == PictureMetrics()
