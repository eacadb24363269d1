"""Lists with few of each category, against brute force."""

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from larder.models.ranking.mmr import mmr_lists

CATEGORIES = np.array([0, 0, 0, 1, 1, 2, -1, -1], np.int32)


@st.composite
def asked(draw: st.DrawFn) -> tuple[list[int], list[float], int, int, float]:
    """Candidates, best first, with whole-number scores; n; how many of a category; penalty."""
    items = draw(st.lists(st.integers(0, 7), unique=True, max_size=8))
    scores = sorted((draw(st.integers(-5, 5)) for _ in items), reverse=True)
    n, most = draw(st.integers(1, 6)), draw(st.integers(0, 3))
    return items, [float(score) for score in scores], n, most, draw(st.sampled_from([0.0, 0.5, 1.0, 4.0]))


def brute_force(items: list[int], scores: list[float], n: int, most: int, penalty: float) -> list[tuple[int, float]]:
    chosen: list[tuple[int, float]] = []
    left = dict(zip(items, scores, strict=True))
    while left and len(chosen) < n:
        alike = {item: sum(CATEGORIES[item] == CATEGORIES[other] >= 0 for other, _ in chosen) for item in left}
        may = {item: score - penalty * alike[item] for item, score in left.items() if not most or alike[item] < most}
        if not may:
            break
        best = max(may, key=lambda item: may[item])  # the first of equals
        chosen.append((best, may[best]))
        del left[best]
    return chosen


@given(asked())
def test_lists_are_those_of_brute_force(question: tuple[list[int], list[float], int, int, float]) -> None:
    items, scores, n, most, penalty = question
    padded = np.array([[*items, -1, -1]], np.int32)
    values = np.array([[*scores, -np.inf, 0]], np.float32)
    found, adjusted = mmr_lists(padded, values, CATEGORIES, n, most, penalty)
    expected = brute_force(items, scores, n, most, penalty)
    padding = n - len(expected)
    assert found.tolist() == [[item for item, _ in expected] + [-1] * padding]
    assert adjusted.tolist() == [[score for _, score in expected] + [0] * padding]
    assert (np.diff([score for _, score in expected]) <= 0).all()


def test_without_rules_the_best_stay_as_they_are() -> None:
    items, scores = mmr_lists(np.array([[2, 0, 1]], np.int32), np.array([[3, 2, 1]], np.float32), CATEGORIES, 2)
    assert (items.tolist(), scores.tolist()) == ([[2, 0]], [[3, 2]])


def test_each_user_begins_anew() -> None:
    items = np.array([[0, 1, 3], [1, 2, 4]], np.int32)
    found, _ = mmr_lists(items, np.ones((2, 3), np.float32), CATEGORIES, 3, most=1)
    assert found.tolist() == [[0, 3, -1], [1, 4, -1]]


@pytest.mark.parametrize("shape", [(0, 3), (2, 0)])
def test_nobody_and_nothing(shape: tuple[int, int]) -> None:
    found, scores = mmr_lists(np.zeros(shape, np.int32), np.zeros(shape, np.float32), CATEGORIES, 2)
    assert found.shape == scores.shape == (shape[0], 2)
    assert (found == -1).all()
