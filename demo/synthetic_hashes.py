"""Pseudo-random numbers that follow from other numbers, and ids made of them."""

from __future__ import annotations

import numpy as np
import numpy.typing as npt
import pyarrow as pa

Ints = npt.NDArray[np.int64]
Bits = npt.NDArray[np.uint64]


def mixed(numbers: Ints, seed: int, salt: int) -> Bits:
    """Returns numbers mixed by SplitMix64's finaliser (Steele, Lea, Flood 2014), different for different seeds and
    salts."""
    start = (seed * 0xD1342543DE82EF95 + salt * 0x9E3779B97F4A7C15 + 0x9E3779B97F4A7C15) % (1 << 64)
    with np.errstate(over="ignore"):
        z = numbers.astype(np.uint64) + np.uint64(start)
        z ^= z >> np.uint64(30)
        z *= np.uint64(0xBF58476D1CE4E5B9)
        z ^= z >> np.uint64(27)
        z *= np.uint64(0x94D049BB133111EB)
        z ^= z >> np.uint64(31)
    return z


def unit(bits: Bits, shift: int) -> npt.NDArray[np.float32]:
    """Returns 24 of the bits, from `shift` on, as a number in [0, 1)."""
    return ((bits >> np.uint64(shift)) & np.uint64(0xFFFFFF)).astype(np.float32) / np.float32(1 << 24)


def hexadecimal(*words: Bits) -> pa.StringArray:
    """Returns 16 hexadecimal digits per word, with the words of one row joined."""
    rows, width = len(words[0]), 16 * len(words)
    digits = np.column_stack(words).astype(">u8").tobytes().hex().encode()
    offsets = np.arange(0, (rows + 1) * width, width, dtype=np.int32)
    return pa.StringArray.from_buffers(rows, pa.py_buffer(offsets), pa.py_buffer(digits))


def cookie_ids(cookies: Ints, seed: int) -> pa.StringArray:
    """32 hexadecimal digits, like a UUID without its dashes."""
    return hexadecimal(mixed(cookies, seed, 4), mixed(cookies, seed, 5))
