"""Measures ALS trainings to the same NDCG@10: ours, MLlib and implicit, with one, two and four times as many users.

The target is 99% of the best NDCG@10 that implicit reaches. Engines run one after the other, each in a process of its
own. An engine that has not reached the target when its patience is over counts with its longest training, and really
takes longer.
"""

from __future__ import annotations

import argparse
import json
import sys
import tempfile
from pathlib import Path
from typing import Any

from bench.als_engines import ENGINES
from bench.outcome import outcome
from bench.process_memory import watched
from bench.tastes import tastes, write_interactions

OF_BEST = 0.99
SECONDS_AN_HOUR = 3600


def main() -> None:
    parser = argparse.ArgumentParser(prog="python -m bench.als", description=__doc__)
    parser.add_argument("--users", type=float, default=300e3)
    parser.add_argument("--interactions", type=float, default=10.5e6, help="interactions at the first scale")
    parser.add_argument("--items", type=float, default=50e3)
    parser.add_argument("--scales", default="1,2,4", help="multiples of the users; MLlib runs only at the first")
    parser.add_argument("--patience", type=float, default=1200, help="seconds that an engine may take (default: 1200)")
    arguments = parser.parse_args()
    scales = [int(scale) for scale in arguments.scales.split(",")]
    results = {}
    for scale in scales:
        shape = [int(arguments.interactions) * scale, int(arguments.users) * scale, int(arguments.items)]
        engines = list(ENGINES) if scale == scales[0] else ["implicit", "ours"]
        results[scale] = _at(shape, engines, arguments.patience)
    first = results[scales[0]]
    rates = {name: SECONDS_AN_HOUR / run["seconds"] for name, run in first.items()}
    fits = {name: first[name]["fit"] / first["ours"]["fit"] for name in first if name != "ours"}
    print(
        outcome(
            "als",
            "trainings/h to the same NDCG@10",
            rates.pop("ours"),
            rates,
            fit_ratios={name: round(ratio, 3) for name, ratio in fits.items()},
            interactions=int(arguments.interactions),
            scales=results,
        )
    )


def _at(shape: list[int], engines: list[str], patience: float) -> dict[str, dict[str, Any]]:
    """Returns the run of each engine that reached the target, with its memory."""
    with tempfile.TemporaryDirectory() as work:
        folder = Path(work)
        write_interactions(folder / "interactions", tastes(*shape))
        best = max(_run("implicit", folder, shape, 0.0, patience)["ndcg"])
        print(f"{shape[1]:,} users: target {OF_BEST * best:.4f} of NDCG@10", flush=True)
        runs = {name: _run(name, folder, shape, OF_BEST * best, patience) for name in engines}
    for name, run in runs.items():
        print(f"  {name:<9} {run}", flush=True)
    return runs


def _run(engine: str, folder: Path, shape: list[int], target: float, patience: float) -> dict[str, Any]:
    words = [engine, str(folder), json.dumps(shape), str(target), str(patience)]
    done = watched([sys.executable, "-m", "bench.als_engines", *words])
    return {**json.loads(done.output.splitlines()[-1]), "peak_mb": done.megabytes()}


if __name__ == "__main__":
    main()
