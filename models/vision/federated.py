"""Federated averaging: workers' results are averaged by samples, and the outer optimizer steps along the mean."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
import numpy.typing as npt

Array = npt.NDArray[Any]
Arrays = list[Array]


class DivergedError(ArithmeticError):
    """The loss or weights of a training are no longer finite; the message names the settings to lower."""


@dataclass(frozen=True)
class OuterStep:
    """The outer optimizer: a step along the mean delta with Nesterov momentum, as in DiLoCo (arXiv 2311.08105).

    With learning rate 1 and no momentum, weights become their mean: federated averaging (McMahan et al. 2017).
    """

    learning_rate: float = 1.0
    momentum: float = 0.0


def refuse_divergence(when: str, losses: Sequence[float], weights: Arrays) -> None:
    """Raises DivergedError if a loss or weight is not finite. `when` says at what point of the training."""
    if not all(np.isfinite(values).all() for values in (np.asarray(losses), *weights)):
        raise DivergedError(
            f"the training has diverged in {when} (loss {', '.join(f'{loss:g}' for loss in losses)}); "
            "set vision.learning_rate lower, or vision.outer_learning_rate or vision.outer_momentum where they are set"
        )


def sample_mean(parts: Iterable[Any], samples: Sequence[int]) -> Array:
    """Returns the mean of arrays, weighted by samples, in their type: an optimizer's step count stays an integer."""
    values, total = [np.asarray(part) for part in parts], sum(samples)
    kind, mean = values[0].dtype, np.zeros(values[0].shape)
    for value, count in zip(values, samples, strict=True):
        mean += value.astype(np.float64) * (count / total)
    return np.asarray(np.rint(mean) if np.issubdtype(kind, np.integer) else mean, kind)


def stepped(
    weights: Arrays, deltas: Arrays, velocity: Arrays, trainable: Sequence[bool], outer: OuterStep
) -> tuple[Arrays, Arrays]:
    """Returns new weights and velocity after the outer step.

    deltas: weights before a round minus the mean of the workers' weights after it.
    velocity: of the step before; empty before the first. It stays empty for a plain step.
    trainable: for each weight, whether training changes it by its gradient. Others (mean and variance of a batch
        normalisation) become their mean: with momentum, a variance could fall below 0.
    """
    if outer == OuterStep():
        return [weight - delta for weight, delta in zip(weights, deltas, strict=True)], []
    moved, kept = [], []
    velocity = velocity or [np.zeros_like(delta) for delta in deltas]
    for weight, delta, before, learns in zip(weights, deltas, velocity, trainable, strict=True):
        speed = outer.momentum * before + delta if learns else before
        step = outer.learning_rate * (delta + outer.momentum * speed) if learns else delta
        moved.append(np.asarray(weight - step, weight.dtype))
        kept.append(np.asarray(speed, delta.dtype))
    return moved, kept
