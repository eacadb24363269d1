"""Elephas's synchronous training, in rounds of several local epochs whose results are averaged by sample.

As Elephas comes, each epoch rebuilds the model and forgets the optimizer's moments, a worker without data pulls the
mean towards no change, and one with less than a batch does not train. Here a worker process keeps its compiled model,
moments travel with the weights, and each worker's result counts by the samples it saw (federated averaging, McMahan et
al. 2017).
"""

from __future__ import annotations

import hashlib
from collections.abc import Callable, Iterable, Iterator
from dataclasses import dataclass
from typing import Any

import numpy as np
import numpy.typing as npt
from pyspark import RDD, Broadcast, TaskContext

from jobs.quiet_tensorflow import limit_threads  # before elephas, which imports TensorFlow

# isort: split
from elephas.spark_model import SparkModel
from elephas.utils import subtract_params
from elephas.worker import SparkWorker
from tensorflow.keras.models import model_from_json
from tensorflow.keras.optimizers import deserialize, serialize

Arrays = list[npt.NDArray[Any]]
# Features and labels of many samples: one element a sample would be an object a sample.
Block = tuple[npt.NDArray[np.uint8], npt.NDArray[np.uint8]]
SEED_STATE = "seed_generator_state"


@dataclass(frozen=True)
class Schedule:
    """How long to train: `epochs` over all samples, `epochs_per_round` of them between two averages."""

    epochs: int
    epochs_per_round: int
    batch_size: int
    seed: int

    def rounds(self) -> list[int]:
        """Local epochs of each round; the last may have fewer."""
        whole, rest = divmod(self.epochs, self.epochs_per_round)
        return [self.epochs_per_round] * whole + ([rest] if rest else [])


@dataclass(frozen=True)
class State:
    """What workers start a round from."""

    number: int
    epochs: int
    weights: Arrays
    optimizer: Arrays


@dataclass(frozen=True)
class Outcome:
    """What one worker made of a round: weights before less weights after, as Elephas counts, and its optimizer."""

    samples: int
    deltas: Arrays
    optimizer: Arrays
    loss: float


class RoundsModel(SparkModel):
    """An Elephas model trained in rounds. `history` has the mean training loss of each."""

    def __init__(self, model: Any, on_round: Callable[[int, float], None] = lambda number, loss: None) -> None:
        super().__init__(model)
        self.on_round = on_round
        self.history: list[float] = []

    def fit(self, rdd: RDD, schedule: Schedule) -> None:  # type: ignore[override,unused-ignore]
        """Trains on an RDD of blocks, one partition a worker. Raises ValueError where there is no sample.

        Elephas's own would repartition, which deals rows out anew in every run.
        """
        state = State(0, 0, self._master_network.get_weights(), [])
        for number, epochs in enumerate(schedule.rounds()):
            state = State(number, epochs, state.weights, state.optimizer)
            outcomes = self._round(rdd, state, schedule)
            if not outcomes:
                raise ValueError("there is no picture to train on")
            state = State(number, epochs, *averaged(state.weights, outcomes))
            self.history.append(_mean([outcome.loss for outcome in outcomes], outcomes))
            self.on_round(number, self.history[-1])
        self._master_network.set_weights(state.weights)

    def _round(self, rdd: RDD, state: State, schedule: Schedule) -> list[Outcome]:
        broadcast: Broadcast[State] = rdd.context.broadcast(state)
        worker = RoundsWorker(
            self._master_network.to_json(),
            broadcast,
            {"batch_size": schedule.batch_size, "seed": schedule.seed},
            serialize(self.master_optimizer),
            self.master_loss,
            self.master_metrics,
            self.custom_objects,
        )
        try:
            return rdd.mapPartitions(worker.train).collect()
        finally:
            broadcast.destroy()


class RoundsWorker(SparkWorker):
    """Trains on one partition for one round. `parameters` is a broadcast State."""

    def train(self, data_iterator: Iterable[Block]) -> Iterator[Outcome]:
        blocks = list(data_iterator)
        if not blocks:
            return
        features, labels = (np.concatenate(parts) for parts in zip(*blocks, strict=True))
        del blocks
        state: State = self.parameters.value
        context = TaskContext.get()
        partition = context.partitionId() if context else 0
        limit_threads(context.cpus() if context else 1)
        self.model, fresh = self._compiled()
        self._restore(state, fresh, partition)
        loss = self._epochs(features, labels, state, np.random.default_rng(self._entropy(state, partition)))
        deltas = subtract_params(state.weights, self.model.get_weights())
        optimizer = [np.asarray(variable) for variable in self.model.optimizer.variables]
        yield Outcome(len(features), deltas, optimizer, loss)

    def _compiled(self) -> tuple[Any, Arrays]:
        """This process's compiled model and its optimizer's first state: tracing it takes longer than a small round."""
        key = hashlib.sha256(repr((self.json, self.master_optimizer)).encode()).hexdigest()
        if key not in _COMPILED:
            _COMPILED.clear()
            model = model_from_json(self.json, self.custom_objects)
            model.compile(deserialize(self.master_optimizer), loss=self.master_loss)
            model.optimizer.build(model.trainable_variables)
            _COMPILED[key] = model, [np.asarray(variable) for variable in model.optimizer.variables]
        return _COMPILED[key]

    def _restore(self, state: State, fresh: Arrays, partition: int) -> None:
        """Sets everything that a round depends on, so that it matters not which process it runs in."""
        assert self.model is not None
        self.model.set_weights(state.weights)
        for variable, value in zip(self.model.optimizer.variables, state.optimizer or fresh, strict=True):
            variable.assign(value)
        draw = np.random.default_rng([*self._entropy(state, partition), 1])
        for variable in self.model.variables:
            if variable.path.endswith(SEED_STATE):
                variable.assign(draw.integers(0, 2**31, variable.shape))

    def _epochs(
        self, features: npt.NDArray[Any], labels: npt.NDArray[Any], state: State, random: np.random.Generator
    ) -> float:
        """Keras's own shuffle follows from all that its process drew before, so samples are shuffled here."""
        loss = 0.0
        for _ in range(state.epochs):
            order = random.permutation(len(features))
            history = self.model.fit(
                features[order], labels[order], batch_size=self.train_config["batch_size"], shuffle=False, verbose=0
            )
            loss = float(history.history["loss"][-1])
        return loss

    def _entropy(self, state: State, partition: int) -> list[int]:
        return [self.train_config["seed"], state.number, partition]


_COMPILED: dict[str, tuple[Any, Arrays]] = {}


def averaged(weights: Arrays, outcomes: list[Outcome]) -> tuple[Arrays, Arrays]:
    """New weights and optimizer variables: means over workers, each counted by its samples."""
    deltas = zip(*(outcome.deltas for outcome in outcomes), strict=True)
    moved = [before - _mean(parts, outcomes) for before, parts in zip(weights, deltas, strict=True)]
    states = zip(*(outcome.optimizer for outcome in outcomes), strict=True)
    return moved, [_mean(parts, outcomes) for parts in states]


def _mean(parts: Iterable[Any], outcomes: list[Outcome]) -> Any:
    """The mean in the type of the parts: Adam's count of steps stays whole."""
    samples = sum(outcome.samples for outcome in outcomes)
    pairs = list(zip(parts, outcomes, strict=True))
    total = sum(np.asarray(part, np.float64) * (outcome.samples / samples) for part, outcome in pairs)
    kind = np.asarray(pairs[0][0]).dtype
    if np.issubdtype(kind, np.integer):
        return np.asarray(np.rint(total), kind)
    return np.asarray(total, kind)[()]
