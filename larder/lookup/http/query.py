"""Parses and checks recommendation queries, from a query string or from JSON."""

from __future__ import annotations

import json
from collections.abc import Mapping
from typing import Any, Final, final
from urllib.parse import unquote_to_bytes

from larder.lookup.answer.scenes import DEFAULT, Scene, scenes_from
from larder.lookup.http.http_errors import BadRequestError
from larder.settings import LookupSettings

MAX_ID_BYTES: Final = 512
LISTS: Final = ("product", "exclude")
TEXTS: Final = ("cookie", "location", "device", "scene", "arm")
PARAMETERS: Final = ("cookie", "product", "exclude", "location", "device", "n", "scene", "arm", "explain")
KNOWN: Final = ", ".join(PARAMETERS)


@final
class RecommendationQuery:
    """A request for `n` products for one visitor. Empty fields are unknown.

    `products` are viewed or in the basket; `exclude` are products that must not be in the answer. `has_n` if the caller
    gave `n`, instead of the scene. `arm` names the arm of an experiment that is to be given, as EXPERIMENT:ARM.
    """

    def __init__(
        self,
        scene: Scene,
        n: int,
        cookie: str = "",
        products: tuple[str, ...] = (),
        exclude: tuple[str, ...] = (),
        location: str = "",
        device: str = "",
        explain: bool = False,
        arm: str = "",
        has_n: bool = False,
    ) -> None:
        self.scene = scene
        self.n = n
        self.cookie = cookie
        self.products = products
        self.exclude = exclude
        self.location = location
        self.device = device
        self.explain = explain
        self.arm = arm
        self.has_n = has_n

    def put_into(self, scene: Scene) -> None:
        """Makes this a request of another scene."""
        self.scene = scene
        if not self.has_n:
            self.n = scene.n


@final
class QueryLimits:
    """The limits and scenes that queries are checked against."""

    def __init__(self, limits: LookupSettings, scenes: Mapping[str, Scene]) -> None:
        self.limits = limits
        self.scenes = scenes


def query_limits(settings: LookupSettings) -> QueryLimits:
    """Returns the limits and scenes in the settings."""
    return QueryLimits(settings, scenes_from(settings))


def parse_query_string(query: str, rules: QueryLimits) -> RecommendationQuery:
    """Returns the query in `cookie=c1&product=a&product=b&n=5`. Raises BadRequestError."""
    given: dict[str, str] = {}
    several: dict[str, list[str]] = {}
    encoded = "%" in query or "+" in query
    for part in query.split("&") if query else ():
        name, _, value = part.partition("=")
        if encoded and ("%" in part or "+" in part):
            name, value = _decoded(name, "a parameter's name"), _decoded(value, name)
        if name in LISTS:
            several.setdefault(name, []).append(value)
        elif name in given:
            raise BadRequestError(
                400, "repeated_parameter", f"{name} is given twice; only {' and '.join(LISTS)} may be repeated"
            )
        elif name in PARAMETERS:
            given[name] = value
        elif part:
            raise _unknown(name)
    scene = _scene(given.get("scene"), rules)
    return _question(
        scene,
        _n_from_text(given.get("n"), rules.limits),
        given,
        several,
        _flag(given.get("explain") or "0"),
        rules.limits,
    )


def parse_json_query(asked: Any, rules: QueryLimits) -> RecommendationQuery:
    """Returns the query in `{"cookie": "c1", "product": ["a", "b"]}` or `{"product": "a"}`. Raises BadRequestError."""
    if not isinstance(asked, dict):
        raise BadRequestError(400, "invalid_json", f"a request must be an object with some of {KNOWN}")
    for name in asked:
        if name not in PARAMETERS:
            raise _unknown(name)
    several = {name: _texts(asked[name], name) for name in LISTS if name in asked}
    given = {name: _text(asked[name], name, "a string") for name in TEXTS if name in asked}
    explain = asked.get("explain")
    if explain is not None and not isinstance(explain, bool):
        raise BadRequestError(400, "invalid_type", "explain must be true or false")
    scene = _scene(given.get("scene"), rules)
    n = _n_from_json(asked.get("n"), rules.limits)
    return _question(scene, n, given, several, bool(explain), rules.limits)


def parse_batch(body: bytes, limits: LookupSettings) -> list[Any]:
    """Returns the queries of a batch, not yet checked. Raises BadRequestError."""
    try:
        asked = json.loads(body)
    except (ValueError, RecursionError) as error:
        # The text of a UnicodeDecodeError holds the whole body; its class is enough.
        reason = str(error) if isinstance(error, json.JSONDecodeError) else type(error).__name__
        raise BadRequestError(400, "invalid_json", f"the body is not JSON in UTF-8: {reason}") from None
    requests = asked.get("requests") if isinstance(asked, dict) else None
    if not isinstance(requests, list) or len(asked) != 1:
        raise BadRequestError(400, "invalid_json", 'the body must be {"requests": [...]} and nothing else')
    if len(requests) > limits.max_batch:
        raise BadRequestError(
            400, "batch_too_large", f"{len(requests)} requests; send at most {limits.max_batch} in one call"
        )
    return requests


