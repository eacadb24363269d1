"""Renders answers and errors as JSON, mostly from parts that are already encoded."""

from __future__ import annotations

import time
from collections.abc import Sequence
from functools import lru_cache
from typing import Final

from librt.strings import BytesWriter

from larder.lookup.answer.routes import ROUTES
from larder.lookup.answer.routing import PickedItems, RouteOutcomes
from larder.lookup.json_text import to_json
from larder.lookup.number_formatting import write_score
from larder.lookup.release.served_release import ServedRelease

COMMA: Final = ord(",")

ENDS_OF_ITEM: Final = {route: b',"route":"%b"}' % route.encode() for route in ROUTES}
OF_RELEASE: Final = b'],"release":%b,"as_of":"%b","age_seconds":%d,"request_id":"'


def answer_json(
    release: ServedRelease, picked: Sequence[PickedItems], outcomes: RouteOutcomes, request_id: bytes, more: bytes = b""
) -> bytes:
    """Returns one answer. `request_id` must need no JSON escaping; `more` is inserted before the last brace."""
    out = BytesWriter()
    out.write(b'{"items":[')
    for place, picks in enumerate(picked):
        if place:
            out.append(COMMA)
        _write_items(out, picks, release.names)
    out.write(_of_release(release.name_json, release.as_of, age_seconds(release)))
    out.write(request_id)
    out.write(b'","routes":[')
    out.write(outcomes_json(outcomes))
    out.write(b"]")
    out.write(more)
    out.write(b"}")
    return out.getvalue()


@lru_cache(maxsize=64)
def _of_release(name_json: bytes, as_of: bytes, age: int) -> bytes:
    """Returns the part of an answer that is the same within a second."""
    return OF_RELEASE % (name_json, as_of, age)


def _write_items(out: BytesWriter, picks: PickedItems, names: list[bytes]) -> None:
    ordinals, scores = picks.ordinals, picks.scores
    end = ENDS_OF_ITEM[picks.route]
    for place in range(len(ordinals)):
        if place:
            out.append(COMMA)
        out.write(b'{"id":')
        out.write(names[ordinals[place]])
        out.write(b',"score":')
        score = None if scores is None else scores[place]
        if score is None:
            out.write(b"null")
        else:
            write_score(out, score)
        out.write(end)


def age_seconds(release: ServedRelease) -> int:
    """Returns the seconds since the release's last event hour; 0 if this machine's clock is behind."""
    return max(0, int(time.time()) - release.as_of_seconds)


_outcomes_json: Final[dict[RouteOutcomes, bytes]] = {}


def outcomes_json(outcomes: RouteOutcomes) -> bytes:
    """Returns the outcomes as JSON objects without brackets. Each of the few combinations is encoded once."""
    found = _outcomes_json.get(outcomes)
    if found is None:
        each = (to_json({name: value or None for name, value in one._asdict().items()}) for one in outcomes.each)
        found = _outcomes_json[outcomes] = b",".join(each)
    return found


def error_json(code: str, message: str) -> bytes:
    """Returns the body of an error, for a response or for one query of a batch."""
    return to_json({"error": {"code": code, "message": message}})
