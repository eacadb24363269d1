"""Answers and errors as JSON bytes, put together from pieces that were encoded before."""

from __future__ import annotations

import json
import time
from collections.abc import Sequence
from functools import lru_cache
from typing import TYPE_CHECKING, Any

from lookup.routing import ROUTES, Outcomes, Pick

if TYPE_CHECKING:
    from lookup.release import Release

ITEM = {route: b'{"id":%%b,"score":%%.5g,"route":"%b"}' % route.encode() for route in ROUTES}
UNSCORED_ITEM = {route: b'{"id":%%b,"score":null,"route":"%b"}' % route.encode() for route in ROUTES}
ANSWER = b'{"items":[%b],"release":%b,"as_of":"%b","age_seconds":%d,"request_id":"%b","routes":[%b]}'

_encoder = json.JSONEncoder(ensure_ascii=False)


def encode_text(text: str) -> bytes:
    """A string as JSON; the same text always comes out the same, so that names can be compared encoded."""
    return _encoder.encode(text).encode()


def to_json(value: Any) -> bytes:
    """Anything that is not on the hot path."""
    return json.dumps(value, ensure_ascii=False, separators=(",", ":")).encode()


def answer_json(release: Release, picks: Sequence[Pick], outcomes: Outcomes, request_id: bytes) -> bytes:
    """One answer. `request_id` must need no escaping."""
    names = release.names
    items = [
        UNSCORED_ITEM[route] % names[ordinal] if score is None else ITEM[route] % (names[ordinal], score)
        for ordinal, score, route in picks
    ]
    return ANSWER % (
        b",".join(items),
        release.name_json,
        release.as_of,
        age_seconds(release),
        request_id,
        outcomes_json(outcomes),
    )


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
