"""Factors of users folded in beside trained ones: the training's own last step, without the training."""

from __future__ import annotations

import numpy as np
import pytest
from pyspark.sql import SparkSession

from larder.models.als.fold_in import fold_in
from larder.models.als.implicit_als import AlsParameters, train_with_mllib

PARAMETERS = AlsParameters(rank=3, iterations=3, regularisation=0.05, alpha=4.0, seed=1, blocks=2)


def test_it_minimises_what_the_training_minimises() -> None:
    random = np.random.default_rng(0)
    factors, ratings = random.normal(size=(6, 3)).astype(np.float32), np.array([2.0, 1.0])
    found = fold_in(factors, np.array([0, 2]), np.array([4, 1]), ratings, 0.3, 5.0)[0]
    confidence, wanted = np.ones(6), np.zeros(6)
    confidence[[4, 1]] += 5.0 * ratings
    wanted[[4, 1]] = 1

    def loss(user: np.ndarray) -> float:
        return float(confidence @ (wanted - factors @ user) ** 2 + 0.3 * len(ratings) * user @ user)

    steps = [loss(found + step) for step in random.normal(scale=0.01, size=(200, 3))]
    assert loss(found) < min(steps)


def test_a_user_without_ratings_has_no_taste() -> None:
    none = np.zeros(0, np.int64)
    assert fold_in(np.ones((2, 3), np.float32), np.array([0, 0]), none, none, 0.1, 1.0).tolist() == [[0, 0, 0]]


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
    found = fold_in(factors, np.arange(0, 37, 4), numbers, strengths, PARAMETERS.regularisation, PARAMETERS.alpha)
    assert found == pytest.approx(np.array([users[user] for user in rated]), rel=1e-3, abs=1e-4)
