"""Arrow list columns to NumPy arrays, and back."""

from __future__ import annotations

import numpy as np
import numpy.typing as npt
import pyarrow as pa


def one_array(rows: pa.RecordBatch | pa.Table, column: str) -> pa.ListArray:
    """Returns a list column as one array, without chunks."""
    values = rows.column(column)
    return values.combine_chunks() if isinstance(values, pa.ChunkedArray) else values


def vectors_of(rows: pa.RecordBatch | pa.Table, column: str) -> npt.NDArray[np.float32]:
    """Returns a column of equally long lists as a matrix (rows, length)."""
    vectors = one_array(rows, column)
    return vectors.flatten().to_numpy().reshape(len(vectors), -1).astype(np.float32, copy=False)


def lists_of(items: npt.NDArray[np.integer], scores: npt.NDArray[np.floating]) -> tuple[pa.ListArray, pa.ListArray]:
    """Returns padded lists (m, n) as Arrow lists without the padding, which is where an item is negative."""
    kept = items >= 0
    offsets = pa.array(np.concatenate(([0], np.cumsum(kept.sum(axis=1)))), pa.int32())
    return (
        pa.ListArray.from_arrays(offsets, pa.array(items[kept], pa.int32())),
        pa.ListArray.from_arrays(offsets, pa.array(scores[kept], pa.float32())),
    )
