"""What a training keeps on disk: shards and checkpoints."""

from __future__ import annotations

import os
import tempfile
from collections.abc import Iterator
from pathlib import Path

import boto3
import numpy as np
import pytest
from s3_server import hold_keys, s3_server

from larder.jobs.vision.training_checkpoints import KEPT, Checkpoints, TrainingState
from larder.jobs.vision.training_shards import COMPLETE, Block, Shard, complete_shards, mark_complete, write_shard
from larder.storage import StoragePath

SHAPE, LABELS = (2, 3, 3), 5


def block(count: int, first: int = 0) -> tuple[np.ndarray, np.ndarray]:
    pixels = np.arange(first, first + count * 18, dtype=np.uint8).reshape(count, *SHAPE)
    return pixels, np.full((count, LABELS), first, np.uint8)


def test_samples_come_back_in_any_order(tmp_path: Path) -> None:
    shard = write_shard(StoragePath(str(tmp_path / "a" / "shard")), [block(2), block(1, 100)], SHAPE, LABELS)
    assert (shard.samples, shard.record_bytes) == (3, 18 + 5)
    pixels, labels = shard.batch(shard.records(), np.array([2, 0]))
    assert np.array_equal(pixels, [block(1, 100)[0][0], block(2)[0][0]])
    assert labels.tolist() == [[100] * 5, [0] * 5]
    assert [path.name for path in (tmp_path / "a").iterdir()] == ["shard"]


def test_a_shard_may_be_empty(tmp_path: Path) -> None:
    shard = write_shard(StoragePath(str(tmp_path / "shard")), [], SHAPE, LABELS)
    assert shard.records().shape == (0, 18 + 5)


def test_shards_count_once_all_are_written(tmp_path: Path) -> None:
    folder = StoragePath(str(tmp_path))
    shard = write_shard(folder / "shard", [block(2)], SHAPE, LABELS)
    assert complete_shards(folder) is None
    mark_complete(folder, [shard])
    assert complete_shards(folder) == [shard]
    assert (tmp_path / COMPLETE).exists()


def broken_blocks() -> Iterator[Block]:
    yield block(2)
    raise OSError("the pictures' store has gone")


def test_a_shard_whose_writing_is_cut_short_is_not_there(tmp_path: Path) -> None:
    with pytest.raises(OSError, match="gone"):
        write_shard(StoragePath(str(tmp_path / "run" / "shard")), broken_blocks(), SHAPE, LABELS)
    assert list(tmp_path.rglob("*")) == []


@pytest.mark.end_to_end
def test_an_object_whose_writing_is_cut_short_is_not_there(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    with s3_server() as url:
        hold_keys(monkeypatch, AWS_ENDPOINT_URL=url, AWS_DEFAULT_REGION="us-east-1")
        monkeypatch.setenv("SPARK_LOCAL_DIRS", str(tmp_path))
        boto3.client("s3", endpoint_url=url).create_bucket(Bucket="rounds")
        with pytest.raises(OSError, match="gone"):
            write_shard(StoragePath("s3a://rounds/shard"), broken_blocks(), SHAPE, LABELS)
        assert not StoragePath("s3a://rounds/shard").exists()
    assert list(tmp_path.iterdir()) == []


@pytest.mark.end_to_end
def test_a_shard_in_a_store_is_fetched_once(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    with s3_server() as url:
        hold_keys(monkeypatch, AWS_ENDPOINT_URL=url, AWS_DEFAULT_REGION="us-east-1")
        monkeypatch.setenv("SPARK_LOCAL_DIRS", str(tmp_path))
        store = boto3.client("s3", endpoint_url=url)
        store.create_bucket(Bucket="rounds")
        shard = write_shard(StoragePath("s3a://rounds/run/shard"), [block(2)], SHAPE, LABELS)
        assert np.array_equal(shard.batch(shard.records(), np.array([1]))[0], block(2)[0][1:])
        store.delete_object(Bucket="rounds", Key="run/shard")
        assert shard.records().shape == (2, 18 + 5)
        old = tmp_path / "larder-of-a-killed-training.shard"
        old.write_bytes(b"")
        os.utime(old, (0, 0))
        write_shard(StoragePath("s3a://rounds/run/other"), [block(1)], SHAPE, LABELS).records()
        assert not old.exists()
        shard.remove_copy()
        assert len(list(tmp_path.glob("larder-*"))) == 1
        checkpoints = Checkpoints(StoragePath("s3a://rounds/rounds"))
        checkpoints.save(state(1))
        assert (checkpoints.latest() or state(0)).as_bytes() == state(1).as_bytes()
    assert list(tmp_path.glob("*.shard")) and not list(Path(tempfile.gettempdir()).glob("larder-*.shard"))


def state(rounds: int) -> TrainingState:
    weights = [np.full((2, 2), rounds, np.float32), np.float32([rounds])]
    return TrainingState(weights, [np.array(rounds), *weights], [], weights, (0.5,) * rounds, (0.25,) * rounds)


def test_the_newest_checkpoint_is_gone_on_from(tmp_path: Path) -> None:
    checkpoints = Checkpoints(StoragePath(str(tmp_path)))
    assert checkpoints.latest() is None
    sizes = [checkpoints.save(state(rounds)) for rounds in (1, 2, 3)]
    found = checkpoints.latest()
    assert found is not None and found.rounds == 3
    assert found.as_bytes() == state(3).as_bytes()
    assert [path.stat().st_size for path in sorted(tmp_path.iterdir())] == sizes[-KEPT:]


@pytest.mark.parametrize("torn", [b"", b"PK\x03\x04", None])
def test_a_checkpoint_that_cannot_be_read_is_passed_over(
    tmp_path: Path, torn: bytes | None, capsys: pytest.CaptureFixture[str]
) -> None:
    checkpoints = Checkpoints(StoragePath(str(tmp_path)))
    for rounds in (1, 2):
        checkpoints.save(state(rounds))
    newest = max(tmp_path.iterdir())
    newest.write_bytes(newest.read_bytes()[:-200] if torn is None else torn)
    found = checkpoints.latest()
    assert found is not None and found.rounds == 1
    assert "round-00002.npz cannot be read" in capsys.readouterr().err


@pytest.mark.end_to_end
def test_the_model_for_inference_is_at_most_two_fifths_of_its_checkpoint() -> None:
    from larder.jobs.vision.saved_models import model_bytes
    from larder.models.vision.network import build_model, compile_model

    model = build_model(64, 64, np.full(276, 0.01, np.float32), 1)
    compile_model(model, 0.003)
    model.optimizer.build(model.trainable_variables)
    moments = [np.asarray(variable) for variable in model.optimizer.variables]
    assert len(model_bytes(model)) <= 0.4 * len(TrainingState(model.get_weights(), moments, losses=(0.1,)).as_bytes())


def test_a_shard_goes_with_a_task() -> None:
    import pickle

    shard = Shard("file:///a", 3, SHAPE, LABELS)
    assert pickle.loads(pickle.dumps(shard)) == shard
