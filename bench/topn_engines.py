"""Runs one engine of the top-N bench: python -m bench.topn_engines ENGINE FOLDER.

The folder has users.parquet (key, factors, purchases) and items.parquet. The last line is JSON: seconds.
"""

from __future__ import annotations

import json
import os
import sys
import time
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt
import pyarrow.parquet as pq
from threadpoolctl import threadpool_limits

from larder.models import columns as C

TOP, CORES, RUNS = 30, 2, 2
GEMM_ROWS = 2048
Floats = npt.NDArray[np.float32]


def ours(folder: Path) -> float:
    """Goes from Parquet to Parquet, and leaves out what a user bought."""
    from larder.models.lists.top_n_lists import personal_lists
    from larder.models.ranking.rankers import ALWAYS, BlendRanker, ListRules

    spark, rules = _spark(), ListRules(TOP, ALWAYS)
    items = spark.read.parquet(str(folder / "items.parquet"))
    allowed = np.ones(items.count(), bool)

    def lists() -> None:
        users = spark.read.parquet(str(folder / "users.parquet"))
        personal_lists(users, items, allowed, BlendRanker(0.0), rules).write.mode("overwrite").parquet(
            str(folder / "ours")
        )

    return _best(lists)


def mllib(folder: Path) -> float:
    """Runs recommendForAllUsers on the same factors, Parquet to Parquet; it cannot leave anything out."""
    from pyspark.ml.recommendation import ALSModel
    from pyspark.sql import functions as F

    spark = _spark()
    users = spark.read.parquet(str(folder / "few.parquet")).select(
        F.col(C.COOKIE_KEY).cast("int").alias("id"), C.FACTORS
    )
    items = spark.read.parquet(str(folder / "items.parquet")).select(F.col(C.PRODUCT_NUMBER).alias("id"), C.FACTORS)
    sides = [side.withColumnRenamed(C.FACTORS, "features")._jdf for side in (users, items)]
    rank = len(pq.read_table(folder / "items.parquet")[C.FACTORS][0])
    java: Any = spark._jvm
    made = java.org.apache.spark.ml.recommendation.ALSModel("als", rank, *sides)
    made.setUserCol("user")
    made.setItemCol("item")
    model = ALSModel(made)

    def lists() -> None:
        model.recommendForAllUsers(TOP).write.mode("overwrite").parquet(str(folder / "mllib"))

    return _best(lists)


def faiss_flat(folder: Path) -> float:
    """Searches in memory only, and leaves nothing out."""
    import faiss

    users, items = _matrices(folder)
    faiss.omp_set_num_threads(CORES)
    index = faiss.IndexFlatIP(items.shape[1])
    index.add(items)
    return _best(lambda: index.search(users, TOP))


def gemm(folder: Path) -> float:
    """Computes all scores, and does nothing with them."""
    users, items = _matrices(folder)

    def product() -> None:
        for start in range(0, len(users), GEMM_ROWS):
            users[start : start + GEMM_ROWS] @ items.T

    with threadpool_limits(CORES, "blas"):
        return _best(product)


ENGINES = {"ours": ours, "faiss flat": faiss_flat, "gemm": gemm, "MLlib": mllib}


def _best(run: Any) -> float:
    seconds = []
    for _ in range(RUNS):
        begun = time.perf_counter()
        run()
        seconds.append(time.perf_counter() - begun)
    return min(seconds)


def _matrices(folder: Path) -> tuple[Floats, Floats]:
    return _factors(folder / "few.parquet"), _factors(folder / "items.parquet")


def _factors(path: Path) -> Floats:
    lists = pq.read_table(path, columns=[C.FACTORS])[C.FACTORS].combine_chunks()
    return lists.flatten().to_numpy().reshape(len(lists), -1)


def _spark() -> Any:
    from larder.jobs.runtime.session import start_session
    from larder.settings import Settings, SparkSettings

    os.environ.setdefault("PYSPARK_PYTHON", sys.executable)
    return start_session("bench", Settings(spark=SparkSettings(master=f"local[{CORES}]", driver_memory="8g")))


if __name__ == "__main__":
    print(json.dumps(ENGINES[sys.argv[1]](Path(sys.argv[2]))))
