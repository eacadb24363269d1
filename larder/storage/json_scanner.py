"""Finds the rows and values of JSON lines in a block of bytes, without decoding them.

Every line is read on its own: what a row is never depends on another row.
"""

from __future__ import annotations

import numpy as np

from larder.kernels import kernel
from larder.storage.json_grammar import (
    CLOSE,
    COMMA,
    DEEPEST,
    ESCAPED_TEXT,
    NESTED,
    NEWLINE,
    NONE,
    OPEN,
    OPEN_LIST,
    TEXT,
    is_space,
    key,
    nested,
    past_spaces,
    scalar,
    unescaped,
)


@kernel
def _name_of(data: np.ndarray, at: int, end: int, names: np.ndarray, bounds: np.ndarray, other_case: np.ndarray) -> int:
    """The number of the wanted name that these bytes are, -1 if none; notes names that differ by case alone."""
    size = end - at
    for name in range(len(bounds) - 1):
        start = bounds[name]
        if bounds[name + 1] - start != size:
            continue
        same = alike = True
        for i in range(size):
            one, other = data[at + i], names[start + i]
            if one != other:
                same = False
                if (one | 32) != (other | 32) or not 97 <= (one | 32) <= 122:
                    alike = False
                    break
        if same:
            return name
        if alike:
            other_case[name] = True
    return -1


@kernel
def _row(
    data: np.ndarray,
    at: int,
    end: int,
    names: np.ndarray,
    bounds: np.ndarray,
    stack: np.ndarray,
    scratch: np.ndarray,
    row: tuple[np.ndarray, np.ndarray, np.ndarray],
    seen: np.ndarray,
    other_case: np.ndarray,
) -> int:
    """Reads the object at `at`: the kind and the bytes of each wanted member; returns its end, -1 if it is none."""
    kinds, starts, ends = row
    at = past_spaces(data, at + 1, end)
    if at < end and data[at] == CLOSE:
        return at + 1
    while True:
        first, last, at, escaped = key(data, at, end)
        if at < 0 or at >= end:
            return -1
        if escaped and last - first <= len(scratch):
            name = _name_of(scratch, 0, unescaped(data, first, last, scratch, 0), names, bounds, other_case)
        else:
            name = _name_of(data, first, last, names, bounds, other_case)
        start = at
        if data[at] == OPEN or data[at] == OPEN_LIST:
            at, kind = nested(data, at, end, stack), NESTED
        else:
            at, kind = scalar(data, at, end)
        if at < 0:
            return -1
        if name >= 0:  # of members of one name the last counts, as everywhere
            seen[name] = True
            quotes = 1 if kind in (TEXT, ESCAPED_TEXT) else 0
            kinds[name], starts[name], ends[name] = kind, start + quotes, at - quotes
        at = past_spaces(data, at, end)
        if at >= end:
            return -1
        if data[at] == CLOSE:
            return at + 1
        if data[at] != COMMA:
            return -1
        at += 1


@kernel
def scan(
    data: np.ndarray,
    at: int,
    final: bool,
    names: np.ndarray,
    bounds: np.ndarray,
    spans: np.ndarray,
    is_object: np.ndarray,
    kinds: np.ndarray,
    starts: np.ndarray,
    ends: np.ndarray,
    seen: np.ndarray,
    other_case: np.ndarray,
) -> tuple[int, int]:
    """Reads rows from data[at:] until the arrays are full or no whole row is left; returns their number, and where the
    next one begins.

    A row is an object, several of which may stand in a line one after the other (as Kinesis Firehose joins them), or
    what else a line holds. `final`: the last line is whole though no newline ends it.

    Args: wanted names are names[bounds[i]:bounds[i + 1]]. Filled in: spans, int64 [rows, 2], each row's bytes;
    is_object, bool [rows]; kinds, uint8 [rows, names]; starts and ends, int64 [rows, names]; `seen` and
    `other_case`, bool [names]: whether any object has this name, or one that differs from it by case alone.
    """
    stack, scratch = np.empty(DEEPEST, np.bool_), np.empty(256, np.uint8)
    rows, size = 0, len(data)
    line_end = -1
    while rows < len(spans):
        at = past_spaces(data, at, size)
        if at >= size:
            return rows, size
        if line_end < at:
            line_end = at
            while line_end < size and data[line_end] != NEWLINE:
                line_end += 1
        is_whole = final or line_end < size
        kinds[rows] = NONE
        end = -1
        if data[at] == OPEN:
            row = (kinds[rows], starts[rows], ends[rows])
            end = _row(data, at, line_end, names, bounds, stack, scratch, row, seen, other_case)
        if end >= 0:
            after = past_spaces(data, end, line_end)
            if after == line_end:
                if not is_whole:
                    return rows, at
            elif data[after] != OPEN:
                end = -1
        if end < 0:
            if not is_whole:
                return rows, at
            kinds[rows] = NONE
            end = line_end
            while is_space(data[end - 1]):
                end -= 1
            is_object[rows] = False
        else:
            is_object[rows] = True
        spans[rows, 0], spans[rows, 1] = at, end
        rows, at = rows + 1, end
    return rows, at
