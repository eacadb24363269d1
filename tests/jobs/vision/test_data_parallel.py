"""Rounds: how many, what comes of odd shards, from where they go on, and what they leave."""

from __future__ import annotations

import subprocess
import sys
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
import pytest

from larder.jobs.vision.training_checkpoints import Checkpoints, TrainingState
from larder.jobs.vision.training_shards import Block, Shard, write_shard
from larder.models.vision.federated import DivergedError, OuterStep
from larder.storage import StoragePath

if TYPE_CHECKING:
    from pyspark.sql import SparkSession

SHAPE, LABELS, BATCH, EPOCHS = (4, 4, 3), 2, 8, 4


@pytest.mark.parametrize(("epochs", "each", "rounds"), [(6, 2, [2, 2, 2]), (5, 2, [2, 2, 1]), (1, 4, [1])])
def test_rounds(epochs: int, each: int, rounds: list[int]) -> None:
    from larder.jobs.vision.data_parallel import TrainingSchedule

    assert TrainingSchedule(epochs, each, 8, 1).rounds() == rounds


@pytest.mark.parametrize(
    ("validations", "done"), [((), False), ((3.0, 2.0), False), ((2.0, 3.0), False), ((2.0, 3.0, 2.5), True)]
)
def test_patience(validations: tuple[float, ...], done: bool) -> None:
    from larder.jobs.vision.data_parallel import TrainingSchedule

    state = TrainingState([], losses=(0.0,) * len(validations), validations=validations)
    assert TrainingSchedule(9, 1, 8, 1, patience=2).is_done(state) == done


@pytest.mark.parametrize("job", ["ingest_images", "train_vision", "embed_products"])
def test_tensorflow_is_imported_only_where_it_is_used(job: str) -> None:
    code = f"import sys, jobs.{job}; sys.exit('tensorflow' in sys.modules or 'keras' in sys.modules)"
    assert subprocess.run([sys.executable, "-c", code]).returncode == 0


def samples(count: int, seed: int) -> Block:
    """Dark pictures have the first label, bright ones the second."""
    draw = np.random.default_rng(seed)
    bright = draw.integers(0, 2, count)
    pixels = draw.integers(0, 128, (count, *SHAPE)) + 127 * bright[:, None, None, None]
    return pixels.astype(np.uint8), np.eye(LABELS, dtype=np.uint8)[bright]


def shards_in(folder: Path, sizes: Sequence[int]) -> list[Shard]:
    places = [StoragePath(str(folder / f"shard-{number}")) for number in range(len(sizes))]
    return [
        write_shard(place, [samples(size, number)], SHAPE, LABELS)
        for number, (place, size) in enumerate(zip(places, sizes, strict=True))
    ]


def tiny_model(falls_over: int = 0, learning_rate: float = 0.05) -> Any:
    import keras

    from larder.models.vision.network import compile_model

    layers = keras.layers
    keras.utils.set_random_seed(1)
    pixels = keras.Input(SHAPE, dtype="uint8", name="pixels")
    body = layers.Flatten(name="flat")(layers.Rescaling(1 / 255, name="scaled")(pixels))
    body = layers.Dropout(0.2, seed=1, name="dropped")(layers.BatchNormalization(name="normal")(body))
    model = keras.Model(pixels, layers.Dense(LABELS, activation="sigmoid", name="labels")(body), name="tiny")
    compile_model(model, learning_rate, falls_over)
    return model


Fit = Callable[..., TrainingState]


@pytest.fixture
def fit(spark: SparkSession, tmp_path: Path) -> Fit:
    """Trains the tiny model on shards of these sizes."""
    from larder.jobs.vision.data_parallel import FederatedModel, RoundReport, TrainingSchedule

    def fitted(
        sizes: Sequence[int],
        model: Any = None,
        stop_after: int = EPOCHS,
        validation: Block | None = None,
        checkpoints: Checkpoints | None = None,
        **schedule: Any,
    ) -> TrainingState:
        def on_round(done: RoundReport) -> None:
            if done.number == stop_after < EPOCHS:
                raise InterruptedError

        shards = shards_in(tmp_path, sizes)
        rdd = spark.sparkContext.parallelize(shards, len(shards))
        rounds = FederatedModel(model or tiny_model(), on_round)
        return rounds.fit(rdd, TrainingSchedule(EPOCHS, 1, BATCH, 1, **schedule), validation, checkpoints)

    return fitted


def same(one: Sequence[np.ndarray], other: Sequence[np.ndarray]) -> bool:
    return all(np.array_equal(mine, theirs) for mine, theirs in zip(one, other, strict=True))


@pytest.mark.end_to_end
def test_workers_without_samples_and_with_few(fit: Fit) -> None:
    state = fit([40, 3])
    assert state.losses[-1] < state.losses[0]
    assert same(fit([40]).weights, fit([40, 0]).weights)
    assert not same(fit([40]).weights, state.weights)
    few = fit([3])
    assert not same(few.weights, tiny_model().get_weights())
    assert all(np.isfinite(weight).all() for weight in few.weights)
    with pytest.raises(ValueError, match="no picture"):
        fit([0, 0])


