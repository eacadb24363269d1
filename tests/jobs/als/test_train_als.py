"""Training on Spark: as good as another implementation, the same bytes again, and cases at the edge."""

from __future__ import annotations

import argparse
import pickle
from dataclasses import replace
from pathlib import Path

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
import pytest
from pyspark.sql import SparkSession
from written_tables import write_table

from larder.jobs import train_als
from larder.jobs.als import block_files
from larder.jobs.als.als_training import train_factors
from larder.jobs.als.block_files import remove_training
from larder.jobs.als.interaction_blocks import InteractionFiles, NoStrengthError, counted
from larder.jobs.als.spark_solver import AlsDivergedError
from larder.jobs.runtime import training_files
from larder.jobs.runtime.training_files import remove
from larder.models.als.als_parameters import AlsParameters
from larder.models.hours import as_of_partition
from larder.models.interactions.decay import UNIT
from larder.models.tables import INTERACTIONS
from larder.settings import AlsSettings, Settings, StorageSettings
from larder.storage import Manifest, StoragePath, Tables
from larder.storage.manifests import plan_run

pytestmark = pytest.mark.end_to_end

AS_OF = 420_096
RANK, REGULARISATION = 8, 10.0
PARAMETERS = AlsParameters(
    rank=RANK,
    iterations=5,
    regularisation=REGULARISATION,
    alpha=1.0,
    seed=1,
    blocks=2,
    scaling=0.0,
    interactions_per_block=300,
)
Pairs = dict[tuple[int, int], int]


