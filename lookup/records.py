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


class Ranked(NamedTuple):
    """Ordinals of products, best first, and their scores; None where the release has none."""

    ordinals: Sequence[int]
    scores: Sequence[float | None] | None


def decode_head(record: bytes, products: int, limit: int) -> Ranked:
    """The first `limit` items of a record, in a release of `products` products. Raises CorruptRecordError.

    decode_list of loaders.codec reads all of a record, of which a visitor sees a few items; this path is hot.
    That the record is whole is checked all the same, by the number of its varints.
    """
    head, start = _varint(record, 0)
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
    at = 0
    for _ in range(wanted):
        byte = items[at]
        at += 1
        # Most products take one byte or two, and a call takes longer than either.
        if byte >= MORE:
            second = items[at]
            at += 1
            if second < MORE:
                byte += (second - 1) << 7
            else:
                byte, at = _varint(items, at - 2)
        ordinals.append(byte)
    return ordinals


def _scores(record: bytes, at: int, wanted: int) -> list[float | None]:
    step = HALF.unpack_from(record, at)[0] / SCORE_STEPS
    if not math.isfinite(step):
        raise CorruptRecordError("the top score is not finite")
    first = at + HALF.size
    return [value * step for value in record[first : first + wanted]]


def _varint(data: bytes, at: int) -> tuple[int, int]:
    value = 0
    for place, byte in enumerate(data[at : at + VARINT_BYTES]):
        value |= (byte & (MORE - 1)) << (7 * place)
        if byte < MORE:
            return value, at + place + 1
    raise CorruptRecordError(f"no varint at byte {at}")
