"""One way to write an id, whatever type it comes in and whatever stands beside it."""

from __future__ import annotations

import datetime as dt
import uuid
from decimal import Decimal
from typing import Any

import numpy as np
import pyarrow as pa
import pytest
from hypothesis import given
from hypothesis import strategies as st

from larder.models.events.id_texts import as_text
from larder.storage.event_reading import Uuid

NONE = object()  # a value that has no text
A_UUID = uuid.UUID("6f1b7c1e-3c1e-4d53-9d2b-8d6f6a0c0001")
HALF_PAST = dt.datetime(2026, 11, 20, 7, 30, 0, 500_000)
TEXTS: list[tuple[pa.DataType, Any, Any]] = [
    (pa.string(), " as it is ", " as it is "),
    (pa.string(), "1001.0", "1001.0"),
    (pa.large_string(), "ü", "ü"),
    (pa.string_view(), "a text of more than twelve bytes", "a text of more than twelve bytes"),
    (pa.binary(), "ü".encode(), "ü"),
    (pa.binary(), b"\xff", NONE),
    (pa.large_binary(), b"\xff", NONE),
    (pa.binary_view(), b"a", "a"),
    (pa.binary_view(), b"\xff", NONE),
    (pa.binary(16), b"0123456789abcdef", "0123456789abcdef"),
    (pa.binary(2), b"\xff\xfe", NONE),
    (pa.int8(), -1, "-1"),
    (pa.uint64(), 2**64 - 1, str(2**64 - 1)),
    (pa.float64(), 1001.0, "1001"),
    (pa.float64(), 1.2345678e7, "12345678"),
    (pa.float64(), 1e15, "1" + 15 * "0"),
    (pa.float64(), 2.0**53 - 1, str(2**53 - 1)),
    (pa.float64(), 2.0**53, NONE),
    (pa.float64(), -0.0, "0"),
    (pa.float64(), 0.1, "0.1"),
    (pa.float64(), 1e-7, "0.0000001"),
    (pa.float64(), float("nan"), None),
    (pa.float64(), float("-inf"), NONE),
    (pa.float32(), 0.1, "0.1"),
    (pa.float32(), 2.0**24, NONE),
    (pa.float16(), np.float16(1.5), "1.5"),
    (pa.float16(), np.float16(2048), NONE),
    (pa.decimal128(38, 0), Decimal(10**30), "1" + 30 * "0"),
    (pa.decimal128(9, 2), Decimal("1001.00"), "1001"),
    (pa.decimal128(9, 2), Decimal("100.10"), "100.1"),
    (pa.decimal128(20, 15), Decimal("0.00000000001"), "0.00000000001"),
    (pa.decimal256(76, 0), Decimal(16049350498237502001), "16049350498237502001"),
    (pa.bool_(), True, "true"),
    (pa.date32(), dt.date(2026, 11, 20), "2026-11-20"),
    (pa.date64(), dt.date(2026, 11, 20), "2026-11-20"),
    (pa.timestamp("s"), HALF_PAST.replace(microsecond=0), "2026-11-20 07:30:00"),
    (pa.timestamp("ms"), HALF_PAST, "2026-11-20 07:30:00.5"),
    (pa.timestamp("us"), HALF_PAST, "2026-11-20 07:30:00.5"),
    (pa.timestamp("ns"), HALF_PAST, "2026-11-20 07:30:00.5"),
    (pa.timestamp("us", "Asia/Tokyo"), HALF_PAST.replace(tzinfo=dt.timezone.utc), "2026-11-20 07:30:00.5Z"),
    (pa.time64("us"), dt.time(7, 30), "07:30:00"),
    (pa.list_(pa.string()), ["a"], NONE),
    (pa.struct([("a", pa.int64())]), {"a": 1}, NONE),
    (pa.map_(pa.string(), pa.string()), [("a", "b")], NONE),
    (pa.duration("s"), dt.timedelta(1), NONE),
    (pa.null(), None, None),
]


@pytest.mark.parametrize(
    ("type_", "value", "text"), TEXTS, ids=lambda each: str(each) if isinstance(each, pa.DataType) else ""
)
def test_each_type_has_one_way_to_be_written(type_: pa.DataType, value: Any, text: Any) -> None:
    found, bad = as_text(pa.array([None, value], type_).slice(1))
    found.validate(full=True)
    assert found.to_pylist() == [None if text is NONE else text]
    assert (bad is not None and bad.tolist() == [True]) == (text is NONE)


@pytest.mark.parametrize("start", [0, 1])
def test_a_uuid_has_its_36_characters(start: int) -> None:
    stored = pa.array([None, A_UUID.bytes, bytes(16)], pa.binary(16)).slice(start)
    found, bad = as_text(pa.ExtensionArray.from_storage(Uuid(), stored))
    assert (found.to_pylist(), bad) == ([None, str(A_UUID), str(uuid.UUID(int=0))][start:], None)


@pytest.mark.parametrize("index", [pa.int8(), pa.uint8(), pa.uint32(), pa.int64(), pa.uint64()])
def test_dictionaries_with_indices_of_any_type(index: pa.DataType) -> None:
    values = pa.array([1001.0, float("inf"), 0.5])
    found, bad = as_text(pa.DictionaryArray.from_arrays(pa.array([2, None, 0, 1], index), values))
    assert found.to_pylist() == ["0.5", None, "1001", None]
    assert bad is not None
    assert bad.tolist() == [False, False, False, True]


@given(st.lists(st.floats() | st.integers(-(2**53) + 1, 2**53 - 1).map(float), min_size=1, max_size=8))
def test_a_float_is_written_alone_as_among_others(values: list[float]) -> None:
    together, bad = as_text(pa.array(values, pa.float64()))
    alone = [as_text(pa.array([value], pa.float64())) for value in values]
    assert together.to_pylist() == [texts[0].as_py() for texts, _ in alone]
    assert (bad.tolist() if bad is not None else [False] * len(values)) == [mask is not None for _, mask in alone]
    for value, text in zip(values, together.to_pylist(), strict=True):
        assert text is None or float(text) == value
        assert "e" not in (text or "")
