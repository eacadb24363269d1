"""One record of a release as a ranked list, checked against the release it belongs to."""

from __future__ import annotations

import math
from collections.abc import Sequence
from typing import NamedTuple

from loaders.codec import CorruptRecordError, decode_list


class Ranked(NamedTuple):
    """Ordinals of products, best first, and their scores; None where the release has none."""

    ordinals: Sequence[int]
    scores: Sequence[float | None] | None


def decode_record(record: bytes, products: int) -> Ranked:
    """The list of a record in a release of `products` products. Raises CorruptRecordError."""
    ordinals, scores = decode_list(record)
    if ordinals and max(ordinals) >= products:
        raise CorruptRecordError(f"ordinal {max(ordinals)} in a release of {products} products")
    if scores and not math.isfinite(sum(scores)):
        raise CorruptRecordError("a score is not finite")
    return Ranked(ordinals, scores)
