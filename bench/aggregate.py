"""Measures the aggregation of one hour of logs: ours (validated, quarantined, reconciled), DuckDB, Polars and plain
Spark.

Each engine runs in a process of its own, one after the other; the best of its runs counts.
"""

from __future__ import annotations

import argparse
import json
import subprocess
import sys
import tempfile
from pathlib import Path

from bench.aggregate_engines import ENGINES
from bench.hour import write_hour
from bench.outcome import outcome


def main() -> None:
    parser = argparse.ArgumentParser(prog="python -m bench.aggregate", description=__doc__)
    parser.add_argument("--rows", type=float, default=10e6, help="rows of the hour (default: 10 million)")
    parser.add_argument("--runs", type=int, default=3, help="runs of each engine; the best counts (default: 3)")
    arguments = parser.parse_args()
    rows = int(arguments.rows)
    with tempfile.TemporaryDirectory() as work:
        folder = write_hour(Path(work) / "events", rows)
        rates = {engine: rows / _best(engine, folder, arguments.runs) for engine in ENGINES}
    ours = rates.pop("ours")
    print(outcome("aggregate", "rows/s", ours, rates, rows=rows))


def _best(engine: str, folder: Path, runs: int) -> float:
    command = [sys.executable, "-m", "bench.aggregate_engines", engine, str(folder), str(runs)]
    done = subprocess.run(command, check=True, capture_output=True, text=True)
    seconds = json.loads(done.stdout.splitlines()[-1])
    print(f"{engine:<8} {', '.join(f'{s:.2f}' for s in seconds)} s", flush=True)
    return min(seconds)


if __name__ == "__main__":
    main()
