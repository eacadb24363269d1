"""What becomes of the results of several workers: means by sample, and a step of the outer optimizer along them."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
import numpy.typing as npt

Array = npt.NDArray[Any]
Arrays = list[Array]


class DivergedError(ArithmeticError):
    """A training whose loss or weights are no longer numbers; the message names the settings that do that."""


@dataclass(frozen=True)
class OuterStep:
    """The driver's step along the mean delta: Nesterov's momentum, as DiLoCo has it (arXiv 2311.08105).

    A learning rate of 1 without momentum sets weights to their mean: federated averaging (McMahan et al. 2017).
    """

    learning_rate: float = 1.0
    momentum: float = 0.0


def refuse_divergence(when: str, losses: Sequence[float], weights: Arrays) -> None:
    """Raises DivergedError where any of these is not finite: what follows from it would be none either."""
    if not all(np.isfinite(values).all() for values in (np.asarray(losses), *weights)):
        raise DivergedError(
            f"the training has diverged in {when} (loss {', '.join(f'{loss:g}' for loss in losses)}); "
            "set vision.learning_rate lower, or vision.outer_learning_rate or vision.outer_momentum where they are set"
        )


def sample_mean(parts: Iterable[Any], samples: Sequence[int]) -> Array:
    """The mean of the parts, each counted by its samples, in the type of the parts: counts of steps stay whole."""
    values, total = [np.asarray(part) for part in parts], sum(samples)
    kind, mean = values[0].dtype, np.zeros(values[0].shape)
    for value, count in zip(values, samples, strict=True):
        mean += value.astype(np.float64) * (count / total)
    return np.asarray(np.rint(mean) if np.issubdtype(kind, np.integer) else mean, kind)


def stepped(
    weights: Arrays, deltas: Arrays, velocity: Arrays, trainable: Sequence[bool], outer: OuterStep
) -> tuple[Arrays, Arrays]:
    """New weights and velocity. `deltas` are weights before less weights after; `velocity` is empty at first.

    What is not trainable (a batch normalisation's mean and variance) takes its mean as it is: with momentum a variance
    could fall below 0. A plain step has no velocity.
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
