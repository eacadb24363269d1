"""Decodes the first items of a record, and checks them against the release."""

from __future__ import annotations

from typing import Final, final

from mypy_extensions import i64

from larder.loaders.codec import SCORE_STEPS, CorruptRecordError

# A varint ends with the byte that is below this.
MORE: Final = 0x80
VARINT_BYTES: Final = 5
HALF_BYTES: Final = 2
# The value of one unit of a half's fraction, by its exponent.
SCALES: Final = [2.0 ** (exponent - 25) for exponent in range(31)]

Scores = list[float | None] | None


@final
class RankedList:
    """Product ordinals, best first, and their scores; `scores` is None if the release has none."""

    def __init__(self, ordinals: list[int], scores: Scores) -> None:
        self.ordinals = ordinals
        self.scores = scores

    def head(self, limit: int) -> RankedList:
        """Returns the list itself, which may be longer than `limit`: it is decoded already."""
        return self


@final
class PackedList:
    """An undecoded record of a release with `products` products."""

    def __init__(self, record: bytes, products: int) -> None:
        self.record = record
        self.products = products

    def head(self, limit: int) -> RankedList:
        """Returns the first `limit` items. Raises CorruptRecordError."""
        return decode_head(self.record, self.products, limit)


def decode_head(record: bytes, products: int, limit: int) -> RankedList:
    """Returns the first `limit` items of a record of a release with `products` products. Raises CorruptRecordError.

    Faster than decode_list of larder.loaders.codec, which decodes every item. The record's length is checked all the
    same, by counting its varints.
    """
    head, start = (record[0], 1) if record and record[0] < MORE else _varint(record)
    count, scored = head >> 1, head & 1
    end = len(record) - (HALF_BYTES + count if scored and count else 0)
    if _count_varints(record, start, end) != count:
        raise CorruptRecordError(f"a record of {len(record)} bytes does not hold {count} items")
    ordinals = _ordinals(record, start, min(limit, count), products)
    if not scored:
        return RankedList(ordinals, None)
    return RankedList(ordinals, _scores(record, end, len(ordinals)) if ordinals else [])


def _count_varints(record: bytes, start: int, end: int) -> int:
    """Returns the number of varints between `start` and `end`, or -1 if the last one is incomplete."""
    found, place, stop = i64(0), i64(start), i64(end)
    if stop < place or (stop > place and record[stop - 1] >= MORE):
        return -1
    while place < stop:
        if record[place] < MORE:
            found += 1
        place += 1
    return found


def _ordinals(record: bytes, start: int, wanted: int, products: int) -> list[int]:
    """Returns the first `wanted` varints, which the caller has counted."""
    ordinals: list[int] = []
    place, value, shift = i64(start), i64(0), i64(0)
    while len(ordinals) < wanted:
        byte: i64 = record[place]
        place += 1
        if byte >= MORE:
            value |= (byte & (MORE - 1)) << shift
            shift += 7
            if shift >= 7 * VARINT_BYTES:
                raise CorruptRecordError("a varint of more than five bytes")
            continue
        value |= byte << shift
        if value >= products:
            raise CorruptRecordError(f"ordinal {value} in a release of {products} products")
        ordinals.append(value)
        value = shift = i64(0)
    return ordinals


def _scores(record: bytes, at: int, wanted: int) -> list[float | None]:
    step = half_at(record, at) / SCORE_STEPS
    scores: list[float | None] = []
    place, end = i64(at + HALF_BYTES), i64(at + HALF_BYTES + wanted)
    while place < end:
        scores.append(record[place] * step)
        place += 1
    return scores


def half_at(record: bytes, at: int) -> float:
    """Returns the little-endian IEEE 754 half at `at`. Raises CorruptRecordError if it is not finite."""
    place = i64(at)
    bits: i64 = record[place] | (record[place + 1] << 8)
    exponent, fraction = (bits >> 10) & 31, bits & 1023
    if exponent == 31:
        raise CorruptRecordError("the top score is not finite")
    size = float(fraction + 1024 if exponent else fraction) * SCALES[max(exponent, 1)]
    return -size if bits & 0x8000 else size


def _varint(data: bytes) -> tuple[int, int]:
    value = 0
    for place, byte in enumerate(data[:VARINT_BYTES]):
        value |= (byte & (MORE - 1)) << (7 * place)
        if byte < MORE:
            return value, place + 1
    raise CorruptRecordError("the record does not begin with a varint")
