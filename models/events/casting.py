"""Raw columns of any type as the contract's types, and which of their values can't be read so.

Each function takes an Arrow array of n values and returns the values and a mask, bool [n], of the values that are not
null and can't be read; None instead of a mask if there are none. What a value is read as never depends on the others.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import TypeAlias

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc

from larder.models.encoding.interning import interned
from larder.models.events.id_texts import as_text, by_child, dictionary_indices, mask_of, unless_none, without_views
from larder.models.events.time_texts import NO_TIME, times_of

Mask: TypeAlias = "np.ndarray | None"
INT32, INT64 = np.iinfo(np.int32), np.iinfo(np.int64)
MICROSECONDS_OF = {"s": 1_000_000, "ms": 1_000, "us": 1}
# Numbers as times: seconds until the year 5138, then milliseconds, microseconds and nanoseconds since 1973.
EPOCH_UNITS = ((1e11, 1_000_000), (1e14, 1_000), (1e17, 1))


def as_codes(array: pa.Array) -> tuple[np.ndarray, pa.StringArray, Mask]:
    """Texts of few kinds as codes, int32 [n], -1 for a null, and the distinct texts that the codes stand for."""
    if not pa.types.is_dictionary(array.type):
        texts, bad = as_text(array)
        return *interned(texts), bad
    texts, bad_texts = as_text(array.dictionary)
    of_text, distinct = interned(texts)
    indices = dictionary_indices(array)
    with_none = np.append(of_text, np.int32(-1))  # where -1 looks
    bad = None if bad_texts is None else np.append(bad_texts, False)[indices]
    return with_none[indices], distinct, bad


def as_integer(array: pa.Array, default: int) -> tuple[np.ndarray, Mask]:
    """int32 [n], `default` for a null. A fraction, or a number that does not fit, can't be read."""
    return _by_type(array, lambda values: _integers(values, default))


def as_number(array: pa.Array) -> tuple[np.ndarray, Mask]:
    """float64 [n], NaN for a null. NaN itself and infinite numbers can't be read."""
    return _by_type(array, _numbers)


def as_moment(array: pa.Array) -> tuple[np.ndarray, Mask]:
    """Microseconds since 1970 UTC, int64 [n], NO_TIME for a null. A time that names no zone is UTC.

    Numbers are seconds, milliseconds, microseconds or nanoseconds since 1970, whichever their size says.
    """
    return _by_type(array, _moments)


def _by_type(array: pa.Array, read: Callable[[pa.Array], tuple[np.ndarray, Mask]]) -> tuple[np.ndarray, Mask]:
    """What `read` makes of an array, which may be of an extension type, a dictionary or a union."""
    if isinstance(array, pa.ExtensionArray):
        return _by_type(array.storage, read)
    if pa.types.is_dictionary(array.type):
        indices = dictionary_indices(array)
        array = without_views(array.dictionary).take(pa.array(indices, mask=indices < 0))
    if not pa.types.is_union(array.type):
        return read(array)
    parts = [(rows, *read(values)) for rows, values in by_child(array)]
    values = np.empty(len(array), np.result_type(*(found.dtype for _, found, _ in parts)))
    bad = np.zeros(len(array), bool)
    for rows, found, mask in parts:
        values[rows] = found
        if mask is not None:
            bad[rows] = mask
    return values, unless_none(bad)


def _integers(array: pa.Array, default: int) -> tuple[np.ndarray, Mask]:
    kind = array.type
    if pa.types.is_integer(kind):
        values, bad = _filled(array.cast(pa.int64(), safe=False), default), None
        if pa.types.is_uint64(kind):
            bad = _filled(array, 0) > INT32.max
    else:
        numbers, bad = _numbers(array)
        sound = np.where(np.isnan(numbers), float(default), numbers)
        whole = (sound == np.floor(sound)) & (abs(sound) < 2.0**53)
        bad = _either(bad, ~whole)
        values = np.where(whole, sound, default).astype(np.int64)
    if len(values) and (values.min() < INT32.min or values.max() > INT32.max):
        bad = _either(bad, (values < INT32.min) | (values > INT32.max))
    return values.astype(np.int32), unless_none(bad)


def _numbers(array: pa.Array) -> tuple[np.ndarray, Mask]:
    kind = array.type
    if pa.types.is_null(kind):
        return np.full(len(array), np.nan), None
    if _is_number(kind):
        values, bad = _filled(array.cast(pa.float64(), safe=False), np.nan), None
    elif _is_text(kind):
        texts, bad = as_text(array)
        values = _filled(_parsed(texts), np.nan)
    else:
        return np.full(len(array), np.nan), unless_none(mask_of(array.is_valid()))
    unread = ~np.isfinite(values)
    if unread.any():
        bad = _either(bad, unread & mask_of(array.is_valid()))
        values = np.where(unread, np.nan, values)
    return values, unless_none(bad)


