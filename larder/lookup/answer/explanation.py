"""Explains an answer: which records were read, what was left out, how long it took."""

from __future__ import annotations

from typing import Any

from larder.loaders.keys import COOKIES, PRODUCTS, key64
from larder.lookup.answer.answering import PendingAnswer, RoutedAnswer
from larder.lookup.answer.routes import PERSONAL, SIMILAR
from larder.lookup.release.mask_cache import MaskCache


def explanation(pending: PendingAnswer, answer: RoutedAnswer, masks: MaskCache, seconds: float) -> dict[str, Any]:
    """Returns what `explain` adds to an answer; docs/lookup.md describes the fields."""
    query, release = pending.query, pending.release
    ids = [(SIMILAR, PRODUCTS, product) for product in query.products]
    ids += [(PERSONAL, COOKIES, query.cookie)] if query.cookie else []
    records = []
    for route, kind, text in ids:
        if route in query.scene.by_route and not release.is_snapshot:
            for name, field in release.places(kind, key64(text)):
                records.append({"route": route, "id": text, "key": name.decode(), "field": field.hex()})
    return {
        "scene": query.scene.name,
        "policy": (pending.treatment.policy or None) if pending.treatment is not None else None,
        "records": records,
        "generic_lists": len(release.generic),
        "snapshot": release.is_snapshot,
        "masked_products": len(masks.names),
        "masks_problem": masks.problem or None,
        "seen_products": answer.seen,
        "milliseconds": round(seconds * 1000, 3),
    }
