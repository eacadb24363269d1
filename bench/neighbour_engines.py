"""Runs one search of the neighbours bench: python -m bench.neighbour_engines ENGINE FOLDER PLAN.

Writes the neighbours of the measured queries to ENGINE.npy in the folder; the last line is JSON.
"""

from __future__ import annotations

import json
import sys
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt
from threadpoolctl import threadpool_limits

from larder.models.search.constraints import NeighbourConstraints, ProductVectors, nearest_allowed, product_traits
from larder.models.search.exact import NO_NEIGHBOUR, Floats
from larder.models.search.ivf import build_inverted_file, cell_count, nearest_allowed_in_cells

VECTORS, ASKED, MEASURED = "vectors.npy", "asked.npy", "measured.npy"
OURS, EXACT = "cells", "exact"
Rows = npt.NDArray[np.integer]
Search = Callable[[Rows], Rows]


class Plan:
    """What all searches share: vectors (n, d), how many neighbours are wanted, and how many cells are searched."""

    def __init__(self, vectors: Floats, top: int, probes: int, seed: int) -> None:
        self.vectors, self.top, self.probes, self.seed = vectors, top, probes, seed

    @property
    def pictures(self) -> ProductVectors:
        nothing = [None] * len(self.vectors)
        return ProductVectors(self.vectors, product_traits(nothing, nothing, nothing))


def cells(plan: Plan) -> Search:
    """Searches by cells as `precompute` does, without rules."""
    made, pictures = build_inverted_file(plan.vectors, plan.probes, plan.seed), plan.pictures
    listed, place = pictures.of(made.order), np.argsort(made.order)

    def search(rows: Rows) -> Rows:
        found, _ = nearest_allowed_in_cells(
            pictures.of(rows), place[rows], listed, plan.top, NeighbourConstraints(), made
        )
        return np.where(found == NO_NEIGHBOUR, NO_NEIGHBOUR, made.order[found])

    return search


def exact(plan: Plan) -> Search:
    """Searches as `precompute` does below `similar.exact_up_to`."""
    pictures = plan.pictures
    return lambda rows: nearest_allowed(pictures.of(rows), rows, pictures, plan.top, NeighbourConstraints())[0]


def faiss_ivf(plan: Plan) -> Search:
    """Searches faiss's uncompressed IVF with as many cells and, on average, probes as ours."""
    import faiss

    count, width = plan.vectors.shape
    index = faiss.IndexIVFFlat(faiss.IndexFlatIP(width), width, cell_count(count), faiss.METRIC_INNER_PRODUCT)
    index.train(plan.vectors)
    index.add(plan.vectors)
    index.nprobe = plan.probes
    return lambda rows: _others(index.search(plan.vectors[rows], plan.top + 1)[1], rows)


def faiss_flat(plan: Plan) -> Search:
    """Searches all vectors with faiss."""
    import faiss

    index = faiss.IndexFlatIP(plan.vectors.shape[1])
    index.add(plan.vectors)
    return lambda rows: _others(index.search(plan.vectors[rows], plan.top + 1)[1], rows)


ENGINES: dict[str, Callable[[Plan], Search]] = {
    EXACT: exact,
    OURS: cells,
    "faiss IVF": faiss_ivf,
    "faiss flat": faiss_flat,
}
ALL_SCORES = (EXACT, "faiss flat")  # slow, so they search only for the measured queries


def _others(found: Rows, rows: Rows) -> Rows:
    """Returns neighbours without each query itself, which no list may hold: (m, k + 1) to (m, k)."""
    order = np.argsort(found == rows[:, None], axis=1, kind="stable")[:, :-1]
    return np.take_along_axis(found, order, 1)


def run(engine: str, folder: Path, plan: dict[str, Any]) -> dict[str, Any]:
    """Returns the seconds to make the index, and queries per second."""
    asked, measured = np.load(folder / ASKED), np.load(folder / MEASURED)
    begun = time.perf_counter()
    search = ENGINES[engine](Plan(np.load(folder / VECTORS), **plan))
    made = time.perf_counter()
    rows = asked[measured] if engine in ALL_SCORES else asked
    found = search(rows)
    seconds = time.perf_counter() - made
    np.save(folder / f"{engine}.npy", found if engine in ALL_SCORES else found[measured])
    return {"index_seconds": round(made - begun, 2), "queries_per_second": round(len(rows) / seconds, 1)}


def main() -> None:
    if "faiss" in sys.argv[1]:
        import faiss

        faiss.omp_set_num_threads(1)
    with threadpool_limits(1):
        print(json.dumps(run(sys.argv[1], Path(sys.argv[2]), json.loads(sys.argv[3]))))


if __name__ == "__main__":
    main()
