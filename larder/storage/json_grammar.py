"""The grammar of JSON in bytes: texts, numbers, lists and objects.

RFC 8259's grammar, with NaN, Infinity and -Infinity as numbers beside it. Each function takes bytes (uint8) and
where to look in them, and returns where what it found ends, -1 if it is not there.
"""

from __future__ import annotations

import numba
import numpy as np

from larder.kernels import kernel

# Kinds of a value. NONE: null, or the object has no such member.
NONE, TEXT, ESCAPED_TEXT, INTEGER, BIG_INTEGER, FLOAT, TRUE, FALSE, NESTED = range(9)
DEEPEST = 512  # levels of lists and objects in each other
MOST_DIGITS = 76  # of an integer, as Arrow's decimals have them; one of more digits is read as nothing that can be used
_LARGEST = np.frombuffer(b"9223372036854775807", np.uint8)  # 64 bits, signed
_QUOTE, _BACKSLASH, OPEN, CLOSE, OPEN_LIST, _CLOSE_LIST = 34, 92, 123, 125, 91, 93
_COLON, COMMA, _MINUS, _PLUS, _POINT, _ZERO, _NINE, NEWLINE = 58, 44, 45, 43, 46, 48, 57, 10


@numba.njit(inline="always")
def is_space(byte: int) -> bool:
    return byte == 32 or byte == 9 or byte == 13 or byte == 10


@kernel
def past_spaces(data: np.ndarray, at: int, end: int) -> int:
    while at < end and is_space(data[at]):
        at += 1
    return at


@kernel
def _sequence(data: np.ndarray, at: int, end: int) -> int:
    """The length of the UTF-8 sequence at a byte above 127, 0 if it is none (Unicode 15, table 3-7)."""
    first = data[at]
    if first < 0xC2 or first > 0xF4:
        return 0
    length = 2 if first < 0xE0 else 3 if first < 0xF0 else 4
    if at + length > end:
        return 0
    low, high = 0x80, 0xBF
    if first == 0xE0:
        low = 0xA0
    elif first == 0xED:
        high = 0x9F
    elif first == 0xF0:
        low = 0x90
    elif first == 0xF4:
        high = 0x8F
    if data[at + 1] < low or data[at + 1] > high:
        return 0
    for i in range(2, length):
        if data[at + i] & 0xC0 != 0x80:
            return 0
    return length


@numba.njit(inline="always")
def _hex(byte: int) -> int:
    if 48 <= byte <= 57:
        return byte - 48
    if 97 <= byte <= 102:
        return byte - 87
    if 65 <= byte <= 70:
        return byte - 55
    return -1


@kernel
def _string(data: np.ndarray, at: int, end: int) -> tuple[int, bool]:
    """Where the text that begins after a quote at `at - 1` ends (its closing quote; -1: it does not), and whether it
    has escapes."""
    escaped = False
    while at < end:
        byte = data[at]
        if byte == _QUOTE:
            return at, escaped
        if byte < 32:
            return -1, escaped
        if byte == _BACKSLASH:
            escaped = True
            if at + 1 >= end:
                return -1, escaped
            letter = data[at + 1]
            if letter == 117:  # u
                if at + 6 > end:
                    return -1, escaped
                for i in range(2, 6):
                    if _hex(data[at + i]) < 0:
                        return -1, escaped
                at += 6
                continue
            # " / \ b f n r t
            if letter not in (34, 47, 92, 98, 102, 110, 114, 116):
                return -1, escaped
            at += 2
            continue
        if byte < 128:
            at += 1
            continue
        length = _sequence(data, at, end)
        if length == 0:
            return -1, escaped
        at += length
    return -1, escaped


@kernel
def _matches(data: np.ndarray, at: int, end: int, word: np.ndarray) -> bool:
    if at + len(word) > end:
        return False
    same = 0
    while same < len(word) and data[at + same] == word[same]:
        same += 1
    return same == len(word)


_NULL, _TRUE, _FALSE = (np.frombuffer(word, np.uint8) for word in (b"null", b"true", b"false"))
_NAN, _INFINITY = (np.frombuffer(word, np.uint8) for word in (b"NaN", b"Infinity"))


@kernel
def _fits(data: np.ndarray, at: int, end: int) -> bool:
    """Whether an integer of these digits fits into 64 bits."""
    if end - at != len(_LARGEST):
        return end - at < len(_LARGEST)
    for i in range(len(_LARGEST)):
        if data[at + i] != _LARGEST[i]:
            return data[at + i] < _LARGEST[i]
    return True


@kernel
def _number(data: np.ndarray, at: int, end: int) -> tuple[int, int]:
    """Where a number ends (-1: it is none), and its kind."""
    if data[at] == _MINUS:
        at += 1
    if at >= end:
        return -1, NONE
    if _matches(data, at, end, _INFINITY):
        return at + len(_INFINITY), FLOAT
    digits = at
    while at < end and _ZERO <= data[at] <= _NINE:
        at += 1
    if at == digits or (data[digits] == _ZERO and at > digits + 1):
        return -1, NONE
    kind = INTEGER if _fits(data, digits, at) else BIG_INTEGER if at - digits <= MOST_DIGITS else NESTED
    if at < end and data[at] == _POINT:
        kind, at = FLOAT, at + 1
        fraction = at
        while at < end and _ZERO <= data[at] <= _NINE:
            at += 1
        if at == fraction:
            return -1, NONE
    if at < end and (data[at] == 101 or data[at] == 69):  # e E
        kind, at = FLOAT, at + 1
        if at < end and (data[at] == _PLUS or data[at] == _MINUS):
            at += 1
        exponent = at
        while at < end and _ZERO <= data[at] <= _NINE:
            at += 1
        if at == exponent:
            return -1, NONE
    return at, kind


