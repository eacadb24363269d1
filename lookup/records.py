"""The head of a record as a ranked list, checked against the release it belongs to."""

from __future__ import annotations

import math
from collections.abc import Sequence
from typing import NamedTuple

from loaders.codec import HALF, SCORE_STEPS, CorruptRecordError

# A varint ends with the byte that is below this.
MORE = 0x80
CONTINUATIONS = bytes(range(MORE, 256))
VARINT_BYTES = 5


Scores = Sequence[float | None] | None


class Ranked(NamedTuple):
    """Ordinals of products, best first, and their scores; None where the release has none."""

    ordinals: Sequence[int]
    scores: Scores

    def head(self, limit: int) -> Ranked:
        """The list itself: it is decoded already, and whoever takes of it stops in time."""
        return self


class Packed(NamedTuple):
    """A record of a release of `products` products, decoded only as far as a visitor sees it."""

    record: bytes
    products: int

    def head(self, limit: int) -> Ranked:
        """The first `limit` items. Raises CorruptRecordError."""
        return decode_head(self.record, self.products, limit)


def decode_head(record: bytes, products: int, limit: int) -> Ranked:
    """The first `limit` items of a record, in a release of `products` products. Raises CorruptRecordError.

    decode_list of loaders.codec reads all of a record, of which a visitor sees a few items; this path is hot.
    That the record is whole is checked all the same, by the number of its varints.
    """
    head, start = (record[0], 1) if record and record[0] < MORE else _varint(record)
    count, scored = head >> 1, head & 1
    end = len(record) - (HALF.size + count if scored and count else 0)
    items = record[start:end] if end > start else b""
    if len(items.translate(None, CONTINUATIONS)) != count or (items and items[-1] >= MORE) or end < start:
        raise CorruptRecordError(f"a record of {len(record)} bytes does not hold {count} items")
    ordinals = _ordinals(items, min(limit, count))
    if ordinals and max(ordinals) >= products:
        raise CorruptRecordError(f"ordinal {max(ordinals)} in a release of {products} products")
    if not scored:
        return Ranked(ordinals, None)
    return Ranked(ordinals, _scores(record, end, len(ordinals)) if ordinals else [])


def _ordinals(items: bytes, wanted: int) -> list[int]:
    ordinals: list[int] = []
    value = shift = 0
    for byte in items:
        if byte < MORE:
            ordinals.append(value | byte << shift if shift else byte)
            if len(ordinals) == wanted:
                break
            value = shift = 0
        else:
            value |= (byte & (MORE - 1)) << shift
            shift += 7
            if shift >= 7 * VARINT_BYTES:
                raise CorruptRecordError("a varint of more than five bytes")
    return ordinals


def _scores(record: bytes, at: int, wanted: int) -> list[float | None]:
    step = HALF.unpack_from(record, at)[0] / SCORE_STEPS
    if not math.isfinite(step):
        raise CorruptRecordError("the top score is not finite")
    first = at + HALF.size
    return [value * step for value in record[first : first + wanted]]


def _varint(data: bytes) -> tuple[int, int]:
    value = 0
    for place, byte in enumerate(data[:VARINT_BYTES]):
        value |= (byte & (MORE - 1)) << (7 * place)
        if byte < MORE:
            return value, place + 1
    raise CorruptRecordError("no varint at the record's beginning")
