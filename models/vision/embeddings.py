"""Embeddings as the table stores them: half-precision floats in a binary column, since Spark has no such type."""

from __future__ import annotations

import numpy as np
import numpy.typing as npt
import pyarrow as pa

from larder.models.search.exact import unit_length

HALF = np.dtype("<f2")


class MixedEmbeddingsError(ValueError):
    """The embeddings of one table differ in their number of floats."""


def packed(vectors: npt.NDArray[np.floating]) -> pa.BinaryArray:
    """Returns vectors (n, d) as n binary values of 2 d bytes each: IEEE 754 binary16, little-endian."""
    data = np.ascontiguousarray(vectors, HALF)
    ends = np.arange(len(data) + 1, dtype=np.int32) * (data.shape[1] * HALF.itemsize)
    return pa.BinaryArray.from_buffers(pa.binary(), len(data), [None, pa.py_buffer(ends), pa.py_buffer(data)])


def unpacked(column: pa.Array | pa.ChunkedArray) -> npt.NDArray[np.float32]:
    """Returns the unit vectors (n, d) that `packed` stored, normalised again: rounding changes a norm by up to 0.001.

    Raises MixedEmbeddingsError if the values differ in their number of floats.
    """
    values = column.combine_chunks() if isinstance(column, pa.ChunkedArray) else column
    if not len(values):
        return np.zeros((0, 0), np.float32)
    ends = np.frombuffer(values.buffers()[1], np.int32)[values.offset : values.offset + len(values) + 1]
    if len(set(np.diff(ends).tolist())) > 1:
        raise MixedEmbeddingsError("embeddings of different lengths in one table: run `larder embed-products` again")
    halves = np.frombuffer(values.buffers()[2], HALF, (ends[-1] - ends[0]) // HALF.itemsize, ends[0])
    return unit_length(halves.reshape(len(values), -1).astype(np.float32))
