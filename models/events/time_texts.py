"""Times written as text, the same on every version of Python."""

from __future__ import annotations

import numba
import numpy as np
import pyarrow as pa

from larder.kernels import kernel
from larder.models.encoding.hashing import text_buffers

NO_TIME: int = np.iinfo(np.int64).min
_DAYS_BEFORE = np.array([0, 31, 59, 90, 120, 151, 181, 212, 243, 273, 304, 334])
_DAYS_IN = np.array([31, 28, 31, 30, 31, 30, 31, 31, 30, 31, 30, 31])
_DAYS_TO_1970 = 719_162  # from 0001-01-01


def times_of(texts: pa.StringArray) -> np.ndarray:
    """Microseconds since 1970 UTC of ISO 8601 texts, int64 [n]; NO_TIME for a null and for what is no such text.

    A date (2017-12-03), or a date (or 20171203), a `T`, `t` or space, and a time of day: hours, with minutes, seconds
    and a fraction after a point or comma, of which six digits count. UTC if no zone follows; else `Z`, or an offset as
    +01, +0100, +01:00 or +01:00:30. White space around it does not matter.
    """
    return _times(*text_buffers(texts))


@kernel
def _times(offsets: np.ndarray, data: np.ndarray) -> np.ndarray:
    times = np.empty(len(offsets) - 1, np.int64)
    for i in range(len(times)):
        at, end = offsets[i], offsets[i + 1]
        while at < end and _is_space(data[at]):
            at += 1
        while at < end and _is_space(data[end - 1]):
            end -= 1
        times[i] = _time(data, at, end)
    return times


@numba.njit(inline="always")
def _is_space(byte: int) -> bool:
    return byte == 32 or 9 <= byte <= 13


@numba.njit(inline="always")
def _two(data: np.ndarray, at: int, end: int) -> int:
    """Two digits as a number, -1 if there are none."""
    if at + 2 > end:
        return -1
    one, other = np.int64(data[at]) - 48, np.int64(data[at + 1]) - 48
    return int(one * 10 + other) if 0 <= one <= 9 and 0 <= other <= 9 else -1


@kernel
def _time(data: np.ndarray, at: int, end: int) -> int:
    century, year = _two(data, at, end), _two(data, at + 2, end)
    if century < 0 or year < 0:
        return NO_TIME
    year += 100 * century
    at += 4
    dash = 1 if at < end and data[at] == 45 else 0
    month, day = _two(data, at + dash, end), _two(data, at + 2 + 2 * dash, end)
    if year < 1 or month < 1 or month > 12 or day < 1 or (dash and data[at + 3] != 45):
        return NO_TIME
    is_leap = year % 4 == 0 and (year % 100 != 0 or year % 400 == 0)
    if day > _DAYS_IN[month - 1] + (month == 2 and is_leap):
        return NO_TIME
    at += 4 + 2 * dash
    past = year - 1
    days = (
        past * 365 + past // 4 - past // 100 + past // 400 + _DAYS_BEFORE[month - 1] + (month > 2 and is_leap) + day - 1
    )
    moment = (days - _DAYS_TO_1970) * 86_400_000_000
    if at == end:
        return moment if dash else NO_TIME
    if data[at] != 84 and data[at] != 116 and data[at] != 32:  # T, t, space
        return NO_TIME
    at, of_day = _time_of_day(data, at + 1, end)
    if at < 0 or of_day >= 86_400_000_000:
        return NO_TIME
    moment += of_day
    if at == end:
        return moment
    if data[at] == 90 or data[at] == 122:  # Z, z
        return moment if at + 1 == end else NO_TIME
    if data[at] != 43 and data[at] != 45:
        return NO_TIME
    sign = 1 if data[at] == 43 else -1
    at, offset = _time_of_day(data, at + 1, end)
    if at != end or offset >= 86_400_000_000:
        return NO_TIME
    return moment - sign * offset


@kernel
def _time_of_day(data: np.ndarray, at: int, end: int) -> tuple[int, int]:
    """Where HH[:MM[:SS[.f]]], or the same without colons, ends (-1: it is none), and its microseconds."""
    hours = _two(data, at, end)
    if hours < 0:
        return -1, 0
    at, total, unit = at + 2, hours * 3_600_000_000, 60_000_000
    colon = 1 if at < end and data[at] == 58 else 0
    for _ in range(2):
        if at == end or (colon and data[at] != 58) or (not colon and not 48 <= data[at] <= 57):
            break
        value = _two(data, at + colon, end)
        if value < 0 or value > 59:
            return -1, 0
        at, total, unit = at + 2 + colon, total + value * unit, unit // 60
    if unit == 16_666 and at < end and (data[at] == 46 or data[at] == 44):  # seconds were there; . or ,
        at, unit = at + 1, 100_000
        if at == end or not 48 <= data[at] <= 57:
            return -1, 0
        while at < end and 48 <= data[at] <= 57:
            total, unit, at = total + (np.int64(data[at]) - 48) * unit, unit // 10, at + 1
    return at, total
