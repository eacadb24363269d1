"""Measures hours of growing size from files to table: seconds, memory of every process, growth; DuckDB's GROUP BY
beside.

Each job runs in a process of its own, Java included. The hours are synthetic, with late rows, bots and invalid rows.
`--day-hours` hours of the largest size are aggregated and rolled up one after the other, and a day of 24 is
extrapolated from them.
"""

from __future__ import annotations

import argparse
import shutil
import tempfile
from pathlib import Path
from typing import Any

from bench import duckdb_sums
from bench.larder_jobs import folder_bytes, run_job, table_size, write_settings
from bench.outcome import outcome
from demo.synthetic import write_log
from demo.synthetic_shape import Shape
from larder.models.hours import as_text, hour, hour_partition

START = hour("2026-11-20T08")
ROWS_A_FILE = 2_500_000
FULL_HOUR = 41.7e6  # rows, at a billion a day
WARM_ROWS = 20_000


def main() -> None:
    parser = argparse.ArgumentParser(prog="python -m bench.full_hour", description=__doc__)
    sizes = [FULL_HOUR / 4, FULL_HOUR / 2, FULL_HOUR]
    parser.add_argument("--rows", type=float, nargs="+", default=sizes, help="rows of each hour, ascending")
    parser.add_argument("--runs", type=int, default=1, help="runs of each size and engine, by turns; the best counts")
    parser.add_argument("--day-hours", type=int, default=4, help="hours to extrapolate a day from; 0: no day")
    parser.add_argument("--event-ids", action="store_true", help="give events ids, so that duplicates have to be found")
    parser.add_argument("--driver-memory", default="4g", help="memory of Spark's driver, and of DuckDB (default: 4g)")
    parser.add_argument("--cores", type=int, default=2)
    parser.add_argument("--work", type=Path, default=None, help="folder for everything (default: a temporary one)")
    arguments = parser.parse_args()
    with tempfile.TemporaryDirectory(dir=arguments.work) as folder:
        _size(Path(folder) / "warm", WARM_ROWS, arguments)  # compiles the kernels, once after an installation
        measured = []
        for rows in arguments.rows:
            measured.append(_size(Path(folder) / "size", int(rows), arguments))
            print(measured[-1], flush=True)
        day = _day(Path(folder) / "day", int(arguments.rows[-1]), arguments) if arguments.day_hours else {}
    last = measured[-1]
    growth = last["seconds"] / measured[0]["seconds"] * measured[0]["rows"] / last["rows"]
    peers = {"duckdb": last["rows"] / last["duckdb_seconds"]}
    more = {"growth": round(growth, 3), "sizes": measured, "day": day}
    print(outcome("full_hour", "rows/s", last["rows"] / last["seconds"], peers, **more))


def _size(folder: Path, rows: int, arguments: argparse.Namespace) -> dict[str, Any]:
    settings = _prepare(folder, rows, 1, arguments)
    source, best = folder / "events" / hour_partition(START), {"ours": float("inf"), "duckdb": float("inf")}
    memory: dict[str, dict[str, int]] = {}
    for _ in range(arguments.runs):
        shutil.rmtree(folder / "tables", ignore_errors=True)
        found, seconds = run_job("aggregate-hours", settings, "--start", as_text(START), "--end", as_text(START + 1))
        best["ours"], memory["ours"] = min(best["ours"], seconds), found.megabytes()
        found, seconds = duckdb_sums.in_own_process(
            step="hours", sources=f"{source}/*.parquet", target=folder / "duckdb.parquet",
            memory=arguments.driver_memory.upper() + "B", cores=arguments.cores,
        )  # fmt: skip
        best["duckdb"], memory["duckdb"] = min(best["duckdb"], seconds), found.megabytes()
    result = {
        "rows": rows,
        "seconds": round(best["ours"], 2),
        "duckdb_seconds": round(best["duckdb"], 2),
        "megabytes": memory["ours"],
        "duckdb_megabytes": memory["duckdb"],
        "bytes_in": folder_bytes(source),
        "table": table_size(folder / "tables", "hourly_counts"),
    }
    shutil.rmtree(folder)
    return result


def _day(folder: Path, rows: int, arguments: argparse.Namespace) -> dict[str, Any]:
    """Aggregates and rolls up hour after hour, as the scheduler does."""
    settings = _prepare(folder, rows, arguments.day_hours, arguments)
    seconds, walls = [], []
    for number in range(START, START + arguments.day_hours):
        window = ["--start", as_text(number), "--end", as_text(number + 1)]
        counted, counting = run_job("aggregate-hours", settings, *window)
        first = ["--from-empty"] if number == START else []
        rolled, rolling = run_job("roll-up", settings, *window, *first)
        seconds.append((round(counting, 2), round(rolling, 2)))
        walls.append(counted.seconds + rolled.seconds)
        print(f"{as_text(number)}: aggregated in {counting:.1f} s, rolled up in {rolling:.1f} s", flush=True)
    shutil.rmtree(folder)
    return {
        "hours_measured": arguments.day_hours,
        "seconds_aggregating_and_rolling_up": seconds,
        "minutes_of_24_hours_reckoned": round(sum(walls) / len(walls) * 24 / 60, 1),  # with the start of Java
    }


def _prepare(folder: Path, rows: int, hours: int, arguments: argparse.Namespace) -> Path:
    folder.mkdir()
    shape = Shape(rows, swing=0.0, event_ids=arguments.event_ids)
    write_log(folder, shape, range(START, START + hours), ROWS_A_FILE, "zstd")
    storage = {"events": folder / "events", "tables": folder / "tables"}
    events = {"max_events_an_hour": shape.max_events_an_hour}
    spark = {"master": f"local[{arguments.cores}]", "driver_memory": arguments.driver_memory}
    return write_settings(folder / "larder.toml", storage=storage, events=events, spark=spark)


if __name__ == "__main__":
    main()
