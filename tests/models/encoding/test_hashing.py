"""XXH64 of columns beside the reference implementation, for ids of any length and columns of any form."""

from __future__ import annotations

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc
import pytest
import xxhash
from hypothesis import given, settings
from hypothesis import strategies as st

from larder.models.encoding.hashing import COOKIE_SEED, xxh64

texts = st.lists(st.none() | st.text(max_size=60), max_size=20)


def reference(values: list[str | None]) -> list[int]:
    """As signed integers; a null is an empty text."""
    return [
        int(np.uint64(xxhash.xxh64_intdigest((value or "").encode(), COOKIE_SEED)).view(np.int64)) for value in values
    ]


def test_every_length_from_0_to_200_bytes() -> None:
    """Each takes other branches: 32 bytes at a time, then 8, 4 and 1."""
    random = np.random.default_rng(1)
    values = [bytes(random.integers(32, 127, length).astype(np.uint8)).decode() for length in range(201)]
    assert xxh64(pa.array(values)).tolist() == reference(values)


@settings(deadline=None)  # the first call compiles
@given(texts, st.integers(0, 20), st.integers(0, 20))
def test_any_texts_nulls_and_slices(values: list[str | None], start: int, length: int) -> None:
    column = pa.array(values, pa.string())
    assert xxh64(column).tolist() == reference(values)
    assert xxh64(column.slice(start, length)).tolist() == reference(values[start : start + length])


def test_ids_of_bytes_beyond_ascii() -> None:
    values = ["ü" * length + "語" * (length % 3) + "🍎" for length in range(60)]
    assert xxh64(pa.array(values)).tolist() == reference(values)


def test_what_lies_behind_a_null_is_not_hashed() -> None:
    """Arrow lets the slot of a null hold any bytes."""
    whole = pa.array(["abc", "hidden", "def"])
    masked = pa.Array.from_buffers(pa.string(), 3, [pa.py_buffer(b"\x05"), *whole.buffers()[1:]], null_count=1)
    assert masked.to_pylist() == ["abc", None, "def"]
    assert xxh64(masked).tolist() == reference(["abc", None, "def"])


def test_columns_with_other_buffers_are_refused_instead_of_misread() -> None:
    column = pa.array(["a", "b"])
    for other in (column.cast(pa.large_string()), pa.chunked_array([column]), column.cast(pa.binary())):
        with pytest.raises(TypeError, match="cast them"):
            xxh64(other)
    assert xxh64(pc.if_else(pa.array([True, False]), column, "c")).tolist() == reference(["a", "c"])


def test_no_texts() -> None:
    assert xxh64(pa.array([], pa.string())).tolist() == []
    assert xxh64(pa.nulls(3, pa.string())).tolist() == reference([None] * 3)
