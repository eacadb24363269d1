"""Computes the sums of Larder's jobs with DuckDB: python -m bench.duckdb_sums ARGUMENTS_AS_JSON.

`hours` makes counts by type and the last time per hour, cookie, product, location and device. `roll_up` makes a decayed
state per cookie and product, and per product, location and device, from the state before. It checks no row, but leaves
out rows whose quantity is not positive, so that the sums are the same.
"""

from __future__ import annotations

import json
import sys
import time
from pathlib import Path
from typing import Any

import duckdb
import pyarrow.parquet as pq

from bench.process_memory import Watched, watched

TYPES = {"impression": "impressions", "view": "views", "add_to_cart": "add_to_carts", "purchase": "purchases"}
HOUR = "epoch_us(ts) // 3600000000"


def in_own_process(**arguments: Any) -> tuple[Watched, float]:
    """Returns what the process took, and the seconds of the queries alone."""
    found = watched([sys.executable, "-m", "bench.duckdb_sums", json.dumps(arguments, default=str)])
    return found, float(found.output.splitlines()[-1])


def hours(connection: duckdb.DuckDBPyConnection, sources: str, target: str) -> None:
    """Counts hours. `sources` is a file with a list of files, or a pattern."""
    files = json.loads(Path(sources).read_text()) if sources.endswith(".json") else [sources]
    counts = ", ".join(f"count(*) filter (event_type = '{type_}') as {name}" for type_, name in TYPES.items())
    query = f"""select {HOUR} as hour, cookie_id, product_id, location, device, {counts}, max(ts) as last_ts
        from read_parquet(?, hive_partitioning = false) where coalesce(quantity, 1) > 0 group by all"""
    connection.execute(f"copy ({query}) to '{target}' (format parquet, compression zstd)", [files])


def roll_up(
    connection: duckdb.DuckDBPyConnection,
    counts: str,
    before: str,
    target: str,
    weights: dict[str, float],
    half_lives: dict[str, float],
    landmark: int,
) -> None:
    """Adds hours to a state. `half_lives` are in hours; decayed counts are relative to the hour `landmark`, so older
    sums need no change."""
    weight = " + ".join(f"{weights[type_]} * {name}" for type_, name in TYPES.items())
    keys = {"interactions": "cookie_id, product_id", "contexts": "product_id, location, device"}
    for table, key in keys.items():
        new = f"""select {key}, ({weight}) * pow(2.0, (hour - {landmark}) / {half_lives[table]}) as strength
            from '{counts}' where {weight} > 0"""
        state = f"union all select {key}, strength from '{before}/{table}.parquet'" if before else ""
        query = f"select {key}, sum(strength) as strength from ({new} {state}) group by {key}"
        connection.execute(f"copy ({query}) to '{target}/{table}.parquet' (format parquet, compression zstd)")


def rows_of(file: Path) -> int:
    """Returns the number of rows of a file, from its footer alone."""
    return pq.ParquetFile(file).metadata.num_rows


def main() -> None:
    arguments = json.loads(sys.argv[1])
    step, memory, cores = arguments.pop("step"), arguments.pop("memory"), arguments.pop("cores")
    connection = duckdb.connect()
    connection.execute(f"set threads = {cores}; set preserve_insertion_order = false")
    connection.execute(
        f"set memory_limit = '{memory}'; set temp_directory = '{Path(arguments['target']).parent}/spill'"
    )
    begun = time.perf_counter()
    if step == "hours":
        hours(connection, **arguments)
    else:
        roll_up(connection, **arguments)
    print(time.perf_counter() - begun)


if __name__ == "__main__":
    main()