def _question(
    scene: Scene,
    n: int | None,
    given: dict[str, str],
    several: dict[str, list[str]],
    explain: bool,
    limits: LookupSettings,
) -> RecommendationQuery:
    return RecommendationQuery(
        scene,
        scene.n if n is None else n,
        _checked(given.get("cookie", ""), "cookie"),
        _ids(several["product"], "product", limits.max_products) if "product" in several else (),
        _ids(several["exclude"], "exclude", limits.max_exclude) if "exclude" in several else (),
        _checked(given.get("location", ""), "location"),
        _checked(given.get("device", ""), "device"),
        explain,
        _checked(given.get("arm", ""), "arm"),
        n is not None,
    )


def _ids(texts: list[str], name: str, most: int) -> tuple[str, ...]:
    ids = tuple(dict.fromkeys(_checked(text, name) for text in texts if text))
    if len(ids) > most:
        raise BadRequestError(400, "too_many_products", f"{len(ids)} products in {name}; name at most {most}")
    return ids


def _scene(name: str | None, rules: QueryLimits) -> Scene:
    try:
        return rules.scenes[name or DEFAULT]
    except KeyError:
        raise BadRequestError(
            400, "unknown_scene", f"{_short(name or '')} is not a scene; there are {', '.join(rules.scenes)}"
        ) from None


def _flag(text: str) -> bool:
    if text not in ("0", "1"):
        raise BadRequestError(400, "invalid_type", "explain must be 0 or 1")
    return text == "1"


def _checked(value: str, name: str) -> str:
    # Most values are ASCII, where the number of bytes is the number of characters.
    if value.isascii() and len(value) <= MAX_ID_BYTES:
        return value
    try:
        size = len(value.encode())
    except UnicodeEncodeError:
        raise BadRequestError(
            400, "invalid_encoding", f"{name} holds half of a surrogate pair; send whole characters"
        ) from None
    if size > MAX_ID_BYTES:
        raise BadRequestError(400, "id_too_long", f"{name} has {size} bytes; at most {MAX_ID_BYTES} are taken")
    return value


def _decoded(text: str, name: str) -> str:
    # unquote_to_bytes accepts a stray percent sign.
    for piece in text.split("%")[1:]:
        if len(piece) < 2 or not _is_hex(piece[0]) or not _is_hex(piece[1]):
            raise _undecodable(name)
    try:
        return unquote_to_bytes(text.replace("+", " ")).decode("utf-8")
    except UnicodeDecodeError:
        raise _undecodable(name) from None


def _is_hex(character: str) -> bool:
    return character in "0123456789abcdefABCDEF"


def _undecodable(name: str) -> BadRequestError:
    return BadRequestError(
        400, "invalid_encoding", f"{_short(name)} is not percent-encoded UTF-8; write a percent sign as %25"
    )


def _n_from_text(text: str | None, limits: LookupSettings) -> int | None:
    if not text:
        return None
    if len(text) > 9 or not (text.isascii() and text.isdigit()):
        raise _bad_n(limits)
    return _in_range(int(text), limits)


def _n_from_json(value: Any, limits: LookupSettings) -> int | None:
    if value is None:
        return None
    # In Python, True is an int.
    if type(value) is not int:
        raise _bad_n(limits)
    return _in_range(value, limits)


def _in_range(n: int, limits: LookupSettings) -> int:
    if not 1 <= n <= limits.max_n:
        raise _bad_n(limits)
    return n


def _bad_n(limits: LookupSettings) -> BadRequestError:
    return BadRequestError(400, "invalid_n", f"n must be a whole number from 1 to {limits.max_n}")


def _unknown(name: str) -> BadRequestError:
    return BadRequestError(400, "unknown_parameter", f"{_short(name)} is not a parameter; there are {KNOWN}")


def _texts(value: Any, name: str) -> list[str]:
    wanted = "a string or an array of strings"
    values = value if isinstance(value, list) else [value]
    return [_text(each, name, wanted) for each in values]


def _text(value: Any, name: str, wanted: str) -> str:
    if value is not None and not isinstance(value, str):
        raise BadRequestError(400, "invalid_type", f"{name} must be {wanted}")
    return value or ""


def _short(name: str) -> str:
    """Returns a quoted and shortened text of the caller, for a message."""
    return repr(name if len(name) <= 40 else name[:40] + "...")
