"""Runs one engine of the ALS bench: python -m bench.als_engines ENGINE FOLDER SHAPE TARGET PATIENCE.

Trains from scratch with 1, 2, 3, ... iterations until NDCG@10 reaches the target. After PATIENCE seconds it gives up,
and `reached` is false. With target 0 it finds the best NDCG@10 of several iterations. Each training goes from the
table's Parquet files to factors in Parquet; `fit` is the part from interactions in the engine's own form in memory
(Larder: in its block files). The last line is JSON.
"""

from __future__ import annotations

import json
import os
import shutil
import sys
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt
import pyarrow as pa
import pyarrow.parquet as pq
from threadpoolctl import threadpool_limits

from bench.tastes import Tastes, tastes
from larder.models import columns as C
from larder.models.als.als_parameters import AlsParameters
from larder.models.als.mllib_als import RATING, train_with_mllib
from larder.models.interactions.decay import UNIT

RANK, ALPHA, SEED, CORES = 64, 1.0, 1, 2
REGULARISATION = 10.0  # of implicit and ours, which is the same for all users
MLLIB_REGULARISATION = 0.3  # MLlib multiplies it by a user's interactions, 30 on average
MOST_ITERATIONS, SEARCHED = 12, 8
Floats = npt.NDArray[np.float32]
Trained = tuple[Floats, Floats]


class Engine:
    """A way to train factors. `train` returns the seconds of the fit alone, and writes factors to `users` and `items`
    of the folder."""

    def __init__(self, folder: Path) -> None:
        self.folder = folder
        self.files = sorted(str(path) for path in (folder / "interactions").glob("*.parquet"))
        self.users, self.items = folder / "users", folder / "items"

    def train(self, iterations: int) -> float:
        raise NotImplementedError


class Larder(Engine):
    def __init__(self, folder: Path) -> None:
        super().__init__(folder)
        self.spark = _spark()

    def train(self, iterations: int) -> float:
        from larder.jobs.als.als_training import write_item_factors
        from larder.jobs.als.interaction_blocks import InteractionFiles, count_items, user_blocks
        from larder.jobs.als.spark_solver import AlsTraining, write_user_factors
        from larder.storage import StoragePath

        parameters = AlsParameters(RANK, iterations, REGULARISATION, ALPHA, SEED, CORES, scaling=0.0)
        interactions = InteractionFiles(self.files, ALPHA / UNIT)
        scratch = self.folder / "scratch"
        shutil.rmtree(scratch, ignore_errors=True)
        items = count_items(self.spark, interactions)
        blocks = user_blocks(self.spark, interactions, items.ids, StoragePath(str(scratch)), 500_000)
        begun = time.perf_counter()
        factors = AlsTraining(self.spark, blocks, parameters, items.counts).item_factors()
        write_user_factors(self.spark, blocks, parameters, factors, StoragePath(str(self.users)), iterations - 1)
        fit = time.perf_counter() - begun
        write_item_factors(StoragePath(str(self.items)), items.ids, factors)
        return fit


class MLlib(Engine):
    def __init__(self, folder: Path) -> None:
        super().__init__(folder)
        self.spark = _spark()

    def train(self, iterations: int) -> float:
        from pyspark.sql import functions as F

        parameters = AlsParameters(RANK, iterations, MLLIB_REGULARISATION, ALPHA, SEED, 2 * CORES)
        strength = (F.col(C.STRENGTH) / UNIT).cast("float").alias(RATING)
        ratings = self.spark.read.parquet(*self.files).select(C.COOKIE_KEY, C.PRODUCT_ID, strength).cache()
        ratings.count()
        begun = time.perf_counter()
        users, items = train_with_mllib(ratings, parameters)
        users.write.mode("overwrite").parquet(str(self.users))
        items.write.mode("overwrite").parquet(str(self.items))
        fit = time.perf_counter() - begun
        ratings.unpersist()
        return fit


