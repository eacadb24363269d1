"""A task of a search: trains one model with one choice of settings, and measures it."""

from __future__ import annotations

import time
from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass, replace
from typing import Any

import numpy as np

from larder.jobs.vision.training_shards import Shard
from larder.models.evaluation.retrieval_metrics import leaf_precision_at_k
from larder.settings import VisionSettings


@dataclass(frozen=True)
class TrialSettings:
    """A trial's number and its settings of [vision], which may contradict each other."""

    number: int
    settings: Mapping[str, Any]


@dataclass(frozen=True)
class TrialResult:
    """A trial's result, or the error that ended it.

    quality: share of the ten nearest pictures with the same labels. seconds: of training. bytes: of the model.
    """

    number: int
    quality: float = 0.0
    seconds: float = 0.0
    bytes: int = 0
    error: str = ""


@dataclass(frozen=True)
class TrialRunner:
    """Runs trials in a task. `shares` (labels,) are those of the training pictures that have each label."""

    train: Shard
    test: Shard
    shares: Any

    def __call__(self, choices: Iterable[TrialSettings]) -> Iterator[TrialResult]:
        for choice in choices:
            try:
                yield self._measured(choice)
            except Exception as error:  # one bad choice must not end the search: its error is reported and stored
                yield TrialResult(choice.number, error=f"{type(error).__name__}: {error}"[:500])

    def _measured(self, choice: TrialSettings) -> TrialResult:
        from pyspark import TaskContext

        from larder.jobs.runtime.quiet_tensorflow import limit_threads
        from larder.jobs.vision.rounds_worker import trained_alone
        from larder.jobs.vision.saved_models import model_bytes
        from larder.jobs.vision.training_plan import backbone_of, compile_for, models_of
        from larder.models.vision.network import embed, embedding_part

        context = TaskContext.get()
        limit_threads(context.cpus() if context else 1)
        vision = VisionSettings(**choice.settings)
        model, trained = models_of(vision, self.shares, backbone_of(vision))
        compile_for(trained, vision, self.train.samples)
        train = self.train if vision.pair_weight else replace(self.train, partners_uri="")
        begun = time.perf_counter()
        trained_alone(trained, train, vision.epochs, vision.batch_size, vision.seed)
        seconds = time.perf_counter() - begun
        model.set_weights(trained.get_weights())
        pixels, labels = self.test.batch(self.test.records(), np.arange(self.test.samples))
        alike = [row.tobytes().hex() if row.any() else "" for row in labels]
        vectors = embed(embedding_part(model), pixels)
        found = leaf_precision_at_k(vectors, alike, np.ones(len(alike), bool), bootstrap=0)
        if not found["queries"]:
            raise ValueError("no two of the pictures held back have the same labels; hold back more (validation)")
        return TrialResult(choice.number, found["precision"], seconds, len(model_bytes(model)))