def _parsed(texts: pa.StringArray) -> pa.Array:
    """Texts as float64, null for what is no number: all at once, or one by one where not all can be read."""
    try:
        return texts.cast(pa.float64())
    except pa.ArrowInvalid:
        return pa.array([_float(text) for text in texts.to_pylist()], pa.float64())


def _float(text: str | None) -> float | None:
    try:
        return None if text is None else float(text.strip())
    except ValueError:
        return None


def _moments(array: pa.Array) -> tuple[np.ndarray, Mask]:
    kind = array.type
    if pa.types.is_timestamp(kind):
        return _in_microseconds(array), None
    if pa.types.is_date(kind):
        return _in_microseconds(array.cast(pa.timestamp("ms"))), None
    if _is_number(kind):
        return _from_epoch(array)
    if not _is_text(kind):
        bad = None if pa.types.is_null(kind) else mask_of(array.is_valid())
        return np.full(len(array), NO_TIME), unless_none(bad)
    texts, bad = as_text(array)
    return _from_texts(texts, bad)


def _from_texts(texts: pa.StringArray, bad: Mask) -> tuple[np.ndarray, Mask]:
    """ISO 8601, or a number since 1970."""
    times = times_of(texts)
    unread = np.flatnonzero((times == NO_TIME) & mask_of(texts.is_valid()))
    if not len(unread):
        return times, bad
    others = pc.utf8_trim_whitespace(texts.take(pa.array(unread)))
    is_number = mask_of(pc.match_substring_regex(others, r"^(\d+\.?\d*|\.\d+)$"))
    times[unread[is_number]] = _from_epoch_texts(others.filter(pa.array(is_number)))
    return times, unless_none(_either(bad, (times == NO_TIME) & mask_of(texts.is_valid())))


def _from_epoch_texts(texts: pa.StringArray) -> np.ndarray:
    """Whole numbers to the last digit, others as float64; NO_TIME for one that does not fit."""
    whole = mask_of(pc.and_(pc.match_substring_regex(texts, r"^\d+$"), pc.less(pc.binary_length(texts), 19)))
    times = np.empty(len(texts), np.int64)
    for rows, kind in ((whole, pa.int64()), (~whole, pa.float64())):
        found, bad = _from_epoch(texts.filter(pa.array(rows)).cast(kind))
        times[rows] = found if bad is None else np.where(bad, NO_TIME, found)
    return times


def _is_text(kind: pa.DataType) -> bool:
    return (
        pa.types.is_string(kind)
        or pa.types.is_large_string(kind)
        or pa.types.is_string_view(kind)
        or pa.types.is_binary(kind)
        or pa.types.is_large_binary(kind)
        or pa.types.is_binary_view(kind)
        or pa.types.is_fixed_size_binary(kind)
    )


def _is_number(kind: pa.DataType) -> bool:
    return pa.types.is_integer(kind) or pa.types.is_floating(kind) or pa.types.is_decimal(kind)


def _in_microseconds(times: pa.Array) -> np.ndarray:
    unit = times.type.unit
    values = times.cast(pa.int64()).fill_null(NO_TIME).to_numpy(zero_copy_only=False)
    if unit == "us":
        return values
    if unit == "ns":
        scaled = values // 1_000
    else:  # what does not fit is in the far past or future just the same
        factor = MICROSECONDS_OF[unit]
        scaled = np.clip(values, -(INT64.max // factor), INT64.max // factor) * factor
    return np.where(values != NO_TIME, scaled, NO_TIME)


def _from_epoch(array: pa.Array) -> tuple[np.ndarray, Mask]:
    there = mask_of(array.is_valid())
    if pa.types.is_integer(array.type):
        exact = _filled(array.cast(pa.int64(), safe=False), 0)
        size, times = abs(exact.astype(np.float64)), exact // 1_000
        for limit, factor in reversed(EPOCH_UNITS):
            times = np.where(size < limit, exact * factor, times)
        bad = (exact < 0) if pa.types.is_uint64(array.type) else None
        return np.where(there if bad is None else there & ~bad, times, NO_TIME), unless_none(bad)
    numbers = _filled(array.cast(pa.float64(), safe=False), 0.0)
    sound = np.isfinite(numbers) & (abs(numbers) < 2.0**63)
    size, times = abs(numbers), np.floor(numbers / 1_000)
    for limit, factor in reversed(EPOCH_UNITS):
        times = np.where(size < limit, np.round(numbers * factor), times)
    times = np.where(there & sound, times, 0).astype(np.int64)
    return np.where(there & sound, times, NO_TIME), unless_none(there & ~sound)


def _filled(array: pa.Array, value: float) -> np.ndarray:
    filled = array.fill_null(value) if array.null_count else array
    return filled.to_numpy(zero_copy_only=False)


def _either(one: Mask, other: Mask) -> Mask:
    if one is None or other is None:
        return other if one is None else one
    return one | other