@pytest.mark.end_to_end
@pytest.mark.parametrize("outer", [OuterStep(), OuterStep(0.7, 0.9)])
def test_a_training_goes_on_where_it_was_stopped(fit: Fit, tmp_path: Path, outer: OuterStep) -> None:
    undisturbed = fit([24, 17], outer=outer)
    checkpoints = Checkpoints(StoragePath(str(tmp_path / "rounds")))
    with pytest.raises(InterruptedError):
        fit([24, 17], stop_after=2, checkpoints=checkpoints, outer=outer)
    left = checkpoints.latest()
    assert left is not None and left.rounds == 2
    assert fit([24, 17], checkpoints=checkpoints, outer=outer).as_bytes() == undisturbed.as_bytes()
    assert bool(undisturbed.velocity) == (outer.momentum > 0)


@pytest.mark.end_to_end
def test_a_training_that_diverges_is_not_kept(fit: Fit, tmp_path: Path) -> None:
    from larder.jobs.vision.rounds_worker import trained_alone

    checkpoints = Checkpoints(StoragePath(str(tmp_path / "rounds")))
    with pytest.raises(DivergedError, match=r"round 1 of 4 .*vision\.learning_rate.*vision\.outer_learning_rate"):
        fit([40, 24], tiny_model(learning_rate=1e38), checkpoints=checkpoints)
    assert checkpoints.latest() is None
    (shard,) = shards_in(tmp_path, [40])
    with pytest.raises(DivergedError):  # so a trial of a search counts as failed
        trained_alone(tiny_model(learning_rate=1e38), shard, 1, BATCH, 1)


@pytest.mark.end_to_end
def test_many_steps_in_one_call_are_those_of_keras() -> None:
    from larder.jobs.vision.rounds_worker import _steps
    from larder.models.vision.network import build_model, compile_model

    draw = np.random.default_rng(3)
    pixels = draw.integers(0, 256, (42, 16, 16, 3), dtype=np.uint8)
    labels = draw.integers(0, 2, (42, LABELS), dtype=np.uint8)
    models = [build_model(16, 8, np.full(LABELS, 0.5, np.float32), 1) for _ in range(2)]
    for model in models:
        compile_model(model, 0.01)
        model.optimizer.build(model.trainable_variables)
    _steps(models[0], BATCH)(pixels, labels)
    for first in range(0, 42, BATCH):
        models[1].train_on_batch(pixels[first : first + BATCH], labels[first : first + BATCH])
    # Seeds of the augmentation too; not the running loss, which `train_on_batch` forgets.
    kept = [[each for each in model.variables if "loss" not in each.path] for model in models]
    for mine, keras_own in zip(*kept, strict=True):
        np.testing.assert_allclose(mine, keras_own, atol=2e-4, err_msg=mine.path)


def test_half_of_a_batch_are_partners_of_the_other_half() -> None:
    from larder.jobs.vision.rounds_worker import _paired

    partners = np.array([[1, 2], [0, -1], [-1, -1], [0, 1], [-1, -1], [3, -1]], np.int32)
    order = np.array([3, 2, 0, 5, 1, 4])
    found = _paired(order, partners, 4, np.random.default_rng(1))
    assert found[[0, 1, 4]].tolist() == order[:3].tolist()
    assert found[2] in (0, 1) and found[3] == 2 and found[5] in (1, 2)
    drawn = {int(_paired(order, partners, 4, np.random.default_rng(seed))[2]) for seed in range(9)}
    assert drawn == {0, 1}


@pytest.mark.end_to_end
def test_a_round_without_improvement_ends_it_with_the_best_weights(fit: Fit) -> None:
    pixels, labels = samples(50, 9)
    model = tiny_model()
    state = fit([40, 40], model, validation=(pixels, 1 - labels), patience=1)
    assert state.rounds == 2 < EPOCHS
    assert state.validations[0] < state.validations[1]
    assert same(model.get_weights(), state.best)
    assert not same(state.best, state.weights)


@pytest.mark.end_to_end
def test_a_falling_learning_rate_goes_on_falling_in_the_next_round(fit: Fit, tmp_path: Path) -> None:
    steps = 40 // BATCH
    checkpoints = Checkpoints(StoragePath(str(tmp_path / "rounds")))
    with pytest.raises(InterruptedError):
        fit([40, 40], tiny_model(falls_over=steps), stop_after=1, checkpoints=checkpoints)
    first = checkpoints.latest()
    assert first is not None
    last = fit([40, 40], tiny_model(falls_over=steps), checkpoints=checkpoints)
    assert [int(state.optimizer[0]) for state in (first, last)] == [steps, steps * EPOCHS]
    # The rate is 0 after one round: the last layer moves no more.
    assert same(first.weights[-2:], last.weights[-2:])
    assert not same(first.weights[-2:], fit([40, 40], tiny_model(falls_over=steps * EPOCHS)).weights[-2:])