class Implicit(Engine):
    """The package implicit, as a careful person would use it."""

    def train(self, iterations: int, callback: Callable[..., None] | None = None) -> float:
        import implicit
        import scipy.sparse

        table = pq.read_table(self.files, read_dictionary=[C.PRODUCT_ID])
        products = table[C.PRODUCT_ID].unify_dictionaries().combine_chunks()
        cookies, users = np.unique(table[C.COOKIE_KEY].to_numpy(), return_inverse=True)
        confidence = (1 + ALPHA / UNIT * table[C.STRENGTH].to_numpy()).astype(np.float32)
        matrix = scipy.sparse.coo_matrix((confidence, (users, products.indices.to_numpy()))).tocsr()
        model = implicit.als.AlternatingLeastSquares(
            RANK, REGULARISATION, 1.0, iterations=iterations, num_threads=CORES, random_state=SEED
        )
        self.cookies, self.ids, self.model = cookies, products.dictionary, model
        begun = time.perf_counter()
        with threadpool_limits(1, "blas"):
            model.fit(matrix, show_progress=False, callback=callback)
        fit = time.perf_counter() - begun
        self.write()
        return fit

    def write(self) -> None:
        for place, key, names, factors in (
            (self.users, C.COOKIE_KEY, self.cookies, self.model.user_factors),
            (self.items, C.PRODUCT_ID, self.ids, self.model.item_factors),
        ):
            place.mkdir(exist_ok=True)
            lists = pa.FixedSizeListArray.from_arrays(pa.array(factors.reshape(-1)), RANK)
            pq.write_table(pa.table({key: names, C.FACTORS: lists}), place / "part.parquet", compression="zstd")


ENGINES: dict[str, type[Engine]] = {"ours": Larder, "implicit": Implicit, "MLlib": MLlib}


def _spark() -> Any:
    from larder.jobs.runtime.session import start_session
    from larder.settings import Settings, SparkSettings

    os.environ.setdefault("PYSPARK_PYTHON", sys.executable)
    return start_session("bench", Settings(spark=SparkSettings(master=f"local[{CORES}]", driver_memory="8g")))


def factors_of(folder: Path, made: Tastes) -> Trained:
    """Returns the factors of all users (n_users, rank) and items (n_items, rank); zeros for those without factors."""
    users, items = pq.read_table(folder / "users"), pq.read_table(folder / "items")
    numbers = np.array([int(name[1:]) for name in items[C.PRODUCT_ID].to_pylist()])
    return (
        _matrix(users[C.COOKIE_KEY].to_numpy(), users[C.FACTORS], made.n_users),
        _matrix(numbers, items[C.FACTORS], made.n_items),
    )


def _matrix(rows: npt.NDArray[np.integer], factors: pa.ChunkedArray, size: int) -> Floats:
    matrix = np.zeros((size, RANK), np.float32)
    matrix[rows] = factors.combine_chunks().flatten().to_numpy().reshape(-1, RANK)
    return matrix


def main() -> None:
    name, folder, shape = sys.argv[1], Path(sys.argv[2]), json.loads(sys.argv[3])
    target, patience = map(float, sys.argv[4:6])
    made, engine = tastes(*shape), ENGINES[name](folder)
    if not target:
        assert isinstance(engine, Implicit)
        found: list[float] = []
        engine.train(SEARCHED, lambda number, *_: found.append(_ndcg_now(engine, made)))
        print(json.dumps({"ndcg": found}))
        return
    runs: list[dict[str, Any]] = []
    started = time.monotonic()
    for iterations in range(1, MOST_ITERATIONS + 1):
        for place in (engine.users, engine.items):
            shutil.rmtree(place, ignore_errors=True)
        begun = time.perf_counter()
        fit = engine.train(iterations)
        whole = time.perf_counter() - begun
        ndcg = made.ndcg(*factors_of(folder, made))
        runs.append(
            {
                "iterations": iterations,
                "seconds": round(whole, 2),
                "fit": round(fit, 2),
                "ndcg": round(ndcg, 4),
                "reached": ndcg >= target,
            }
        )
        print(name, runs[-1], flush=True)
        if ndcg >= target or time.monotonic() - started > patience:
            break
    print(json.dumps(runs[-1]))


def _ndcg_now(engine: Implicit, made: Tastes) -> float:
    engine.write()
    return made.ndcg(*factors_of(engine.folder, made))


if __name__ == "__main__":
    main()
