"""The worker's part of a round: trains on its shard from the state it is given, and returns the change.

A subclass of Elephas's worker. Elephas's own builds and traces the model anew each epoch, holds a partition in memory
three times, and does not train if there is less than a batch. This one keeps the compiled model in its process, reads
samples from a memory-mapped file, and takes many steps in one call of TensorFlow. It sets all state that a round
depends on, so the result is the same in whichever process the round runs.
"""

from __future__ import annotations

import gc
import hashlib
import time
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from typing import Any

import numpy as np
from pyspark import TaskContext

from larder.jobs.runtime.quiet_tensorflow import limit_threads, tf, training_precision  # before any other TensorFlow

# isort: split
from tensorflow.keras.models import model_from_json
from tensorflow.keras.optimizers import deserialize

from larder.jobs.runtime.devices import see_only_own_devices, seen_devices
from larder.jobs.runtime.python_workers import leaves_worker_ready
from larder.jobs.vision.elephas_parts import SparkWorker, subtract_params
from larder.jobs.vision.saved_models import import_layers
from larder.jobs.vision.training_shards import Bytes, Rows, Shard
from larder.models.vision.federated import Arrays, refuse_divergence
from larder.models.vision.mixed_precision import in_precision

SEED_STATE = "seed_generator_state"
CALL_BYTES = 16 << 20  # of samples that one call of TensorFlow trains on, batch by batch
Steps = Callable[[Bytes, Bytes], None]


@dataclass(frozen=True)
class RoundStart:
    """The state that workers start a round from. `optimizer` is empty in the first round."""

    number: int
    epochs: int
    weights: Arrays
    optimizer: Arrays


@dataclass(frozen=True)
class WorkerResult:
    """A worker's result of a round. `deltas` are weights before minus weights after, as Elephas counts them."""

    samples: int
    deltas: Arrays
    optimizer: Arrays
    loss: float
    seconds: Mapping[str, float]  # unpacking the start, and training
    devices: tuple[str, ...] = ()  # GPUs that it saw


class RoundsWorker(SparkWorker):
    """Trains a shard for one round.

    `parameters` is a broadcast RoundStart; `train_config` has batch_size, seed and precision.
    """

    @leaves_worker_ready
    def train(self, data_iterator: Iterable[Shard]) -> Iterator[WorkerResult]:
        """Yields one result; none if there are no samples, since no change would pull the mean towards 0."""
        begun = time.perf_counter()
        shards = [shard for shard in data_iterator if shard.samples]
        if not shards:
            return
        (shard,) = shards
        context = TaskContext.get()
        partition = context.partitionId() if context else 0
        see_only_own_devices()
        limit_threads(context.cpus() if context else 1)
        start: RoundStart = self.parameters.value
        unpacked = time.perf_counter()
        compiled = self._compiled()
        self.model = compiled.model
        self._restore(compiled, start, partition)
        draw = np.random.default_rng(self._entropy(start, partition))
        loss = _trained(compiled, shard, start.epochs, self.train_config["batch_size"], draw)
        trained = time.perf_counter()
        deltas = subtract_params(start.weights, self.model.get_weights())
        optimizer = [np.asarray(variable) for variable in self.model.optimizer.variables]
        seconds = {"unpacking": unpacked - begun, "training": trained - unpacked}
        yield WorkerResult(shard.samples, deltas, optimizer, loss, seconds, seen_devices())

    def _compiled(self) -> _Compiled:
        """The model as compiled in this process: tracing it takes longer than a small round."""
        precision = training_precision(self.train_config["precision"])
        size = self.train_config["batch_size"]
        key = hashlib.sha256(repr((self.json, self.master_optimizer, precision, size)).encode()).hexdigest()
        if key not in _COMPILED:
            import_layers(self.json)
            gc.unfreeze()  # otherwise the objects of the model before would never be freed
            _COMPILED.clear()
            model = model_from_json(in_precision(self.json, precision), self.custom_objects)
            model.compile(deserialize(self.master_optimizer), loss=self.master_loss)
            model.optimizer.build(model.trainable_variables)
            fresh = [np.asarray(variable) for variable in model.optimizer.variables]
            variables = [*model.weights, *model.optimizer.variables, *_seeds(model)]
            _COMPILED[key] = _Compiled(model, fresh, _steps(model, size), _assign(variables))
        return _COMPILED[key]

    def _restore(self, compiled: _Compiled, start: RoundStart, partition: int) -> None:
        draw = np.random.default_rng([*self._entropy(start, partition), 1])
        seeds = [draw.integers(0, 2**31, variable.shape, np.uint32) for variable in _seeds(self.model)]
        compiled.assign([*start.weights, *(start.optimizer or compiled.fresh), *seeds])

    def _entropy(self, start: RoundStart, partition: int) -> list[int]:
        return [self.train_config["seed"], start.number, partition]


