"""Exact neighbours against brute force."""

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

import larder.models.search.exact as module
from larder.models.search.exact import nearest, unit_length
from larder.models.search.topk import top_k_columns


def brute_force(queries: np.ndarray, vectors: np.ndarray, top: int, own: np.ndarray) -> tuple[list, list]:
    indices, scores = [], []
    for query, self_index in zip(queries, own, strict=True):
        ranked = sorted((-float(query @ v), i) for i, v in enumerate(vectors) if i != self_index)[:top]
        missing = min(top, len(vectors)) - len(ranked)
        indices.append([i for _, i in ranked] + [-1] * missing)
        scores.append([-s for s, _ in ranked] + [-np.inf] * missing)
    return indices, scores


# Small whole numbers: sums are exact in any order, and ties are many.
@settings(deadline=None, max_examples=150)
@given(st.data())
def test_as_brute_force_with_ties_tiles_and_exclusions(data: st.DataObject) -> None:
    n, m = data.draw(st.integers(1, 12)), data.draw(st.integers(0, 6))
    top, width = data.draw(st.integers(1, 14)), data.draw(st.integers(1, 3))
    seed, tile = data.draw(st.integers(0, 2**32 - 1)), (data.draw(st.integers(1, 7)), data.draw(st.integers(1, 13)))
    random = np.random.default_rng(seed)
    queries = random.integers(-2, 3, (m, width)).astype(np.float32)
    vectors = random.integers(-2, 3, (n, width)).astype(np.float32)
    own = random.integers(-1, n, m)
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(module, "TILE_QUERIES", tile[0])
        patch.setattr(module, "TILE_VECTORS", tile[1])
        indices, scores = nearest(queries, vectors, top, own)
    expected_indices, expected_scores = brute_force(queries, vectors, top, own)
    assert indices.tolist() == expected_indices
    assert scores.tolist() == expected_scores
    assert (indices.dtype, scores.dtype) == (np.int32, np.float32)


def test_random_vectors_have_themselves_first() -> None:
    vectors = unit_length(np.random.default_rng(1).normal(size=(500, 16)))
    indices, scores = nearest(vectors, vectors, 5)
    assert indices[:, 0].tolist() == list(range(500))
    np.testing.assert_allclose(scores[:, 0], 1, rtol=1e-5)
    assert (np.diff(scores, axis=1) <= 0).all()


def test_without_itself() -> None:
    vectors = unit_length(np.random.default_rng(1).normal(size=(50, 8)))
    indices, _ = nearest(vectors, vectors, 50, np.arange(50))
    assert not (indices == np.arange(50)[:, None]).any()
    assert (indices[:, -1] == -1).all()


def test_no_vectors_at_all() -> None:
    indices, scores = nearest(np.ones((3, 2)), np.ones((0, 2)), 4)
    assert indices.shape == scores.shape == (3, 0)


@pytest.mark.parametrize(
    ("queries", "vectors", "top", "own"),
    [((2, 3), (4, 2), 1, None), ((2,), (4, 2), 1, None), ((2, 2), (4, 2), 0, None), ((2, 2), (4, 2), 1, (3,))],
)
def test_what_does_not_fit(queries: tuple, vectors: tuple, top: int, own: tuple | None) -> None:
    with pytest.raises(ValueError):
        nearest(np.ones(queries), np.ones(vectors), top, None if own is None else np.zeros(own, int))


def test_zero_vectors_stay_zero() -> None:
    assert unit_length(np.array([[0.0, 0.0], [3.0, 4.0]])).tolist() == [[0, 0], pytest.approx([0.6, 0.8])]


def test_columns_of_more_than_a_stride_with_ties_and_forbidden_ones() -> None:
    """Most strides hold nothing that comes in; those are passed over whole."""
    random = np.random.default_rng(5)
    scores = random.integers(-40, 40, (20, 1000)).astype(np.float32)
    scores[:, random.permutation(1000)[:300]] = -np.inf
    scores[7] = -np.inf
    columns, values = top_k_columns(scores, 30)
    order = np.argsort(-scores, axis=1, kind="stable")[:, :30]
    np.testing.assert_array_equal(values, np.take_along_axis(scores, order, 1))
    np.testing.assert_array_equal(columns, np.where(np.isinf(values), -1, order))
