"""The head of a record as a ranked list, checked against the release it belongs to."""

from __future__ import annotations

from typing import Final, final

from mypy_extensions import i64

from larder.loaders.codec import SCORE_STEPS, CorruptRecordError

# A varint ends with the byte that is below this.
MORE: Final = 0x80
VARINT_BYTES: Final = 5
HALF_BYTES: Final = 2
# What a unit of a half's fraction counts, by its exponent.
SCALES: Final = [2.0 ** (exponent - 25) for exponent in range(31)]

Scores = list[float | None] | None


@final
class RankedList:
    """Ordinals of products, best first, and their scores; None where the release has none."""

    def __init__(self, ordinals: list[int], scores: Scores) -> None:
        self.ordinals = ordinals
        self.scores = scores

    def head(self, limit: int) -> RankedList:
        """The list itself: it is decoded already, and whoever takes of it stops in time."""
        return self


@final
class PackedList:
    """A record of a release of `products` products, decoded only as far as a visitor sees it."""

    def __init__(self, record: bytes, products: int) -> None:
        self.record = record
        self.products = products

    def head(self, limit: int) -> RankedList:
        """The first `limit` items. Raises CorruptRecordError."""
        return decode_head(self.record, self.products, limit)


def decode_head(record: bytes, products: int, limit: int) -> RankedList:
    """The first `limit` items of a record, in a release of `products` products. Raises CorruptRecordError.

    decode_list of larder.loaders.codec reads all of a record, of which a visitor sees a few items; this path is hot.
    That the record is whole is checked all the same, by the number of its varints.
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
    """How many varints lie there, or -1 where the last of them has no end."""
    found, place, stop = i64(0), i64(start), i64(end)
    if stop < place or (stop > place and record[stop - 1] >= MORE):
        return -1
    while place < stop:
        if record[place] < MORE:
            found += 1
        place += 1
    return found


def _ordinals(record: bytes, start: int, wanted: int, products: int) -> list[int]:
    """`wanted` varints, all of which are there."""
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
    """The IEEE 754 half, little-endian, that lies there. Raises CorruptRecordError where it is not finite."""
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
    raise CorruptRecordError("no varint at the record's beginning")