def written(folder: Path, pairs: Pairs, files: int = 2, group: int = 1 << 20) -> InteractionFiles:
    """Interactions of cookies and items with these strengths, in files of ranges of cookies, `group` rows a group."""
    folder.mkdir(parents=True, exist_ok=True)
    rows = sorted(pairs)
    cookies = sorted({cookie for cookie, _ in rows})
    uris = []
    for number in range(files):
        mine = set(cookies[len(cookies) * number // files : len(cookies) * (number + 1) // files])
        some = [row for row in rows if row[0] in mine]
        table = pa.table(
            {
                "cookie_key": pa.array([cookie for cookie, _ in some], pa.int64()),
                "product_id": pa.array([f"p{item:03d}" for _, item in some], pa.string()),
                "strength": pa.array([pairs[row] for row in some], pa.int64()),
            }
        )
        uris.append(str(folder / f"part-{number:05d}.parquet"))
        pq.write_table(table, uris[-1], row_group_size=group)
    return InteractionFiles(uris, 1.0)


def trained(
    spark: SparkSession, folder: Path, pairs: Pairs, parameters: AlsParameters = PARAMETERS, group: int = 1 << 20
) -> tuple:
    """Factors of users and items by key, and the files' bytes."""
    interactions = written(folder / "interactions", pairs, group=group)
    places = StoragePath(str(folder / "users")), StoragePath(str(folder / "items"))
    scratch = StoragePath(str(folder / "scratch"))
    train_factors(spark, interactions, parameters, scratch, *places)
    remove_training(scratch)
    found = []
    for place in places:
        rows = [row for file in place.files() for row in pq.read_table(file.path).to_pylist()]
        found.append({next(iter(row.values())): np.array(row["factors"], np.float32) for row in rows})
    data = [Path(file.path).read_bytes() for place in places for file in place.files()]
    return found[0], found[1], data


def random_pairs(users: int = 120, items: int = 40, pairs: int = 1500) -> Pairs:
    draw = np.random.default_rng(5)
    some = zip(
        draw.integers(0, users, pairs).tolist(), (items * draw.random(pairs) ** 2).astype(int).tolist(), strict=True
    )
    return {pair: int(strength) for pair, strength in zip(some, 1 + draw.poisson(1.0, pairs), strict=False)}


def objective(users: np.ndarray, items: np.ndarray, confidence: np.ndarray, regularisation: float) -> float:
    """Hu, Koren, Volinsky 2008, formula 3."""
    preference = (confidence > 1).astype(float)
    loss = (confidence * (preference - users @ items.T) ** 2).sum()
    return float(loss + regularisation * ((users**2).sum() + (items**2).sum()))


def test_the_objective_is_that_of_another_implementation(spark: SparkSession, tmp_path: Path) -> None:
    implicit = pytest.importorskip("implicit")
    from scipy.sparse import csr_matrix

    pairs = random_pairs()
    users, items, _ = trained(spark, tmp_path, pairs)
    confidence = np.ones((120, 40))
    for (user, item), strength in pairs.items():
        confidence[user, item] = 1 + strength
    ours = [np.zeros((120, RANK)), np.zeros((40, RANK))]
    for key, factors in users.items():
        ours[0][key] = factors
    for name, factors in items.items():
        ours[1][int(name[1:])] = factors
    other = implicit.als.AlternatingLeastSquares(
        RANK, REGULARISATION, 1.0, iterations=60, use_cg=False, random_state=1, num_threads=1
    )
    other.fit(csr_matrix(np.where(confidence > 1, confidence, 0).astype(np.float32)), show_progress=False)
    theirs = objective(other.user_factors, other.item_factors, confidence, REGULARISATION)
    assert objective(ours[0], ours[1], confidence, REGULARISATION) == pytest.approx(theirs, rel=0.01)


def test_what_was_planted_is_found(spark: SparkSession, tmp_path: Path) -> None:
    """Two blocks of users and items; each user's own item was withheld, and is the best of those not taken."""
    pairs = {
        (block * 8 + user, block * 8 + item): 5
        for block in range(2)
        for user in range(8)
        for item in range(8)
        if user != item
    }
    users, items, _ = trained(spark, tmp_path, pairs, replace(PARAMETERS, rank=3, regularisation=0.1, iterations=3))
    for user, factors in users.items():
        scores = {name: float(factors @ of_item) for name, of_item in items.items()}
        others = [score for name, score in scores.items() if int(name[1:]) // 8 != user // 8]
        assert scores[f"p{user:03d}"] > max(others), user


def test_row_groups_of_a_file_make_no_difference(spark: SparkSession, tmp_path: Path) -> None:
    """Each has a dictionary of products of its own."""
    pairs = random_pairs()
    _, _, whole = trained(spark, tmp_path / "whole", pairs)
    _, _, groups = trained(spark, tmp_path / "groups", pairs, group=100)
    assert groups == whole


def test_counts_travel_in_no_more_bytes_than_they_have(tmp_path: Path) -> None:
    interactions = written(tmp_path, {(1, item): 1 for item in range(100_000)}, files=1)
    counts = counted(interactions.uris[0])
    assert len(pickle.dumps(counts)) < 1.1 * counts.nbytes


def test_sums_are_the_same_in_tasks_as_in_the_driver(
    spark: SparkSession, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    pairs, parameters = random_pairs(), replace(PARAMETERS, blocks=3)
    _, _, in_driver = trained(spark, tmp_path / "driver", pairs, parameters)
    monkeypatch.setattr("larder.jobs.als.spark_solver.DRIVER_BYTES", 0)
    _, _, in_tasks = trained(spark, tmp_path / "tasks", pairs, parameters)
    assert in_tasks == in_driver


def test_the_same_seed_gives_the_same_bytes_also_after_a_kill(spark: SparkSession, tmp_path: Path) -> None:
    pairs = random_pairs()
    parameters = replace(PARAMETERS, iterations=3)
    _, _, once = trained(spark, tmp_path / "once", pairs, parameters)
    folder = tmp_path / "killed"
    interactions = written(folder / "interactions", pairs)
    begun: list[int] = []

    def killed_in_the_third(number: int) -> None:
        begun.append(number)
        if begun == [1, 2, 3]:
            raise KeyboardInterrupt

    places = (
        StoragePath(str(folder / "scratch")),
        StoragePath(str(folder / "users")),
        StoragePath(str(folder / "items")),
    )
    with pytest.raises(KeyboardInterrupt):
        train_factors(spark, interactions, parameters, *places, killed_in_the_third)
    train_factors(spark, interactions, parameters, *places, killed_in_the_third)
    assert begun == [1, 2, 3, 3]
    assert [Path(file.path).read_bytes() for place in places[1:] for file in place.files()] == once
    _, _, other = trained(spark, tmp_path / "once", pairs, replace(parameters, seed=2))
    assert other != once


@pytest.mark.parametrize("content", [b"", b"ARROW1", b"\0" * 5000, None])
def test_what_a_loss_of_power_leaves_of_a_training_is_named(tmp_path: Path, content: bytes | None) -> None:
    path = tmp_path / "training" / "items-003.arrow"
    training_files.write_arrays(StoragePath(str(path)), {"factors": np.ones(9)})
    path.unlink() if content is None else path.write_bytes(content)
    with pytest.raises(training_files.DamagedTrainingError) as caught:
        training_files.read_arrays(StoragePath(str(path)))
    said = str(caught.value)
    assert said.startswith(f"{path}, of a training that was cut short, can't be read (")
    assert said.endswith(f"; remove {path.parent} and run it again")


def test_a_training_can_go_on_from_what_a_killed_removal_leaves(
    spark: SparkSession, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Killed at each of its three deletions; the last, of the folder, is half done then."""
    pairs, parameters = random_pairs(40, 20, 300), replace(PARAMETERS, iterations=2)
    *_, once = trained(spark, tmp_path / "once", pairs, parameters)
    folder = tmp_path / "again"
    interactions = written(folder / "interactions", pairs)
    places = (
        StoragePath(str(folder / "scratch")),
        StoragePath(str(folder / "users")),
        StoragePath(str(folder / "items")),
    )
    train_factors(spark, interactions, parameters, *places)
    for done in range(3):
        deleted: list[StoragePath] = []

        def killed_after(place: StoragePath, some: list[StoragePath] = deleted, most: int = done) -> None:
            if len(some) == most:
                for file in place.files()[:3]:
                    Path(file.path).unlink()
                raise KeyboardInterrupt
            some.append(place)
            remove(place)

        with monkeypatch.context() as patched, pytest.raises(KeyboardInterrupt):
            patched.setattr(block_files, "remove", killed_after)
            remove_training(places[0])
        train_factors(spark, interactions, parameters, *places)
        assert [Path(file.path).read_bytes() for place in places[1:] for file in place.files()] == once
    remove_training(places[0])
    assert not places[0].exists()


def test_what_a_training_kept_is_there_until_it_is_published(
    spark: SparkSession, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    tables = Tables(str(tmp_path))
    settings = Settings(storage=StorageSettings(tables=tables.root), als=AlsSettings(rank=2, iterations=1, blocks=1))
    rows = [(cookie, f"p{item}", UNIT, 1, AS_OF, AS_OF) for cookie in range(4) for item in range(3)]
    planned = plan_run("interactions", as_of_partition(AS_OF), {}, {"half_life": 240.0, "landmark": float(AS_OF)})
    write_table(tables, planned, INTERACTIONS.schema, rows)
    arguments = argparse.Namespace(settings=settings, as_of=AS_OF)
    publish = Tables.publish

    def killed_between(self: Tables, manifest: Manifest) -> None:
        if manifest.table == "item_factors":
            raise KeyboardInterrupt
        publish(self, manifest)

    with monkeypatch.context() as patched, pytest.raises(KeyboardInterrupt):
        patched.setattr(Tables, "publish", killed_between)
        train_als.run(spark, arguments)
    [state] = tmp_path.glob("als_scratch/*/items-001.arrow")
    assert "up_to_date" not in train_als.run(spark, arguments).details
    assert not state.parent.exists()
    state.parent.mkdir()  # as when it was killed while it removed them
    state.touch()
    assert train_als.run(spark, arguments).details["up_to_date"]
    assert not state.parent.exists()


@pytest.mark.parametrize(
    ("pairs", "users", "items"),
    [
        pytest.param({(1, 1): 1}, 1, 1, id="one user, one item"),
        pytest.param({(1, item): 1 for item in range(30)}, 1, 30, id="one user"),
        pytest.param({(user, 1): 1 for user in range(30)}, 30, 1, id="one item"),
        pytest.param({(user, item): 2 for user in range(12) for item in range(12)}, 12, 12, id="all equal"),
        pytest.param({(1, 1): 10_000, (2, 2): 1, (2, 1): 1}, 2, 2, id="ten thousand purchases of one thing"),
        pytest.param({(1, item): 1 for item in range(10_000)} | {(2, 1): 1}, 2, 10_000, id="ten thousand things"),
        pytest.param({(1, 1): 1, (2, 1): 1, (2, 2): 0, (3, 3): 0}, 2, 1, id="no strength"),
    ],
)
def test_edges(spark: SparkSession, tmp_path: Path, pairs: Pairs, users: int, items: int) -> None:
    found = trained(spark, tmp_path, pairs, replace(PARAMETERS, iterations=2))
    assert (len(found[0]), len(found[1])) == (users, items)
    for factors in found[:2]:
        assert all(np.isfinite(row).all() for row in factors.values())
    for (user, item), strength in pairs.items():
        if strength:
            assert found[0][user] @ found[1][f"p{item:03d}"] > 0


def test_nothing_to_learn_from_is_an_error_of_mllib_too(spark: SparkSession, tmp_path: Path) -> None:
    settings = Settings(storage=StorageSettings(tables=str(tmp_path)), als=AlsSettings(engine="mllib"))
    planned = plan_run("interactions", as_of_partition(AS_OF), {}, {"half_life": 240.0, "landmark": AS_OF})
    write_table(Tables(str(tmp_path)), planned, INTERACTIONS.schema, [])
    with pytest.raises(NoStrengthError, match="weights"):
        train_als.run(spark, argparse.Namespace(settings=settings, as_of=AS_OF))


def test_nothing_to_learn_from_is_an_error(spark: SparkSession, tmp_path: Path) -> None:
    with pytest.raises(NoStrengthError, match="weights"):
        trained(spark, tmp_path, {(1, 1): 0})


def test_factors_that_are_no_numbers_end_the_training(spark: SparkSession, tmp_path: Path) -> None:
    """Squares of such confidences are beyond single precision, and every list would be empty."""
    pairs = {pair: 10**18 for pair in random_pairs(40, 20, 300)}
    interactions = replace(written(tmp_path / "interactions", pairs), factor=1e18)
    places = [StoragePath(str(tmp_path / name)) for name in ("scratch", "users", "items")]
    with pytest.raises(AlsDivergedError, match="iteration 1 of the training gave factors that are not finite"):
        train_factors(spark, interactions, PARAMETERS, *places)
    assert not places[1].exists() and not places[2].exists()