@dataclass(frozen=True)
class _Compiled:
    """A model, its optimizer's initial state, its training steps, and a setter of weights, optimizer and seeds."""

    model: Any
    fresh: Arrays
    steps: Steps
    assign: Callable[[Arrays], None]


_COMPILED: dict[str, _Compiled] = {}


def trained_alone(model: Any, shard: Shard, epochs: int, batch_size: int, seed: int) -> float:
    """Trains a compiled model on one shard in this process, and returns the last epoch's mean loss.

    Raises DivergedError if the loss or a weight is not finite.
    """
    model.optimizer.build(model.trainable_variables)
    compiled = _Compiled(model, [], _steps(model, batch_size), lambda values: None)
    loss = _trained(compiled, shard, epochs, batch_size, np.random.default_rng(seed))
    refuse_divergence(f"{epochs} epochs", [loss], model.get_weights())
    return loss


def _trained(compiled: _Compiled, shard: Shard, epochs: int, batch_size: int, draw: np.random.Generator) -> float:
    """Trains for `epochs` and returns the mean loss of the last. The next samples are read while TensorFlow works.

    Samples are shuffled here, since Keras's own shuffle depends on what its process has drawn before.
    """
    records, partners = shard.records(), shard.partners()
    at_once = batch_size * max(1, CALL_BYTES // (batch_size * shard.record_bytes))
    with ThreadPoolExecutor(1) as reader:
        for _ in range(epochs):
            compiled.model.reset_metrics()
            order: Rows = draw.permutation(shard.samples)
            if partners is not None:
                order = _paired(order, partners, batch_size, draw)
            calls = [order[first : first + at_once] for first in range(0, len(order), at_once)]
            read = reader.submit(shard.batch, records, calls[0])
            for rows in [*calls[1:], order[:0]]:
                block, read = read.result(), reader.submit(shard.batch, records, rows)
                compiled.steps(*block)
    return float(compiled.model.get_metrics_result()["loss"])


def _paired(order: Rows, partners: Rows, batch_size: int, draw: np.random.Generator) -> Rows:
    """Half of `order`, and for the other half of each batch a partner of each sample, drawn at random.

    A sample without partners is its own partner: augmentation makes the two differ.
    """
    anchors = order[: -(-len(order) // 2)]
    known = (partners[anchors] >= 0).sum(axis=1)
    drawn = partners[anchors, draw.integers(0, np.maximum(known, 1))]
    drawn = np.where(known > 0, drawn, anchors)
    half = batch_size // 2
    groups = [slice(first, first + half) for first in range(0, len(anchors), half)]
    return np.concatenate([rows[group] for group in groups for rows in (anchors, drawn)])


def _steps(model: Any, batch_size: int) -> Steps:
    """Takes a training step for each batch of the samples given. Traced once, for any number of samples."""

    # Without AutoGraph: it reads source files, which may be missing where a task runs.
    @tf.function(
        input_signature=[_any_number_of(model.inputs[0]), _any_number_of(model.outputs[0], tf.uint8)], autograph=False
    )
    def steps(pixels: tf.Tensor, labels: tf.Tensor) -> None:
        def step(first: tf.Tensor) -> tf.Tensor:
            model.train_step((pixels[first : first + batch_size], labels[first : first + batch_size]))
            return first + batch_size

        tf.while_loop(lambda first: first < tf.shape(pixels)[0], step, [tf.constant(0)], parallel_iterations=1)

    return lambda pixels, labels: steps(tf.constant(pixels), tf.constant(labels))


def _assign(variables: Sequence[Any]) -> Callable[[Arrays], None]:
    """A function that sets all of `variables` in one call of TensorFlow."""

    @tf.function(autograph=False)
    def assign(values: list[tf.Tensor]) -> None:
        for variable, value in zip(variables, values, strict=True):
            variable.assign(value)

    return lambda values: assign(
        [tf.constant(value, variable.dtype) for variable, value in zip(variables, values, strict=True)]
    )


def _seeds(model: Any) -> list[Any]:
    """The seed variables of the model's random layers."""
    return [variable for variable in model.variables if variable.path.endswith(SEED_STATE)]


def _any_number_of(tensor: Any, dtype: Any = None) -> tf.TensorSpec:
    return tf.TensorSpec([None, *tensor.shape[1:]], dtype or tensor.dtype)
