"""Synchronous data-parallel training by Elephas, in rounds of local epochs after which results are averaged.

Elephas itself rebuilds the model each epoch and drops the optimizer's moments, counts workers without data in the mean,
and does not train workers with less than a batch. Here the moments are averaged with the weights, each worker's result
is weighted by its samples (federated averaging, McMahan et al. 2017), the driver may step along the mean with momentum
(DiLoCo, arXiv 2311.08105), and the state of the training is saved after each round.
See docs/decisions/0015-rounds-from-files.md.
"""

from __future__ import annotations

import time
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass, replace
from typing import Any

import numpy as np
from pyspark import RDD, Broadcast

from larder.jobs.vision.rounds_worker import RoundStart, RoundsWorker, WorkerResult  # before any other TensorFlow

# isort: split
from tensorflow.keras.optimizers import serialize

from larder.jobs.vision.elephas_parts import SparkModel
from larder.jobs.vision.training_checkpoints import Checkpoints, TrainingState
from larder.jobs.vision.training_shards import Block
from larder.models.vision.federated import OuterStep, refuse_divergence, sample_mean, stepped

VALIDATION_BATCH = 256
TO_THE_MEAN = OuterStep()


class NoPictureError(ValueError):
    """There are no pictures to train on: there are none, or all are held back for validation."""


@dataclass(frozen=True)
class TrainingSchedule:
    """The length of a training: `epochs` over all samples, averaged after every `epochs_per_round` of them."""

    epochs: int
    epochs_per_round: int
    batch_size: int
    seed: int
    patience: int = 0  # rounds without a better validation loss after which training stops; 0: never
    precision: str = "float32"
    outer: OuterStep = TO_THE_MEAN

    def rounds(self) -> list[int]:
        """Returns the local epochs of each round; the last may have fewer."""
        whole, rest = divmod(self.epochs, self.epochs_per_round)
        return [self.epochs_per_round] * whole + ([rest] if rest else [])

    def is_done(self, state: TrainingState) -> bool:
        """Returns whether all rounds are done, or the last `patience` of them have not lowered the validation loss."""
        if state.rounds >= len(self.rounds()):
            return True
        if not self.patience or not state.validations:
            return False
        return len(state.validations) - 1 - int(np.argmin(state.validations)) >= self.patience


@dataclass(frozen=True)
class RoundReport:
    """Losses and figures of a round.

    `seconds` has the parts broadcast, training, collecting, averaging, validating and keeping.
    """

    number: int  # from 1
    rounds: int
    loss: float
    validation: float | None
    samples: int  # trained on, counted once an epoch
    seconds: Mapping[str, float]
    checkpoint_bytes: int
    devices: tuple[str, ...]  # GPUs of each worker

    @property
    def samples_per_second(self) -> float:
        return self.samples / sum(self.seconds.values())


