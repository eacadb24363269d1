"""From the same factors and embeddings, other processors make the same lists to the bit."""

from __future__ import annotations

import os
import subprocess
import sys

import pytest
from repository import ROOT

# A list a user and a product, of vectors with many near ties; the digest of all that is written of them.
LISTS = """
import hashlib
import numpy as np
from larder.models.search.constraints import NeighbourConstraints, ProductVectors, nearest_allowed, product_traits
from larder.models.search.exact import unit_length
from larder.models.search.mips import InnerProductIndex

random = np.random.default_rng(1)
few = random.integers(-999, 999, (60, 37)).astype(np.float32) / np.float32(7)
vectors = few[random.integers(0, 60, 900)]
vectors *= 1 + random.integers(-1, 2, vectors.shape).astype(np.float32) * np.float32(2**-23)
users = vectors[random.permutation(900)[:300]] / np.float32(3)
owned = np.arange(300, dtype=np.int32)
listed = InnerProductIndex(vectors).search(users, np.arange(301), owned, np.full(300, 0.5, np.float32), 12)
traits = product_traits([None] * 900, [None] * 900, [None] * 900)
products = ProductVectors(unit_length(vectors), traits)
near = nearest_allowed(products, np.arange(900), products, 9, NeighbourConstraints(fold_above=0.97))
print(hashlib.sha256(b"".join(array.tobytes() for array in (*listed, *near))).hexdigest())
print(hashlib.sha256((users @ vectors.T).tobytes()).hexdigest())
"""
OLDEST = {"NUMBA_CPU_NAME": "x86-64", "NUMBA_CPU_FEATURES": "", "OPENBLAS_CORETYPE": "Prescott"}


def digests(**environment: str) -> list[str]:
    """Digests of the lists and of a plain matrix product, made in a process of its own."""
    variables = {**os.environ, **environment, "PYTHONPATH": str(ROOT)}
    done = subprocess.run(
        [sys.executable, "-c", LISTS], env=variables, cwd=ROOT, capture_output=True, text=True, check=True
    )
    return done.stdout.split()


@pytest.mark.end_to_end
@pytest.mark.skipif(os.uname().machine != "x86_64", reason="compiles for an older processor of the same kind")
def test_an_old_processor_makes_the_same_lists() -> None:
    """Narrow vectors, no fused operations, and another matrix product, whose last bits do differ."""
    here, there = digests(), digests(**OLDEST)
    assert here[0] == there[0]
    if here[1] == there[1]:
        pytest.skip("this NumPy has one matrix product for all processors")
