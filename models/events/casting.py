"""Raw columns of any type as the contract's types, and which of their values can't be read so.

Each function takes an Arrow array of n values and returns the values and a mask, bool [n], of those that are there and
can't be read; None where there are none. Whole columns at once where they are sound, value by value where not.
"""

from __future__ import annotations

from collections.abc import Callable
from datetime import datetime, timezone
from typing import Any, TypeAlias

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc

from larder.models.encoding.interning import interned

Mask: TypeAlias = "np.ndarray | None"
INT32 = np.iinfo(np.int32)
MICROSECONDS_OF = {"s": 1_000_000, "ms": 1_000, "us": 1}
# Numbers as times: seconds until the year 5138, then milliseconds, microseconds and nanoseconds since 1973.
EPOCH_UNITS = ((1e11, 1_000_000), (1e14, 1_000), (1e17, 1))
NO_TIME = np.iinfo(np.int64).min


def as_text(array: pa.Array) -> tuple[pa.StringArray, Mask]:
    """Texts. Numbers, times and booleans are written out; bytes must be UTF-8; lists and structs can't be read."""
    kind = array.type
    if pa.types.is_dictionary(kind):
        array, kind = array.dictionary_decode(), kind.value_type
    if pa.types.is_nested(kind):
        return pa.nulls(len(array), pa.string()), _mask(array.is_valid())
    if pa.types.is_string(kind) or pa.types.is_null(kind):
        texts = array.cast(pa.string())
    elif pa.types.is_large_string(kind) or pa.types.is_binary(kind) or pa.types.is_large_binary(kind):
        texts = array.cast(pa.binary()).view(pa.string())
    else:
        texts = array.cast(pa.string())
    return _valid_utf8(texts)


def as_codes(array: pa.Array) -> tuple[np.ndarray, pa.StringArray, Mask]:
    """Texts of few kinds as codes, int32 [n], -1 where there is none, and the texts that they stand for."""
    if not pa.types.is_dictionary(array.type):
        texts, bad = as_text(array)
        return *interned(texts), bad
    texts, bad_texts = as_text(array.dictionary)
    of_text, distinct = interned(texts)
    indices = array.indices.fill_null(-1).to_numpy(zero_copy_only=False)
    with_none = np.append(of_text, np.int32(-1))  # where -1 looks
    bad = None if bad_texts is None else np.append(bad_texts, False)[indices]
    return with_none[indices], distinct, bad


def as_integer(array: pa.Array, default: int) -> tuple[np.ndarray, Mask]:
    """int32 [n], `default` for a null. A fraction, or a number that does not fit, can't be read."""
    kind = array.type
    if pa.types.is_integer(kind):
        values, bad = _filled(array.cast(pa.int64(), safe=False), default), None
        if pa.types.is_uint64(kind):
            bad = _filled(array, 0) > INT32.max
    else:
        numbers, bad = as_number(array)
        sound = np.where(np.isfinite(numbers), numbers, float(default))
        whole = (sound == np.floor(sound)) & (abs(sound) < 2.0**53)
        bad = _either(bad, ~whole)
        values = np.where(whole, sound, default).astype(np.int64)
    if len(values) and (values.min() < INT32.min or values.max() > INT32.max):
        bad = _either(bad, (values < INT32.min) | (values > INT32.max))
    return values.astype(np.int32), _unless_none(bad)


def as_number(array: pa.Array) -> tuple[np.ndarray, Mask]:
    """float64 [n], NaN for a null. NaN itself can't be read."""
    kind = array.type
    if pa.types.is_null(kind):
        return np.full(len(array), np.nan), None
    if pa.types.is_integer(kind) or pa.types.is_floating(kind) or pa.types.is_decimal(kind):
        numbers = array.cast(pa.float64(), safe=False)
        return _filled(numbers, np.nan), _unless_none(_mask(pc.is_nan(numbers).fill_null(False)))
    if not _is_text(kind):
        return np.full(len(array), np.nan), _unless_none(_mask(array.is_valid()))
    numbers, bad = _parsed(array, pa.float64(), float)
    values = _filled(numbers, np.nan)
    return values, _unless_none(_either(bad, np.isnan(values) & _mask(array.is_valid())))


