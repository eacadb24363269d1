"""One engine of the vision bench in a process of its own: python -m bench.vision_engines ENGINE FOLDER PLAN.

Trains the vision model once for each seed. Before each training is one epoch that does not count, in which processes
start and graphs are traced; then all begins anew from the first weights. The last line is JSON, a training a seed.
"""

from __future__ import annotations

import json
import os
import sys
import tempfile
import time
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np

from bench.vision_pictures import read_drawn
from larder.models.vision.federated import OuterStep
from larder.models.vision.network import build_model, compile_model

CORES = 2
EMBEDDING, LEARNING_RATE = 64, 0.003
PORT = 4711
RECOUNTED = 32  # pictures per batch when batch statistics are computed again
DRAWN = "drawn.npz"


@dataclass(frozen=True)
class Plan:
    """The trainings to run. `outer` is learning rate and momentum of Larder's outer optimizer."""

    seeds: int
    epochs: int
    batch_size: int
    outer: tuple[float, float] = (1.0, 0.0)
    schedule: str = "constant"


class Engine:
    """A way to train the model. `details` has further figures of the last training."""

    workers = CORES

    def __init__(self, folder: Path, plan: Plan) -> None:
        self.folder, self.plan, self.drawn = folder, plan, read_drawn(folder / DRAWN)
        self.details: dict[str, Any] = {}
        self.prepare()

    def prepare(self) -> None:
        """Prepares what all seeds share."""

    def train(self, model: Any, epochs: int, seed: int) -> None:
        raise NotImplementedError

    def run(self, seed: int) -> dict[str, Any]:
        model = self._built(seed)
        weights = model.get_weights()
        self.train(model, 1, seed)
        model.set_weights(weights)
        for variable, value in zip(model.optimizer.variables, self._built(seed).optimizer.variables, strict=False):
            variable.assign(value)
        begun = time.perf_counter()
        self.train(model, self.plan.epochs, seed)
        seconds = time.perf_counter() - begun
        accuracy = self.measure(model)
        rate = self.plan.epochs * len(self.drawn.train.pixels) / seconds
        return {"images_per_second": round(rate), "accuracy": round(accuracy, 4), **self.details}

    def measure(self, model: Any) -> float:
        """Returns the accuracy of a trained model on the test pictures."""
        return self.drawn.accuracy(model.predict(self.drawn.test.pixels, batch_size=256, verbose=0))

    def _built(self, seed: int) -> Any:
        size, plan = self.drawn.train.pixels.shape[1], self.plan
        model = build_model(size, EMBEDDING, self.drawn.shares, seed)
        steps = plan.epochs * -(-len(self.drawn.train.pixels) // (plan.batch_size * self.workers))
        compile_model(model, LEARNING_RATE, steps if plan.schedule == "cosine" else 0)
        model.optimizer.build(model.trainable_variables)
        return model


class Keras(Engine):
    """Keras in one process with both cores."""

    workers = 1

    def train(self, model: Any, epochs: int, seed: int) -> None:
        pixels, labels, _ = self.drawn.train
        model.fit(pixels, labels, batch_size=self.plan.batch_size, epochs=epochs, verbose=0)


class Elephas(Engine):
    """Unmodified Elephas, synchronous."""

    def prepare(self) -> None:
        from elephas.utils.rdd_utils import to_simple_rdd

        self.spark = _spark(self.workers)
        pixels, labels, _ = self.drawn.train
        self.rdd = to_simple_rdd(self.spark.sparkContext, pixels, labels).cache()
        self.rdd.count()

    def train(self, model: Any, epochs: int, seed: int) -> None:
        from elephas.spark_model import SparkModel

        SparkModel(model, num_workers=self.workers).fit(
            self.rdd, epochs=epochs, batch_size=self.plan.batch_size, verbose=0, validation_split=0.0
        )


class ElephasAsynchronous(Elephas):
    """With its parameter server, an exchange an epoch of each worker.

    The server adds up what all workers changed, the moving variances of batch normalisation too, which can fall below
    zero: then no probability is a number. So what the weights learnt is told besides, by statistics counted anew.
    """

    trainings = 0

    def measure(self, model: Any) -> float:
        found = super().measure(model)
        variances = [layer.moving_variance for layer in model.layers if hasattr(layer, "moving_variance")]
        self.details = {"least_variance": round(min(float(np.min(each)) for each in variances), 4)}
        for layer in model.layers:
            if hasattr(layer, "moving_variance"):
                layer.moving_mean.assign(np.zeros(layer.moving_mean.shape))
                layer.moving_variance.assign(np.ones(layer.moving_variance.shape))
        pixels = self.drawn.train.pixels
        for start in range(0, len(pixels), RECOUNTED):
            model(pixels[start : start + RECOUNTED], training=True)
        self.details["accuracy_counted_anew"] = round(super().measure(model), 4)
        return found

    def train(self, model: Any, epochs: int, seed: int) -> None:
        from elephas.spark_model import AsynchronousSparkModel

        self.trainings += 1
        AsynchronousSparkModel(
            model,
            num_workers=self.workers,
            mode="asynchronous",
            frequency="epoch",
            parameter_server_mode="socket",
            port=PORT + self.trainings,
        ).fit(self.rdd, epochs=epochs, batch_size=self.plan.batch_size, verbose=0, validation_split=0.0)


class Ours(Engine):
    """Larder: rounds of one epoch, each with a checkpoint."""

    def prepare(self) -> None:
        from larder.jobs.vision.training_shards import write_shard
        from larder.storage import StoragePath

        self.spark = _spark(self.workers)
        pixels, labels, _ = self.drawn.train
        order = np.random.default_rng(0).permutation(len(pixels))
        shards = [
            write_shard(
                StoragePath(str(self.folder / f"shard-{self.workers}-{number}")),
                [(pixels[rows], labels[rows])],
                pixels.shape[1:],
                labels.shape[1],
            )
            for number, rows in enumerate(np.array_split(order, self.workers))
        ]
        self.rdd = self.spark.sparkContext.parallelize(shards, self.workers)

    def train(self, model: Any, epochs: int, seed: int) -> None:
        from larder.jobs.vision.data_parallel import FederatedModel, RoundReport, TrainingSchedule
        from larder.jobs.vision.training_checkpoints import Checkpoints
        from larder.storage import StoragePath

        rounds: list[RoundReport] = []
        schedule = TrainingSchedule(epochs, 1, self.plan.batch_size, seed, outer=OuterStep(*self.plan.outer))
        folder = tempfile.mkdtemp(
            dir=self.folder
        )  # a folder for each training, which would otherwise continue from another's
        FederatedModel(model, rounds.append).fit(self.rdd, schedule, checkpoints=Checkpoints(StoragePath(folder)))
        parts = rounds[0].seconds
        self.details = {
            "round_seconds": {
                part: round(float(np.mean([each.seconds[part] for each in rounds])), 4) for part in parts
            },
            "checkpoint_bytes": rounds[-1].checkpoint_bytes,
        }


class OneWorker(Ours):
    workers = 1


class FourWorkers(Ours):
    workers = 4


ENGINES: dict[str, type[Engine]] = {
    "keras": Keras,
    "ours, 1 worker": OneWorker,
    "ours": Ours,
    "ours, 4 workers": FourWorkers,
    "elephas": Elephas,
    "elephas, asynchronous": ElephasAsynchronous,
}


def _spark(workers: int) -> Any:
    from larder.jobs.runtime.session import start_session
    from larder.settings import Settings, SparkSettings

    os.environ.setdefault("PYSPARK_PYTHON", sys.executable)
    return start_session("bench", Settings(spark=SparkSettings(master=f"local[{workers}]", driver_memory="2g")))


def main(arguments: Sequence[str]) -> None:
    from larder.jobs.runtime import quiet_tensorflow  # noqa: F401  before anything else imports TensorFlow

    name, folder, plan = arguments[0], Path(arguments[1]), Plan(**json.loads(arguments[2]))
    engine = ENGINES[name](folder, plan)
    found = []
    for seed in range(plan.seeds):
        found.append(engine.run(seed))
        print(name, seed, found[-1], flush=True)
    print(json.dumps(found))


if __name__ == "__main__":
    main(sys.argv[1:])
