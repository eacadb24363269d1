"""Elephas's synchronous training, in rounds of several local epochs whose results are averaged by sample.

As Elephas comes, each epoch rebuilds the model and forgets the optimizer's moments, a worker without data pulls the
mean towards no change, and one with less than a batch does not train. Here moments travel with the weights, each
worker's result counts by the samples it saw (federated averaging, McMahan et al. 2017), the driver may step along the
mean with momentum (DiLoCo, arXiv 2311.08105), and where the training stands is kept after each round.
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

from larder.jobs.vision.rounds_worker import (  # before elephas, which imports TensorFlow
    RoundStart,
    RoundsWorker,
    WorkerResult,
)

# isort: split
from elephas.spark_model import SparkModel
from tensorflow.keras.optimizers import serialize

from larder.jobs.vision.training_checkpoints import Checkpoints, TrainingState
from larder.jobs.vision.training_shards import Block
from larder.models.vision.federated import OuterStep, refuse_divergence, sample_mean, stepped

VALIDATION_BATCH = 256
TO_THE_MEAN = OuterStep()


class NoPictureError(ValueError):
    """All pictures are held back, or there is none."""


@dataclass(frozen=True)
class TrainingSchedule:
    """How long to train: `epochs` over all samples, `epochs_per_round` of them between two averages."""

    epochs: int
    epochs_per_round: int
    batch_size: int
    seed: int
    patience: int = 0  # rounds without a better validation after which training stops; 0: it does not
    precision: str = "float32"
    outer: OuterStep = TO_THE_MEAN

    def rounds(self) -> list[int]:
        """Local epochs of each round; the last may have fewer."""
        whole, rest = divmod(self.epochs, self.epochs_per_round)
        return [self.epochs_per_round] * whole + ([rest] if rest else [])

    def is_done(self, state: TrainingState) -> bool:
        """Whether all rounds are through, or the last `patience` have brought nothing."""
        if state.rounds >= len(self.rounds()):
            return True
        if not self.patience or not state.validations:
            return False
        return len(state.validations) - 1 - int(np.argmin(state.validations)) >= self.patience


@dataclass(frozen=True)
class RoundReport:
    """What a round did. `seconds` by part: broadcast, training, collecting, averaging, validating, keeping."""

    number: int  # from 1
    rounds: int
    loss: float
    validation: float | None
    samples: int  # trained on, an epoch's each time
    seconds: Mapping[str, float]
    checkpoint_bytes: int
    devices: tuple[str, ...]  # GPUs of each worker

    @property
    def samples_per_second(self) -> float:
        return self.samples / sum(self.seconds.values())


class FederatedModel(SparkModel):
    """An Elephas model trained in rounds, each of them told to `on_round`."""

    def __init__(self, model: Any, on_round: Callable[[RoundReport], None] = lambda done: None) -> None:
        super().__init__(model)
        self.on_round = on_round
        self.trainable = _trainable(model)
        self.description = ""  # the same in all rounds: workers know by it what they have compiled

    def fit(  # type: ignore[override,unused-ignore]
        self,
        rdd: RDD,
        schedule: TrainingSchedule,
        validation: Block | None = None,
        checkpoints: Checkpoints | None = None,
    ) -> TrainingState:
        """Trains on an RDD of shards, one a partition; goes on from the newest checkpoint where there is one.

        The model ends with the weights of the best round by `validation`, or else of the last. Elephas's own would
        repartition, which deals rows out anew in every run. Raises NoPictureError where there is no sample,
        DivergedError where training fails.
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
    """Seconds of each part of a round."""

    def __init__(self) -> None:
        self.seconds: dict[str, float] = {}

    @contextmanager
    def of(self, part: str) -> Iterator[None]:
        begun = time.perf_counter()
        yield
        self.seconds[part] = self.seconds.get(part, 0.0) + time.perf_counter() - begun

    def move(self, seconds: float, source: str, part: str) -> None:
        """Counts some of one part's seconds, at most all, to another."""
        seconds = min(seconds, self.seconds[source])
        self.seconds[source] -= seconds
        self.seconds[part] = self.seconds.get(part, 0.0) + seconds


def _trainable(model: Any) -> list[bool]:
    """Of each of the model's weights, whether training changes it by its gradient."""
    learns = {id(variable) for variable in model.trainable_weights}
    return [id(variable) in learns for variable in model.weights]
