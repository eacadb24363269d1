"""All searches of the neighbours bench give the same neighbours if all cells are searched."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest

from bench.neighbour_engines import ASKED, ENGINES, EXACT, MEASURED, VECTORS, run
from bench.neighbours import _recall, clustered

COUNT, WIDTH = 400, 8


def test_vectors_are_the_same_for_the_same_numbers() -> None:
    vectors = clustered(COUNT, WIDTH, 20, 3)
    np.testing.assert_allclose(np.linalg.norm(vectors, axis=1), 1, atol=1e-6)
    np.testing.assert_array_equal(vectors, clustered(COUNT, WIDTH, 20, 3))


@pytest.mark.parametrize("engine", [name for name in ENGINES if name != EXACT])
def test_all_searches_agree(tmp_path: Path, engine: str) -> None:
    if "faiss" in engine:
        pytest.importorskip("faiss")
    np.save(tmp_path / VECTORS, clustered(COUNT, WIDTH, 20, 3))
    np.save(tmp_path / ASKED, np.arange(0, COUNT, 2))
    np.save(tmp_path / MEASURED, np.arange(0, 100, 5))
    for name in (EXACT, engine):
        told = run(name, tmp_path, {"top": 10, "probes": COUNT, "seed": 1})
        assert told["queries_per_second"] > 0
        found = np.load(tmp_path / f"{name}.npy")
        assert found.shape == (20, 10) and not (found == np.arange(0, 200, 10)[:, None]).any()
    assert _recall(tmp_path, engine) == 1