def as_moment(array: pa.Array) -> tuple[np.ndarray, Mask]:
    """Microseconds since 1970 UTC, int64 [n], NO_TIME for a null. A time that names no zone is UTC.

    Numbers are seconds, milliseconds, microseconds or nanoseconds since 1970, whichever their size says.
    """
    kind = array.type
    if pa.types.is_timestamp(kind):
        return _in_microseconds(array), None
    if pa.types.is_date(kind):
        return _in_microseconds(array.cast(pa.timestamp("ms"))), None
    if pa.types.is_integer(kind) or pa.types.is_floating(kind) or pa.types.is_decimal(kind):
        return _from_epoch(array)
    if not _is_text(kind):
        bad = None if pa.types.is_null(kind) else _mask(array.is_valid())
        return np.full(len(array), NO_TIME), _unless_none(bad)
    moments, bad = _parsed(array, pa.timestamp("us", "UTC"), _moment)
    return _in_microseconds(moments), bad


def _is_text(kind: pa.DataType) -> bool:
    value = kind.value_type if pa.types.is_dictionary(kind) else kind
    return pa.types.is_string(value) or pa.types.is_large_string(value) or pa.types.is_binary(value)


def _valid_utf8(texts: pa.StringArray) -> tuple[pa.StringArray, Mask]:
    try:
        texts.validate(full=True)
        return texts, None
    except pa.ArrowInvalid:
        values = [_decoded(value) for value in texts.view(pa.binary()).to_pylist()]
        sound = pa.array(values, pa.string())
        return sound, _mask(texts.is_valid()) & ~_mask(sound.is_valid())


def _decoded(value: bytes | None) -> str | None:
    try:
        return None if value is None else value.decode()
    except UnicodeDecodeError:
        return None


def _parsed(array: pa.Array, kind: pa.DataType, parse: Callable[[str], Any]) -> tuple[pa.Array, Mask]:
    """Texts as values of `kind`: all at once, or one by one where not all of them can be read."""
    texts, bad = as_text(array)
    try:
        return texts.cast(kind), bad
    except pa.ArrowInvalid:
        parsed = pa.array([_tried(parse, text) for text in texts.to_pylist()], kind)
        return parsed, _unless_none(_either(bad, _mask(texts.is_valid()) & ~_mask(parsed.is_valid())))


def _tried(parse: Callable[[str], Any], text: str | None) -> Any:
    try:
        return None if text is None else parse(text.strip())
    except (ValueError, OverflowError):
        return None


def _moment(text: str) -> datetime:
    """ISO 8601, or a number since 1970."""
    if text.replace(".", "", 1).isdigit():
        values, bad = _from_epoch(pa.array([float(text)]))
        if bad is not None:
            raise ValueError(text)
        return datetime.fromtimestamp(int(values[0]) / 1e6, timezone.utc)
    found = datetime.fromisoformat(text[:-1] + "+00:00" if text.endswith(("Z", "z")) else text)
    return found if found.tzinfo else found.replace(tzinfo=timezone.utc)


def _in_microseconds(times: pa.Array) -> np.ndarray:
    unit = times.type.unit
    values = times.cast(pa.int64()).fill_null(NO_TIME).to_numpy(zero_copy_only=False)
    if unit == "us":
        return values
    there = values != NO_TIME
    scaled = values // 1_000 if unit == "ns" else values * MICROSECONDS_OF[unit]
    return np.where(there, scaled, NO_TIME)


def _from_epoch(array: pa.Array) -> tuple[np.ndarray, Mask]:
    there = _mask(array.is_valid())
    if pa.types.is_integer(array.type):
        exact = _filled(array.cast(pa.int64(), safe=False), 0)
        size, times = abs(exact.astype(np.float64)), exact // 1_000
        for limit, factor in reversed(EPOCH_UNITS):
            times = np.where(size < limit, exact * factor, times)
        return np.where(there, times, NO_TIME), None
    numbers = _filled(array.cast(pa.float64(), safe=False), 0.0)
    sound = np.isfinite(numbers) & (abs(numbers) < 2.0**63)
    size, times = abs(numbers), np.floor(numbers / 1_000)
    for limit, factor in reversed(EPOCH_UNITS):
        times = np.where(size < limit, np.round(numbers * factor), times)
    times = np.where(there & sound, times, 0).astype(np.int64)
    return np.where(there & sound, times, NO_TIME), _unless_none(there & ~sound)


def _filled(array: pa.Array, value: float) -> np.ndarray:
    filled = array.fill_null(value) if array.null_count else array
    return filled.to_numpy(zero_copy_only=False)


def _mask(booleans: pa.BooleanArray) -> np.ndarray:
    return booleans.to_numpy(zero_copy_only=False).astype(bool)


def _either(one: Mask, other: Mask) -> Mask:
    if one is None or other is None:
        return other if one is None else one
    return one | other


def _unless_none(mask: Mask) -> Mask:
    return mask if mask is not None and mask.any() else None