class FederatedModel(SparkModel):
    """An Elephas model that is trained in rounds; `on_round` is called after each."""

    def __init__(self, model: Any, on_round: Callable[[RoundReport], None] = lambda done: None) -> None:
        super().__init__(model)
        self.on_round = on_round
        self.trainable = _trainable(model)
        self.description = ""  # the model's JSON, the same in all rounds: workers find their compiled model by it

    def fit(  # type: ignore[override,unused-ignore]
        self,
        rdd: RDD,
        schedule: TrainingSchedule,
        validation: Block | None = None,
        checkpoints: Checkpoints | None = None,
    ) -> TrainingState:
        """Trains on an RDD with one shard a partition, from the newest checkpoint if there is one.

        The model ends with the weights of the best round by `validation`, or of the last round without. Unlike
        Elephas's own `fit` this does not repartition, which would assign samples to workers anew in every run. Raises
        NoPictureError if there is no sample, and DivergedError if a loss is not finite.
        """
        self.description = self._master_network.to_json()
        found = checkpoints.latest() if checkpoints else None
        state = found or TrainingState(self._master_network.get_weights())
        while not schedule.is_done(state):
            clock = _Clock()
            outcomes = self._outcomes(rdd, state, schedule, clock)
            if not outcomes:
                raise NoPictureError("there is no picture to train on; is vision.validation near 1?")
            with clock.of("averaging"):
                state = self._averaged(state, outcomes, schedule.outer)
            if validation is not None:
                with clock.of("validating"):
                    state = self._validated(state, *validation)
            losses = (state.losses[-1], *state.validations[-1:])
            refuse_divergence(f"round {state.rounds} of {len(schedule.rounds())}", losses, state.weights)
            size = 0
            if checkpoints:
                with clock.of("keeping"):
                    size = checkpoints.save(state)
            self._tell(state, schedule, outcomes, clock.seconds, size)
        self._master_network.set_weights(state.best or state.weights)
        return state

    def _outcomes(
        self, rdd: RDD, state: TrainingState, schedule: TrainingSchedule, clock: _Clock
    ) -> list[WorkerResult]:
        start = RoundStart(state.rounds, schedule.rounds()[state.rounds], state.weights, state.optimizer)
        with clock.of("broadcast"):
            broadcast: Broadcast[RoundStart] = rdd.context.broadcast(start)
        worker = RoundsWorker(
            self.description,
            broadcast,
            {"batch_size": schedule.batch_size, "seed": schedule.seed, "precision": schedule.precision},
            serialize(self.master_optimizer),
            self.master_loss,
            self.master_metrics,
            self.custom_objects,
        )
        try:
            with clock.of("collecting"):
                outcomes: list[WorkerResult] = rdd.mapPartitions(worker.train).collect()
        finally:
            broadcast.destroy()
        for part, name in (("broadcast", "unpacking"), ("training", "training")):
            slowest = max((outcome.seconds[name] for outcome in outcomes), default=0.0)
            clock.move(slowest, "collecting", part)
        return outcomes

    def _averaged(self, state: TrainingState, outcomes: list[WorkerResult], outer: OuterStep) -> TrainingState:
        samples = [outcome.samples for outcome in outcomes]
        deltas = [sample_mean(parts, samples) for parts in zip(*(o.deltas for o in outcomes), strict=True)]
        optimizer = [sample_mean(parts, samples) for parts in zip(*(o.optimizer for o in outcomes), strict=True)]
        weights, velocity = stepped(state.weights, deltas, state.velocity, self.trainable, outer)
        loss = float(sample_mean([outcome.loss for outcome in outcomes], samples))
        return replace(state, weights=weights, optimizer=optimizer, velocity=velocity, losses=(*state.losses, loss))

    def _validated(self, state: TrainingState, pixels: Any, labels: Any) -> TrainingState:
        self._master_network.set_weights(state.weights)
        loss = float(self._master_network.evaluate(pixels, labels, batch_size=VALIDATION_BATCH, verbose=0))
        better = not state.validations or loss < min(state.validations)
        return replace(state, validations=(*state.validations, loss), best=state.weights if better else state.best)

    def _tell(
        self,
        state: TrainingState,
        schedule: TrainingSchedule,
        outcomes: list[WorkerResult],
        seconds: Mapping[str, float],
        size: int,
    ) -> None:
        rounds = schedule.rounds()
        samples = sum(outcome.samples for outcome in outcomes) * rounds[state.rounds - 1]
        validation = state.validations[-1] if state.validations else None
        devices = tuple(",".join(outcome.devices) for outcome in outcomes if outcome.devices)
        self.on_round(
            RoundReport(state.rounds, len(rounds), state.losses[-1], validation, samples, seconds, size, devices)
        )


class _Clock:
    """Measures the seconds of each part of a round."""

    def __init__(self) -> None:
        self.seconds: dict[str, float] = {}

    @contextmanager
    def of(self, part: str) -> Iterator[None]:
        begun = time.perf_counter()
        yield
        self.seconds[part] = self.seconds.get(part, 0.0) + time.perf_counter() - begun

    def move(self, seconds: float, source: str, part: str) -> None:
        """Moves seconds, at most all there are, from one part to another."""
        seconds = min(seconds, self.seconds[source])
        self.seconds[source] -= seconds
        self.seconds[part] = self.seconds.get(part, 0.0) + seconds


def _trainable(model: Any) -> list[bool]:
    """For each of the model's weights, whether training changes it by its gradient."""
    learns = {id(variable) for variable in model.trainable_weights}
    return [id(variable) in learns for variable in model.weights]
