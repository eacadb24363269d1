"""Runs one engine of the aggregation bench: python -m bench.aggregate_engines ENGINE EVENTS RUNS.

The peers count the four event types and the last time per cookie, product, location and device, and write zstd Parquet,
as a script would. Ours also validates, quarantines and reconciles. Prints the seconds of each run as JSON.
"""

from __future__ import annotations

import json
import os
import shutil
import sys
import tempfile
import time
from collections.abc import Callable
from pathlib import Path
from typing import TYPE_CHECKING

from bench.hour import HOUR, TYPES

if TYPE_CHECKING:
    from pyspark.sql import SparkSession

KEY = ("cookie_id", "product_id", "location", "device")
CORES = 2


def duckdb_run(source: str, target: Path) -> Callable[[], None]:
    import duckdb

    connection = duckdb.connect()
    connection.execute(f"set threads={CORES}")
    counts = ", ".join(f"count(*) filter (event_type = '{type_}') as {type_}s" for type_ in TYPES)
    query = f"select {', '.join(KEY)}, {counts}, max(ts) as last_ts from '{source}' group by all"

    def run() -> None:
        connection.execute(f"copy ({query}) to '{target}' (compression zstd)")

    return run


def polars_run(source: str, target: Path) -> Callable[[], None]:
    import polars

    counts = [(polars.col("event_type") == type_).sum().alias(f"{type_}s") for type_ in TYPES]

    def run() -> None:
        frame = polars.scan_parquet(source, hive_partitioning=False)
        frame.group_by(*KEY).agg(*counts, polars.col("ts").max().alias("last_ts")).sink_parquet(
            target, compression="zstd"
        )

    return run


def spark_run(source: str, target: Path) -> Callable[[], None]:
    from pyspark.sql import functions as F

    spark = _spark()
    counts = [F.count_if(F.col("event_type") == type_).alias(f"{type_}s") for type_ in TYPES]

    def run() -> None:
        frame = spark.read.parquet(os.path.dirname(source))
        frame.groupBy(*KEY).agg(*counts, F.max("ts").alias("last_ts")).write.mode("overwrite").parquet(str(target))

    return run


def ours_run(source: str, target: Path) -> Callable[[], None]:
    from larder.jobs import aggregate_hours
    from larder.models.hours import as_text, hour

    spark = _spark()
    settings = target.parent / "larder.toml"
    events = Path(source).parent.parent.parent
    settings.write_text(f'[storage]\nevents = "{events}"\ntables = "{target}"\n[spark]\nshuffle_partitions = 4\n')
    end = as_text(hour(HOUR) + 1)

    def run() -> None:
        shutil.rmtree(target, ignore_errors=True)
        argv = ["--settings", str(settings), "--start", HOUR, "--end", end]
        aggregate_hours.run(spark, aggregate_hours.parse_arguments(argv))

    return run


def _spark() -> SparkSession:
    from larder.jobs.runtime.session import start_session
    from larder.settings import Settings, SparkSettings

    options = {"spark.sql.parquet.compression.codec": "zstd"}
    spark = SparkSettings(master=f"local[{CORES}]", driver_memory="8g", shuffle_partitions=4, options=options)
    return start_session("bench", Settings(spark=spark))


ENGINES = {"ours": ours_run, "spark": spark_run, "duckdb": duckdb_run, "polars": polars_run}


def main() -> None:
    engine, folder, runs = sys.argv[1], sys.argv[2], int(sys.argv[3])
    with tempfile.TemporaryDirectory() as work:
        run = ENGINES[engine](f"{folder}/*.parquet", Path(work) / "out")
        seconds = []
        for _ in range(runs):
            begun = time.perf_counter()
            run()
            seconds.append(time.perf_counter() - begun)
    print(json.dumps(seconds))


if __name__ == "__main__":
    main()
