"""The inner product of fixed order: the same bits as its definition, and a bound on what other orders give."""

from __future__ import annotations

import numba
import numpy as np
from hypothesis import given, settings
from hypothesis import strategies as st
from numpy.typing import NDArray

from larder.models.search.dot_product import LANES, dot_product, most_rounding

Floats = NDArray[np.float32]


@numba.njit
def compiled(left: Floats, right: Floats) -> float:
    return dot_product(left, right)


def defined(left: Floats, right: Floats) -> np.float32:
    """LANES partial sums, added up by halves; then what is left, one by one."""
    sums, whole = np.zeros(LANES, np.float32), len(left) // LANES * LANES
    for start in range(0, whole, LANES):
        sums += left[start : start + LANES] * right[start : start + LANES]
    while len(sums) > 1:
        sums = sums[: len(sums) // 2] + sums[len(sums) // 2 :]
    total = sums[0]
    for k in range(whole, len(left)):
        total = np.float32(total + np.float32(left[k] * right[k]))
    return total


@settings(deadline=None)  # the first call compiles
@given(st.integers(0, 150), st.integers(0, 2**32 - 1), st.sampled_from([0, 1, 3]))
def test_bits_are_those_of_the_definition(length: int, seed: int, offset: int) -> None:
    both = np.random.default_rng(seed).normal(size=(2, length + offset)).astype(np.float32)
    left, right = both[0, offset:], both[1, offset:]  # not at an address that vector instructions like
    found = np.float32(compiled(left, right))
    assert found.tobytes() == defined(left, right).tobytes()
    lengths = np.linalg.norm(left, keepdims=True)
    bound = most_rounding(left[None], lengths, float(np.linalg.norm(right)))
    assert abs(float(found) - float(left @ right)) <= bound[0]


def test_what_is_no_vector_of_single_precision_is_refused() -> None:
    for strange in (np.zeros(3), np.zeros((2, 2), np.float32), np.zeros(6, np.float32)[::2]):
        try:
            compiled(strange, strange)
        except numba.TypingError:
            continue
        raise AssertionError(strange)
