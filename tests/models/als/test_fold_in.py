"""Factors of users folded in beside trained ones: the training's own last step, without the training."""

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from pyspark.sql import SparkSession

from larder.models.als.als_parameters import AlsParameters
from larder.models.als.fold_in import FoldIn
from larder.models.als.mllib_als import train_with_mllib

PARAMETERS = AlsParameters(rank=3, iterations=3, regularisation=0.05, alpha=4.0, seed=1, blocks=2)


def test_it_minimises_what_the_training_minimises() -> None:
    random = np.random.default_rng(0)
    factors, ratings = random.normal(size=(6, 3)).astype(np.float32), np.array([2.0, 1.0])
    found = FoldIn(factors, 0.3, 5.0).users(np.array([0, 2]), np.array([4, 1]), ratings)[0]
    confidence, wanted = np.ones(6), np.zeros(6)
    confidence[[4, 1]] += 5.0 * ratings
    wanted[[4, 1]] = 1

    def loss(user: np.ndarray) -> float:
        return float(confidence @ (wanted - factors @ user) ** 2 + 0.3 * len(ratings) * user @ user)

    steps = [loss(found + step) for step in random.normal(scale=0.01, size=(200, 3))]
    assert loss(found) < min(steps)


def test_a_user_without_ratings_has_no_taste() -> None:
    none = np.zeros(0, np.int64)
    solver = FoldIn(np.ones((2, 3), np.float32), 0.1, 1.0)
    assert solver.users(np.array([0, 0]), none, none).tolist() == [[0, 0, 0]]


def interactions(random: np.random.Generator, users: int, items: int) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    offsets = np.cumsum([0, *random.integers(0, 9, users)])
    return offsets, random.integers(0, items, offsets[-1]), random.uniform(0.1, 30, offsets[-1])


@settings(deadline=None)
@given(st.integers(0, 2**32 - 1), st.integers(1, 24), st.sampled_from([0.0, 0.5, 1.0]))
def test_users_are_those_of_a_dense_solution(seed: int, rank: int, scaling: float) -> None:
    random = np.random.default_rng(seed)
    factors = random.normal(size=(30, rank)).astype(np.float32)
    offsets, items, strengths = interactions(random, 12, 30)
    found = FoldIn(factors, 0.3, 7.0, scaling).users(offsets, items, strengths)
    y = factors.astype(np.float64)
    for user in range(12):
        rated, weights = y[items[offsets[user] : offsets[user + 1]]], 7 * strengths[offsets[user] : offsets[user + 1]]
        left = y.T @ y + (rated.T * weights) @ rated + 0.3 * max(1, len(rated)) ** scaling * np.eye(rank)
        assert found[user] == pytest.approx(np.linalg.solve(left, (1 + weights) @ rated), rel=1e-4, abs=1e-5)


def test_same_bytes_whoever_else_is_solved() -> None:
    random = np.random.default_rng(2)
    solver = FoldIn(random.normal(size=(50, 17)).astype(np.float32), 0.1, 5.0)
    offsets, items, strengths = interactions(random, 40, 50)
    together = solver.users(offsets, items, strengths)
    for user in range(40):
        own = slice(offsets[user], offsets[user + 1])
        alone = solver.users(offsets[user : user + 2] - offsets[user], items[own], strengths[own])
        assert alone.tobytes() == together[user : user + 1].tobytes()


def test_what_nothing_determines_is_zero_and_finite() -> None:
    """Without regularisation, and with fewer items than factors, many users fit as well."""
    found = FoldIn(np.float32([[1, 0, 0], [0, 2, 0]]), 0.0, 1.0).users(np.array([0, 1]), np.array([0]), np.ones(1))
    assert found.tolist() == [[pytest.approx(1), 0, 0]]


@pytest.mark.end_to_end
def test_it_gives_what_the_training_gave(spark: SparkSession) -> None:
    random = np.random.default_rng(1)
    rated = {user: random.choice(12, 4, replace=False).tolist() for user in range(9)}
    rows = [(user, f"p{item:02d}", float(1 + item % 3)) for user, items in rated.items() for item in items]
    ratings = spark.createDataFrame(rows, "cookie_key long, product_id string, _rating float").coalesce(1)
    users, items = (dict(map(tuple, frame.collect())) for frame in train_with_mllib(ratings, PARAMETERS))
    number_of = {id_: number for number, id_ in enumerate(sorted(items))}
    factors = np.array([items[id_] for id_ in sorted(items)], np.float32)
    numbers = np.array([number_of[id_] for _, id_, _ in rows])
    strengths = np.array([rating for _, _, rating in rows])
    solver = FoldIn(factors, PARAMETERS.regularisation, PARAMETERS.alpha)
    found = solver.users(np.arange(0, 37, 4), numbers, strengths)
    assert found == pytest.approx(np.array([users[user] for user in rated]), rel=1e-3, abs=1e-4)
