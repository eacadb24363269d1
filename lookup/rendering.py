"""Answers and errors as JSON bytes, put together from pieces that were encoded before."""

from __future__ import annotations

import json
import time
from collections.abc import Sequence
from functools import lru_cache
from typing import TYPE_CHECKING, Any, Final

from lookup.routing import Outcomes, Picks

if TYPE_CHECKING:
    from lookup.release import Release

SCORED: Final = b'{"id":%%b,"score":%%.5g,"route":"%b"}'
UNSCORED: Final = b'{"id":%%b,"score":null,"route":"%b"}'
OF_RELEASE: Final = b'],"release":%b,"as_of":"%b","age_seconds":%d,"request_id":"'

_encoder = json.JSONEncoder(ensure_ascii=False)


def encode_text(text: str) -> bytes:
    """A string as JSON; the same text always comes out the same, so that names can be compared encoded."""
    return _encoder.encode(text).encode()


def to_json(value: Any) -> bytes:
    """Anything that is not on the hot path."""
    return json.dumps(value, ensure_ascii=False, separators=(",", ":")).encode()


def answer_json(
    release: Release, taken: Sequence[Picks], outcomes: Outcomes, request_id: bytes, more: bytes = b""
) -> bytes:
    """One answer. `request_id` must need no escaping; `more` is put in before the last brace."""
    items = [_items_json(picks) for picks in taken]
    pieces = [
        b'{"items":[',
        items[0] if len(items) == 1 else b",".join(items),
        _of_release(release.name_json, release.as_of, age_seconds(release)),
        request_id,
        b'","routes":[',
        outcomes_json(outcomes),
        b"]",
        more,
        b"}",
    ]
    return b"".join(pieces)


@lru_cache(maxsize=64)
def _of_release(name_json: bytes, as_of: bytes, age: int) -> bytes:
    """The same within a second."""
    return OF_RELEASE % (name_json, as_of, age)


def _items_json(picks: Picks) -> bytes:
    products, scores = picks.products, picks.scores
    if scores is None or None in scores:
        each = [None] * len(products) if scores is None else scores
        return b",".join(
            [
                _template(picks.route, score is not None, 1) % (product if score is None else (product, score))
                for product, score in zip(products, each, strict=True)
            ]
        )
    pairs: list[Any] = []
    for place, product in enumerate(products):
        pairs.append(product)
        pairs.append(scores[place])
    return _template(picks.route, True, len(products)) % tuple(pairs)


@lru_cache(maxsize=8192)
def _template(route: str, scored: bool, count: int) -> bytes:
    """Items in one piece: formatting them all at once takes half as long as one by one."""
    return b",".join([(SCORED if scored else UNSCORED) % route.encode()] * count)


def age_seconds(release: Release) -> int:
    """Seconds since the hour up to which the release knows events; 0 where this clock is behind."""
    return max(0, int(time.time()) - release.as_of_seconds)


@lru_cache(maxsize=4096)
def outcomes_json(outcomes: Outcomes) -> bytes:
    """What became of the routes, without brackets. There are few reasons, so each case is encoded once."""
    return b",".join(
        to_json({name: value or None for name, value in outcome._asdict().items()}) for outcome in outcomes
    )


def error_json(code: str, message: str) -> bytes:
    """The body of every answer that is not 2xx, and of a batch's question that has no answer."""
    return to_json({"error": {"code": code, "message": message}})
