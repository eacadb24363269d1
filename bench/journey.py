"""Measures aggregation and roll-up of all 567 million exposures of The Complete Journey and its purchases, beside
DuckDB.

The year is processed in windows, one after the other: each is aggregated, then added to the state of the one before.
DuckDB computes the same sums from the same files in the same windows. Every step is a process of its own, Java
included.
"""

from __future__ import annotations

import argparse
import json
import shutil
import subprocess
import sys
import tempfile
import time
from pathlib import Path
from typing import Any

from bench import duckdb_sums
from bench.larder_jobs import folder_bytes, manifests, run_job, table_size, write_settings
from bench.outcome import outcome
from bench.process_memory import Watched
from larder.models.hours import as_text, hour, hour_partition

# Tables to measure, and whether only their newest partition counts.
TABLES = {"hourly_counts": False, "quarantine": False, "interactions": True, "contexts": True}
WEIGHTS = {"impression": 0.02, "view": 0.2, "add_to_cart": 0.5, "purchase": 1.0}
HALF_LIVES_DAYS = {"interactions": 120.0, "contexts": 14.0}
HOURS_A_DAY = 24


def main() -> None:
    parser = argparse.ArgumentParser(prog="python -m bench.journey", description=__doc__)
    parser.add_argument("--start", type=hour, default="2017-01-01", metavar="HOUR")
    parser.add_argument("--end", type=hour, default="2018-01-02", metavar="HOUR")
    parser.add_argument("--window-days", type=int, default=28)
    parser.add_argument("--driver-memory", default="4g", help="memory of Spark's driver (default: 4g)")
    parser.add_argument("--duckdb-memory", default="10GB", help="memory of DuckDB; 4GB is too little (default: 10GB)")
    parser.add_argument("--cores", type=int, default=2)
    parser.add_argument("--work", type=Path, default=None, help="working folder; a year needs some 30 GB")
    arguments = parser.parse_args()
    with tempfile.TemporaryDirectory(dir=arguments.work) as folder:
        print(_compared(Path(folder), arguments))


def _compared(folder: Path, arguments: argparse.Namespace) -> str:
    begun = time.perf_counter()
    span = ["--start", as_text(arguments.start), "--end", as_text(arguments.end)]
    command = [sys.executable, "-m", "demo.complete_journey", "--to", str(folder / "events"), *span]
    subprocess.run(command, check=True)
    writing = time.perf_counter() - begun
    step = arguments.window_days * HOURS_A_DAY
    windows = [(at, min(at + step, arguments.end)) for at in range(arguments.start, arguments.end, step)]
    ours = _Ours(folder, arguments)
    theirs = _DuckDb(folder, arguments, landmark=arguments.end)
    for start, end in windows:
        print(f"{as_text(start)}: ours {_text(ours.window(start, end))}", end="", flush=True)
        print(f", duckdb {_text(theirs.window(start, end))}", flush=True)
    rows = ours.rows_in()
    sizes = {name: table_size(folder / "tables", name, newest) for name, newest in TABLES.items()}
    more: dict[str, Any] = {
        "rows": rows,
        "windows": len(windows),
        "seconds": {"writing_events": round(writing, 1), "ours": ours.steps(), "duckdb": theirs.steps()},
        "megabytes": {"ours": ours.watched.megabytes(), "duckdb": theirs.watched.megabytes()},
        "bytes": {"events": folder_bytes(folder / "events"), "tables_on_disk": folder_bytes(folder / "tables")},
        "tables": sizes,
        "duckdb_rows": theirs.rows(),
    }
    return outcome("journey", "rows/s", rows / sum(ours.seconds), {"duckdb": rows / sum(theirs.seconds)}, **more)


class _Ours:
    def __init__(self, folder: Path, arguments: argparse.Namespace) -> None:
        self.folder, self.start = folder, arguments.start
        self.seconds, self.watched = [0.0, 0.0], Watched()
        half_lives = {f"{name}_half_life_days": days for name, days in HALF_LIVES_DAYS.items()}
        self.settings = write_settings(
            folder / "larder.toml",
            storage={"events": folder / "events", "tables": folder / "tables"},
            events={"max_events_an_hour": 1_000_000},  # visiting three stores in an hour does not make a bot
            weights=WEIGHTS,
            roll_up={**half_lives, "horizon_days": 1000},
            spark={"master": f"local[{arguments.cores}]", "driver_memory": arguments.driver_memory},
        )

    def window(self, start: int, end: int) -> tuple[float, float]:
        window = ["--start", as_text(start), "--end", as_text(end)]
        first = ["--from-empty"] if start == self.start else []
        took = []
        for number, (verb, more) in enumerate((("aggregate-hours", []), ("roll-up", first))):
            found, seconds = run_job(verb, self.settings, *window, *more)
            self.watched.join(found)
            self.seconds[number] += seconds
            took.append(seconds)
        return took[0], took[1]

    def steps(self) -> dict[str, float]:
        steps = {"aggregate_hours": self.seconds[0], "roll_up": self.seconds[1], "wall": self.watched.seconds}
        return {name: round(seconds, 1) for name, seconds in steps.items()}

    def rows_in(self) -> int:
        return sum(manifest["counts"]["rows_in"] for manifest in manifests(self.folder / "tables", "hourly_counts"))


class _DuckDb:
    def __init__(self, folder: Path, arguments: argparse.Namespace, landmark: int) -> None:
        self.folder, self.landmark, self.before = folder / "duckdb", landmark, ""
        self.events = folder / "events"
        self.limits = {"memory": arguments.duckdb_memory, "cores": arguments.cores}
        self.seconds, self.watched = [0.0, 0.0], Watched()
        self.groups = 0
        self.folder.mkdir()

    def window(self, start: int, end: int) -> tuple[float, float]:
        folders = (self.events / hour_partition(number) for number in range(start, end))
        sources = [str(path) for folder in folders for path in sorted(folder.glob("*.parquet"))]
        listed = self.folder / "sources.json"  # too long for a command line
        counts, state = self.folder / f"counts-{start}.parquet", self.folder / f"state-{start}"
        listed.write_text(json.dumps(sources))
        state.mkdir()
        half_lives = {name: days * HOURS_A_DAY for name, days in HALF_LIVES_DAYS.items()}
        found, counting = duckdb_sums.in_own_process(step="hours", sources=listed, target=counts, **self.limits)
        self.watched.join(found)
        found, rolling = duckdb_sums.in_own_process(
            step="roll_up", counts=counts, before=self.before, target=state, weights=WEIGHTS,
            half_lives=half_lives, landmark=self.landmark, **self.limits,
        )  # fmt: skip
        self.watched.join(found)
        self.groups += duckdb_sums.rows_of(counts)
        if self.before:
            shutil.rmtree(self.before)
        counts.unlink()
        self.before = str(state)
        self.seconds = [self.seconds[0] + counting, self.seconds[1] + rolling]
        return counting, rolling

    def steps(self) -> dict[str, float]:
        return {"hours": round(self.seconds[0], 1), "roll_up": round(self.seconds[1], 1)}

    def rows(self) -> dict[str, int]:
        states = {name: duckdb_sums.rows_of(Path(self.before) / f"{name}.parquet") for name in HALF_LIVES_DAYS}
        return {"hourly_counts": self.groups, **states}


def _text(seconds: tuple[float, float]) -> str:
    return " + ".join(f"{each:.1f}" for each in seconds) + " s"


if __name__ == "__main__":
    main()
