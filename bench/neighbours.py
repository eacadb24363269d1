"""Measures nearest neighbours of up to a million embeddings on one core: cells, the exact search, and faiss.

Vectors come in clusters of clusters, like pictures of categories: in groups larger than a list, or smaller, so that a
list reaches across many groups. Each search asks for a part of them, as a Spark task does, and is timed once its index
is made. Recall is measured against the exact neighbours of some of the queries. faiss's IVF has as many cells and
searches as many.
"""

from __future__ import annotations

import argparse
import json
import sys
import tempfile
from pathlib import Path
from typing import Any

import numpy as np

from bench.neighbour_engines import ASKED, ENGINES, EXACT, MEASURED, OURS, VECTORS
from bench.outcome import outcome
from bench.process_memory import watched
from larder.models.search.exact import NO_NEIGHBOUR, Floats, unit_length
from larder.settings import SimilarSettings, VisionSettings

A_FAMILY = 40  # groups
KINDS = "1000,20"  # vectors per group


def main() -> None:
    parser = argparse.ArgumentParser(prog="python -m bench.neighbours", description=__doc__)
    parser.add_argument("--vectors", default="250e3,500e3,1e6", help="numbers of vectors (default: 250e3,500e3,1e6)")
    parser.add_argument("--dimensions", type=int, default=VisionSettings().embedding)
    parser.add_argument("--asked", type=float, default=20e3, help="queries (default: 20,000)")
    parser.add_argument(
        "--measured", type=float, default=1000, help="queries whose recall is measured (default: 1,000)"
    )
    parser.add_argument("--top", type=int, default=30)
    parser.add_argument(
        "--probes", type=int, default=SimilarSettings().probes, help="cells searched per query (default: %(default)s)"
    )
    parser.add_argument("--kinds", default=KINDS, help=f"vectors per group (default: {KINDS})")
    parser.add_argument("--seed", type=int, default=42)
    arguments = parser.parse_args()
    runs: list[dict[str, Any]] = []
    for count in (int(float(each)) for each in arguments.vectors.split(",")):
        for kind in (int(each) for each in arguments.kinds.split(",")):
            runs.append({"vectors": count, "alike": kind, "engines": _at(count, kind, arguments)})
    last = runs[-1]
    rates = {name: figures["queries_per_second"] for name, figures in last["engines"].items()}
    print(
        outcome(
            "neighbours",
            f"queries/s among {last['vectors']:,}, {last['alike']:,} alike",
            rates.pop(OURS),
            rates,
            recall={name: figures["recall"] for name, figures in last["engines"].items()},
            probes=arguments.probes,
            runs=runs,
        )
    )


def clustered(count: int, dimensions: int, kind: int, seed: int) -> Floats:
    """Returns vectors (count, dimensions) of length 1, in families of groups; the same for the same arguments."""
    random = np.random.default_rng(seed)
    kinds = -(-count // kind)
    families = random.standard_normal((-(-kinds // A_FAMILY), dimensions), np.float32)
    centres = families[random.integers(0, len(families), kinds)]
    centres = centres + random.standard_normal((kinds, dimensions), np.float32)
    vectors = centres[random.integers(0, kinds, count)]
    vectors += random.standard_normal((count, dimensions), np.float32)
    return unit_length(vectors)


def _at(count: int, kind: int, arguments: argparse.Namespace) -> dict[str, dict[str, Any]]:
    """Returns what each engine did with this many vectors."""
    random = np.random.default_rng(arguments.seed)
    asked = np.sort(random.permutation(count)[: int(arguments.asked)])
    measured = np.sort(random.permutation(len(asked))[: int(arguments.measured)])
    runs: dict[str, dict[str, Any]] = {}
    with tempfile.TemporaryDirectory() as work:
        folder = Path(work)
        np.save(folder / VECTORS, clustered(count, arguments.dimensions, kind, arguments.seed))
        np.save(folder / ASKED, asked)
        np.save(folder / MEASURED, measured)
        plan = {"top": arguments.top, "probes": arguments.probes, "seed": arguments.seed}
        for name in ENGINES:
            done = watched([sys.executable, "-m", "bench.neighbour_engines", name, work, json.dumps(plan)])
            runs[name] = {**json.loads(done.output.splitlines()[-1]), "peak_mb": done.megabytes()["together"]}
            runs[name]["recall"] = _recall(folder, name)
            print(f"{count:>9,}  {kind:>5,}  {name:<16} {runs[name]}", flush=True)
    return runs


def _recall(folder: Path, name: str) -> float:
    """Returns the share of exact neighbours found. Another vector at the same distance as the last would do as well;
    with floats this is rare."""
    from larder.models.search.ivf import recall

    found, exact = (np.load(folder / f"{each}.npy") for each in (name, EXACT))
    return round(recall(np.where(found < 0, NO_NEIGHBOUR, found), exact), 4)


if __name__ == "__main__":
    main()
