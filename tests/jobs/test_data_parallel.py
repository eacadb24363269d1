"""Averages over workers: by sample, and in the type of what is averaged."""

from __future__ import annotations

import subprocess
import sys

import numpy as np
import pytest


def test_results_count_by_samples() -> None:
    from jobs.data_parallel import Outcome, averaged

    outcomes = [
        Outcome(30, [np.array([4.0], np.float32)], [np.int64(10), np.array([1.0], np.float32)], 0.5),
        Outcome(10, [np.array([0.0], np.float32)], [np.int64(4), np.array([5.0], np.float32)], 0.1),
    ]
    weights, optimizer = averaged([np.array([7.0], np.float32)], outcomes)
    assert weights[0].tolist() == [7 - (30 * 4 + 10 * 0) / 40]
    assert optimizer[0] == round((30 * 10 + 10 * 4) / 40)
    assert optimizer[1].tolist() == [(30 * 1 + 10 * 5) / 40]
    assert [weights[0].dtype, optimizer[0].dtype, optimizer[1].dtype] == [np.float32, np.int64, np.float32]


@pytest.mark.parametrize(("epochs", "each", "rounds"), [(6, 2, [2, 2, 2]), (5, 2, [2, 2, 1]), (1, 4, [1])])
def test_rounds(epochs: int, each: int, rounds: list[int]) -> None:
    from jobs.data_parallel import Schedule

    assert Schedule(epochs, each, 8, 1).rounds() == rounds


@pytest.mark.parametrize("job", ["ingest_images", "train_vision", "embed_products"])
def test_tensorflow_is_imported_only_where_it_is_used(job: str) -> None:
    code = f"import sys, jobs.{job}; sys.exit('tensorflow' in sys.modules or 'keras' in sys.modules)"
    assert subprocess.run([sys.executable, "-c", code]).returncode == 0
