"""Averages over workers: by sample, in the type of what is averaged; and the outer step along them."""

from __future__ import annotations

import numpy as np
import pytest

from larder.models.vision.federated import OuterStep, sample_mean, stepped


@pytest.mark.parametrize(
    ("parts", "samples", "mean"),
    [
        ([np.float32([4.0]), np.float32([0.0])], [30, 10], np.float32([30 * 4 / 40])),
        ([np.int64(10), np.int64(4)], [30, 10], np.int64(round((30 * 10 + 10 * 4) / 40))),
        ([np.float32([1.0, 2.0])], [7], np.float32([1.0, 2.0])),
    ],
)
def test_results_count_by_samples(parts: list[np.ndarray], samples: list[int], mean: np.ndarray) -> None:
    found = sample_mean(parts, samples)
    assert found.tolist() == mean.tolist()
    assert found.dtype == mean.dtype


def one(value: float) -> list[np.ndarray]:
    return [np.float32([value])]


def test_a_plain_step_sets_weights_to_their_mean() -> None:
    weights, velocity = stepped(one(7.0), one(3.0), [], [True], OuterStep())
    assert (weights, velocity) == (one(4.0), [])


def test_momentum_goes_on_where_the_last_rounds_went() -> None:
    outer = OuterStep(learning_rate=0.7, momentum=0.9)
    weights, velocity = stepped(one(0.0), one(1.0), [], [True], outer)
    assert weights[0] == pytest.approx(-0.7 * (1 + 0.9 * 1))
    weights, velocity = stepped(weights, one(0.5), velocity, [True], outer)
    speed = 0.9 * 1 + 0.5
    assert velocity[0] == pytest.approx(speed)
    assert weights[0] == pytest.approx(-0.7 * (1 + 0.9) - 0.7 * (0.5 + 0.9 * speed))


def test_statistics_take_their_mean_whatever_the_outer_step() -> None:
    weights, _ = stepped(one(1.0), one(0.9), [], [False], OuterStep(0.7, 0.9))
    assert weights[0] == pytest.approx(1.0 - 0.9)
