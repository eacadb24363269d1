"""Measures the report of an experiment (`larder report experiment`) beside DuckDB computing the same sums.

A quarter, a half and all of the impressions are reported, to show how memory grows. Every run is a process of its own,
one after the other. What both found must be the same in each arm, segment and metric. Ours also validates events,
computes the statistics and writes the page.
"""

from __future__ import annotations

import argparse
import json
import math
import sys
import tempfile
from pathlib import Path
from typing import Any

import numpy as np

from bench import duckdb_experiment
from bench.experiment_log import ARMS, HOURS, NAME, START, write_experiment
from bench.larder_jobs import write_settings
from bench.outcome import outcome
from bench.process_memory import Watched, watched
from larder.models.experiments.comparison import compared
from larder.models.experiments.moments import Moments
from larder.models.hours import as_text

WITHIN = 2  # hours; events come up to three hours after their impression
PLANNED = 100_000
TOLERANCE = 1e-9
PARTS = (0.25, 0.5, 1.0)
HUNDREDTHS = {"revenue": 100}


class DifferentSumsError(AssertionError):
    """Larder and DuckDB do not agree on an arm, segment or metric."""


def main() -> None:
    parser = argparse.ArgumentParser(prog="python -m bench.experiment", description=__doc__)
    parser.add_argument("--impressions", type=float, default=1e7, help="impressions of the log (default: 10 million)")
    parser.add_argument("--cores", type=int, default=2)
    parser.add_argument("--driver-memory", default="2g", help="memory of Spark's driver (default: 2g)")
    parser.add_argument("--duckdb-memory", default="4GB", help="memory of DuckDB (default: 4GB)")
    parser.add_argument("--work", type=Path, default=None, help="working folder; 100 million impressions need 10 GB")
    arguments = parser.parse_args()
    print(_compared(arguments))


def _compared(arguments: argparse.Namespace) -> str:
    rates: dict[str, list[float]] = {"ours": [], "duckdb": []}
    megabytes: dict[str, list[dict[str, int]]] = {"ours": [], "duckdb": []}
    sizes = []
    for part in PARTS:
        with tempfile.TemporaryDirectory(dir=arguments.work) as work:
            folder = Path(work)
            rows = write_experiment(folder, int(arguments.impressions * part))
            sizes.append(rows)
            taken, seconds, found = _ours(folder, arguments)
            theirs, their_seconds, sums = duckdb_experiment.in_own_process(
                folder=folder, name=NAME, within=WITHIN, cores=arguments.cores, memory=arguments.duckdb_memory
            )
            compared_rows = check_same(found, sums)
        for name, each, took in (("ours", taken, seconds), ("duckdb", theirs, their_seconds)):
            rates[name].append(rows / took)
            megabytes[name].append(each.megabytes())
            print(f"{name:<7} {rows:>13,} impressions {took:7.1f} s, {each.total / 1e6:,.0f} MB", flush=True)
        print(f"same in {compared_rows} arms, segments and metrics", flush=True)
    by_size: dict[str, Any] = {"impressions": sizes, "megabytes": megabytes}
    by_size["rates"] = {name: [round(rate) for rate in found] for name, found in rates.items()}
    return outcome("experiment", "impressions/s", rates["ours"][-1], {"duckdb": rates["duckdb"][-1]}, **by_size)


def _ours(folder: Path, arguments: argparse.Namespace) -> tuple[Watched, float, dict[str, Any]]:
    """Returns what the process took, the seconds of the job alone, and the report."""
    arms = {"arms": {arm: {"share": 0.5} for arm in ARMS}}
    settings = write_settings(
        folder / "larder.toml",
        storage={"events": folder / "events", "tables": folder / "tables"},
        lookup={"journey": folder / "log"},
        experiments={NAME: arms},
        report={"planned_cookies": PLANNED},
        spark={"master": f"local[{arguments.cores}]", "driver_memory": arguments.driver_memory},
    )
    hours = ["--start", as_text(START), "--end", as_text(START + HOURS), "--within", str(WITHIN), "--before", "0"]
    command = [sys.executable, "-m", "larder", "report", "experiment", NAME, "--settings", str(settings), *hours]
    found = watched([*command, "--to", str(folder / "report")], {"LARDER_LOG": "json"})
    [stage] = [json.loads(line) for line in found.output.splitlines() if line.startswith('{"')]
    return found, stage["seconds"], json.loads((folder / "report" / "report.json").read_text())


def check_same(report: dict[str, Any], sums: list[list[Any]]) -> int:
    """Returns the number of comparisons that are the same in both. Raises DifferentSumsError."""
    moments = {tuple(row[:4]): _moments(row[3], row[4:]) for row in sums}
    rows = [{"dimension": "all", "segment": "all", **row} for row in report["comparisons"]] + report["segments"]
    for row in rows:
        place = (row["dimension"], row["segment"], row["metric"])
        keys = [(arm, *place) for arm in ARMS]
        control, treatment = (moments[key] for key in keys)
        theirs = compared(control, treatment, PLANNED)
        for name in ("control", "treatment", "difference", "standard_error"):
            one, other = row[name], getattr(theirs, name)
            # Of segments with few cookies, some figures are not known: null in the report, nan here.
            if math.isnan(other) != (one is None) or (
                one is not None and not math.isclose(one, other, rel_tol=TOLERANCE)
            ):
                raise DifferentSumsError(f"{name} of {place}: {one} and {other}")
    if not rows:
        raise DifferentSumsError("the report compares nothing")
    return len(rows)


def _moments(metric: str, values: list[Any]) -> Moments:
    units, y, d, yy, yd, dd = (int(value) for value in values)
    scale = HUNDREDTHS.get(metric, 1)
    products = np.zeros((4, 4))
    products[:2, :2] = [[yy / scale**2, yd / scale], [yd / scale, dd]]
    return Moments(units, np.array([y / scale, d, 0, 0]), products)


if __name__ == "__main__":
    main()
