"""Formats numbers digit by digit, which is faster than `%` when compiled; uncompiled, `%` is used."""

from __future__ import annotations

from typing import TYPE_CHECKING, Final

from librt.strings import BytesWriter

if TYPE_CHECKING:
    from mypy_extensions import i64

COMPILED: Final = not __file__.endswith(".py")
ZERO: Final = ord("0")
POINT: Final = ord(".")
BEYOND_NINE: Final = ord("a") - 10
# Shifting a 64-bit number by 64 bits or more is undefined in C.
MAX_HEX_DIGITS: Final = 16


def hex_digits(number: i64) -> i64:
    """Returns the number of digits that `%x` writes for a number below 2^63."""
    digits: i64 = 1
    while digits < MAX_HEX_DIGITS and number >> (4 * digits):
        digits += 1
    return digits


def write_hex(out: BytesWriter, number: i64, digits: i64) -> None:
    """Writes a number below 2^63 as `%x` does, padded with zeros to `digits` digits."""
    if not COMPILED:
        out.write(b"%0*x" % (digits, number))
        return
    shift: i64 = 4 * digits - 4
    while shift >= 0:
        digit: int = (number >> shift) & 15
        out.append(digit + (BEYOND_NINE if digit > 9 else ZERO))
        shift -= 4


def write_score(out: BytesWriter, score: float) -> None:
    """Writes the score as `%.5g` does, up to one unit of the last of its five digits."""
    if not (COMPILED and 0.0001 <= score < 99_999.5):
        out.write(b"%.5g" % score)
        return
    # Five digits; the first counts 10 to the power of `place`.
    place = 4
    while score < 10_000.0:
        score *= 10.0
        place -= 1
    digits: i64 = int(score + 0.5)
    if digits == 100_000:
        digits, place = 10_000, place + 1
    if place < 0:
        out.write(b"0.")
        for _ in range(-1 - place):
            out.append(ZERO)
        place = -1
    unit: i64 = 10_000
    while digits or place >= 0:
        digit: int = digits // unit
        out.append(ZERO + digit)
        digits %= unit
        unit //= 10
        if not place and digits:
            out.append(POINT)
        place -= 1
