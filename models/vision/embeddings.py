"""Embeddings as the table has them: half floats in bytes, since Spark knows no such type."""

from __future__ import annotations

import numpy as np
import numpy.typing as npt
import pyarrow as pa

from larder.models.search.exact import unit_length

HALF = np.dtype("<f2")


class MixedEmbeddingsError(ValueError):
    """Vectors of one table differ in length."""


def packed(vectors: npt.NDArray[np.floating]) -> pa.BinaryArray:
    """Vectors (n, d) as n values of 2 d bytes: IEEE 754 binary16, little-endian."""
    data = np.ascontiguousarray(vectors, HALF)
    ends = np.arange(len(data) + 1, dtype=np.int32) * (data.shape[1] * HALF.itemsize)
    return pa.BinaryArray.from_buffers(pa.binary(), len(data), [None, pa.py_buffer(ends), pa.py_buffer(data)])


def unpacked(column: pa.Array | pa.ChunkedArray) -> npt.NDArray[np.float32]:
    """What `packed` made, (n, d), of length 1 again: rounding moves a length by up to a thousandth.

    Raises MixedEmbeddingsError where vectors differ in length.
    """
    values = column.combine_chunks() if isinstance(column, pa.ChunkedArray) else column
    if not len(values):
        return np.zeros((0, 0), np.float32)
    ends = np.frombuffer(values.buffers()[1], np.int32)[values.offset : values.offset + len(values) + 1]
    if len(set(np.diff(ends).tolist())) > 1:
        raise MixedEmbeddingsError("embeddings of different lengths in one table: run `larder embed-products` again")
    halves = np.frombuffer(values.buffers()[2], HALF, (ends[-1] - ends[0]) // HALF.itemsize, ends[0])
    return unit_length(halves.reshape(len(values), -1).astype(np.float32))
