"""One way to write an id: the text of any value, the same from events, the catalogue, Parquet and JSON."""

from __future__ import annotations

from collections.abc import Callable
from decimal import Decimal
from typing import TypeAlias

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc

Mask: TypeAlias = "np.ndarray | None"
# From here on a float holds no longer each whole number, and two ids may have become one.
EXACT_BELOW = {pa.float16(): 2.0**11, pa.float32(): 2.0**24, pa.float64(): 2.0**53}


def as_text(array: pa.Array) -> tuple[pa.StringArray, Mask]:
    """Each value's text, and which values have none though they are not null (bool [n]; None: all have one).

    Text stays as it is, and bytes must be UTF-8. A whole number has the same digits as an integer, a float (1001.0), a
    decimal (1001.00) and in JSON (1.001e3); NaN is a null; an infinite float and one that is too large to hold every
    whole number have no text. Other floats have the shortest digits that mean them. A UUID has its 36 characters,
    lower case. A time has no trailing zeros in its fraction, whatever its unit. Lists, maps and structs have no text.
    """
    if isinstance(array, pa.ExtensionArray):
        return (_uuids(array.storage), None) if array.type.extension_name == "arrow.uuid" else as_text(array.storage)
    kind = array.type
    if pa.types.is_dictionary(kind):
        return _of_dictionary(array)
    if pa.types.is_union(kind):
        return _of_union(array)
    if pa.types.is_null(kind):
        return pa.nulls(len(array), pa.string()), None
    if pa.types.is_string(kind):
        return _valid_utf8(array)
    if _is_bytes(kind):
        return _valid_utf8(without_views(array).cast(pa.binary()).view(pa.string()))
    if pa.types.is_floating(kind):
        return _of_floats(array)
    for applies, written in _WAYS:
        if applies(kind):
            return written(array), None
    return pa.nulls(len(array), pa.string()), unless_none(mask_of(array.is_valid()))


def by_child(array: pa.UnionArray) -> list[tuple[np.ndarray, pa.Array]]:
    """For each type among a dense union's values: the rows that have it (int64 [k]), and their values in order."""
    codes, offsets = np.asarray(array.type_codes), np.asarray(array.offsets)
    children = []
    for number, code in enumerate(array.type.type_codes):
        rows = np.flatnonzero(codes == code)
        children.append((rows, array.field(number).take(pa.array(offsets[rows]))))
    return children


def mask_of(booleans: pa.BooleanArray) -> np.ndarray:
    """Arrow's booleans, none of which is null, as bool [n]."""
    return booleans.to_numpy(zero_copy_only=False).astype(bool)


def unless_none(mask: Mask) -> Mask:
    """The mask, or None if it is False everywhere."""
    return mask if mask is not None and mask.any() else None


def without_views(array: pa.Array) -> pa.Array:
    """The same values as binary if they are string or binary views, of which Arrow can't take rows."""
    if not (pa.types.is_string_view(array.type) or pa.types.is_binary_view(array.type)):
        return array
    try:
        return array.cast(pa.binary())
    except pa.ArrowNotImplementedError:  # PyArrow before version 18
        return pa.array(array.to_pylist(), pa.binary())


def _is_bytes(kind: pa.DataType) -> bool:
    return (
        pa.types.is_large_string(kind)
        or pa.types.is_string_view(kind)
        or pa.types.is_binary(kind)
        or pa.types.is_large_binary(kind)
        or pa.types.is_binary_view(kind)
        or pa.types.is_fixed_size_binary(kind)
    )


def _valid_utf8(texts: pa.StringArray) -> tuple[pa.StringArray, Mask]:
    try:
        texts.validate(full=True)
        return texts, None
    except pa.ArrowInvalid:
        values = [_decoded(value) for value in texts.view(pa.binary()).to_pylist()]
        sound = pa.array(values, pa.string())
        return sound, mask_of(texts.is_valid()) & ~mask_of(sound.is_valid())


def _decoded(value: bytes | None) -> str | None:
    try:
        return None if value is None else value.decode()
    except UnicodeDecodeError:
        return None


def _of_dictionary(array: pa.DictionaryArray) -> tuple[pa.StringArray, Mask]:
    texts, bad = as_text(array.dictionary)
    indices = dictionary_indices(array)
    if bad is not None:
        bad = unless_none(np.append(bad, False)[indices])
    return texts.take(pa.array(indices, mask=indices < 0)), bad