@kernel
def scalar(data: np.ndarray, at: int, end: int) -> tuple[int, int]:
    """Where a value other than a list or an object ends (-1: it is none), and its kind."""
    byte = data[at]
    if byte == _QUOTE:
        closing, escaped = _string(data, at + 1, end)
        return (closing + 1 if closing >= 0 else -1), (ESCAPED_TEXT if escaped else TEXT)
    if byte == _MINUS or _ZERO <= byte <= _NINE:
        return _number(data, at, end)
    if _matches(data, at, end, _NULL):
        return at + 4, NONE
    if _matches(data, at, end, _TRUE):
        return at + 4, TRUE
    if _matches(data, at, end, _FALSE):
        return at + 5, FALSE
    if _matches(data, at, end, _NAN):
        return at + 3, FLOAT
    if _matches(data, at, end, _INFINITY):
        return at + 8, FLOAT
    return -1, NONE


@kernel
def key(data: np.ndarray, at: int, end: int) -> tuple[int, int, int, bool]:
    """Of a member's name at `at`: its first byte, its end, where its value begins, and whether it has escapes. The
    last but one is -1 if there is none."""
    at = past_spaces(data, at, end)
    if at >= end or data[at] != _QUOTE:
        return 0, 0, -1, False
    closing, escaped = _string(data, at + 1, end)
    if closing < 0:
        return 0, 0, -1, False
    value = past_spaces(data, closing + 1, end)
    if value >= end or data[value] != _COLON:
        return 0, 0, -1, False
    return at + 1, closing, past_spaces(data, value + 1, end), escaped


@kernel
def nested(data: np.ndarray, at: int, end: int, stack: np.ndarray) -> int:
    """Where the list or object at `at` ends, -1 if it is none."""
    depth = 0
    while True:
        # A value is expected at `at`.
        if at >= end:
            return -1
        opened = False
        if data[at] == OPEN or data[at] == OPEN_LIST:
            if depth == len(stack):
                return -1
            is_object = data[at] == OPEN
            stack[depth] = is_object
            depth += 1
            at = past_spaces(data, at + 1, end)
            if at >= end:
                return -1
            if data[at] != (CLOSE if is_object else _CLOSE_LIST):
                opened = True
                if is_object:
                    _, _, at, _ = key(data, at, end)
                    if at < 0:
                        return -1
        else:
            at, _ = scalar(data, at, end)
            if at < 0:
                return -1
        if opened:
            continue
        # After a value, or at the end of an empty list or object.
        while True:
            at = past_spaces(data, at, end)
            if at >= end:
                return -1
            is_object = stack[depth - 1]
            if data[at] == (CLOSE if is_object else _CLOSE_LIST):
                at, depth = at + 1, depth - 1
                if depth == 0:
                    return at
                continue
            if data[at] != COMMA:
                return -1
            at = past_spaces(data, at + 1, end)
            if is_object:
                _, _, at, _ = key(data, at, end)
                if at < 0:
                    return -1
            break


@kernel
def unescaped(data: np.ndarray, at: int, end: int, out: np.ndarray, to: int) -> int:
    """Writes a valid text's bytes with its escapes resolved to out[to:]; returns where they end.

    Half of a surrogate pair has no UTF-8 and becomes a question mark.
    """
    while at < end:
        if data[at] != _BACKSLASH:
            out[to] = data[at]
            at, to = at + 1, to + 1
            continue
        letter = data[at + 1]
        if letter != 117:
            at += 2
            if letter == 98:
                letter = np.uint8(8)
            elif letter == 102:
                letter = np.uint8(12)
            elif letter == 110:
                letter = np.uint8(10)
            elif letter == 114:
                letter = np.uint8(13)
            elif letter == 116:
                letter = np.uint8(9)
            out[to] = letter
            to += 1
            continue
        code = _unit(data, at)
        at += 6
        if 0xD800 <= code < 0xDC00 and at + 6 <= end and data[at] == _BACKSLASH and data[at + 1] == 117:
            low = _unit(data, at)
            if 0xDC00 <= low < 0xE000:
                code = 0x10000 + ((code - 0xD800) << 10) + (low - 0xDC00)
                at += 6
        if 0xD800 <= code < 0xE000:
            code = 63
        if code < 0x80:
            out[to] = code
            to += 1
        elif code < 0x800:
            out[to], out[to + 1] = 0xC0 | (code >> 6), 0x80 | (code & 63)
            to += 2
        elif code < 0x10000:
            out[to], out[to + 1], out[to + 2] = 0xE0 | (code >> 12), 0x80 | ((code >> 6) & 63), 0x80 | (code & 63)
            to += 3
        else:
            out[to], out[to + 1] = 0xF0 | (code >> 18), 0x80 | ((code >> 12) & 63)
            out[to + 2], out[to + 3] = 0x80 | ((code >> 6) & 63), 0x80 | (code & 63)
            to += 4
    return to


@kernel
def _unit(data: np.ndarray, at: int) -> int:
    return (
        (_hex(data[at + 2]) << 12) | (_hex(data[at + 3]) << 8) | (_hex(data[at + 4]) << 4) | _hex(data[at + 5])
    )  # fmt: skip