def dictionary_indices(array: pa.DictionaryArray) -> np.ndarray:
    """The places in the dictionary, int32 [n], -1 for a null; of any integer type, signed or not."""
    return array.indices.cast(pa.int32()).fill_null(-1).to_numpy(zero_copy_only=False)


def _of_union(array: pa.UnionArray) -> tuple[pa.StringArray, Mask]:
    order, texts, bads = [], [], []
    for rows, values in by_child(array):
        found, bad = as_text(values)
        order.append(rows)
        texts.append(found)
        bads.append(np.zeros(len(rows), bool) if bad is None else bad)
    back = np.empty(len(array), np.int64)
    back[np.concatenate(order)] = np.arange(len(array))
    return pa.concat_arrays(texts).take(pa.array(back)), unless_none(np.concatenate(bads)[back])


def _uuids(storage: pa.FixedSizeBinaryArray) -> pa.StringArray:
    """8-4-4-4-12 lower-case hexadecimal digits (RFC 9562)."""
    if not len(storage):
        return pa.array([], pa.string())
    octets_of_all = pa.concat_arrays([storage.fill_null(bytes(16))])  # without an offset
    raw = np.frombuffer(octets_of_all.buffers()[1], np.uint8)
    octets = raw[: 16 * len(storage)].reshape(-1, 16)
    digits = np.frombuffer(b"0123456789abcdef", np.uint8)
    pairs = np.stack([digits[octets >> 4], digits[octets & 15]], axis=2).reshape(-1, 32)
    texts = np.full((len(storage), 36), ord("-"), np.uint8)
    texts[:, [i for i in range(36) if i not in (8, 13, 18, 23)]] = pairs
    offsets = pa.array(np.arange(len(storage) + 1, dtype=np.int32) * np.int32(36))
    found = pa.StringArray.from_buffers(len(storage), offsets.buffers()[1], pa.py_buffer(texts.tobytes()))
    return pc.if_else(storage.is_valid(), found, None)


def _of_floats(array: pa.Array) -> tuple[pa.StringArray, Mask]:
    numbers = array.cast(pa.float64()).fill_null(np.nan).to_numpy(zero_copy_only=False)
    there = ~np.isnan(numbers)
    is_exact = np.abs(numbers) < EXACT_BELOW[array.type]
    is_whole = there & is_exact & (numbers == np.floor(numbers))
    whole = pa.array(np.where(is_whole, numbers, 0).astype(np.int64), mask=~is_whole).cast(pa.string())
    if is_whole.sum() == there.sum():
        return whole, None
    rest = there & is_exact & ~is_whole
    narrow = array.to_numpy(zero_copy_only=False)  # the digits of a float32 are fewer than those of its float64
    written = np.array([None] * len(array), object)
    written[rest] = [np.format_float_positional(value, unique=True) for value in narrow[rest]]
    return pc.coalesce(whole, pa.array(written, pa.string())), unless_none(there & ~is_exact)


def _of_decimals(array: pa.Array) -> pa.StringArray:
    texts = array.cast(pa.string())
    if pc.any(pc.match_substring(texts, "E")).as_py():
        texts = pa.array([None if text is None else f"{Decimal(text):f}" for text in texts.to_pylist()], pa.string())
    return _trimmed(texts)


def _trimmed(texts: pa.StringArray) -> pa.StringArray:
    """Without zeros at the end of a fraction, nor a point after which nothing is left; before a Z likewise."""
    trimmed = pc.replace_substring_regex(texts, r"(\.\d*[1-9])0+(Z?)$", r"\1\2")
    return pc.replace_substring_regex(trimmed, r"\.0*(Z?)$", r"\1")


def _of_times(array: pa.Array) -> pa.StringArray:
    if pa.types.is_timestamp(array.type) and array.type.tz:
        array = array.cast(pa.timestamp(array.type.unit, "UTC"))
    return _trimmed(array.cast(pa.string()))


def _plain(array: pa.Array) -> pa.StringArray:
    return array.cast(pa.string())


_WAYS: tuple[tuple[Callable[[pa.DataType], bool], Callable[[pa.Array], pa.StringArray]], ...] = (
    (pa.types.is_integer, _plain),
    (pa.types.is_boolean, _plain),
    (pa.types.is_decimal, _of_decimals),
    (pa.types.is_timestamp, _of_times),
    (pa.types.is_date, _plain),
    (pa.types.is_time, _of_times),
)
