"""What a caller may ask, from a query string or JSON; what does not fit is named, and its remedy."""

from __future__ import annotations

import json
from typing import Any, NamedTuple
from urllib.parse import unquote_to_bytes

from settings.sections import Lookup

MAX_ID_BYTES = 512
PARAMETERS = ("cookie", "product", "location", "device", "n")
KNOWN = ", ".join(PARAMETERS)


class BadRequestError(ValueError):
    """The request cannot be answered: HTTP status, stable code, and a message for the caller's author."""

    def __init__(self, status: int, code: str, message: str) -> None:
        super().__init__(message)
        self.status = status
        self.code = code
        self.message = message


class Question(NamedTuple):
    """Who asks for how many products, and what they look at. Empty: not known."""

    products: tuple[str, ...]
    cookie: str
    location: str
    device: str
    n: int


def question_from_query(query: str, limits: Lookup) -> Question:
    """Reads `cookie=c1&product=a&product=b&n=5`. Raises BadRequestError."""
    products: list[str] = []
    given: dict[str, str] = {}
    for part in query.split("&") if query else ():
        name, _, value = part.partition("=")
        if "%" in part or "+" in part:
            name, value = _decoded(name, "a parameter's name"), _decoded(value, name)
        if name == "product":
            products.append(value)
        elif name in given:
            raise BadRequestError(400, "repeated_parameter", f"{name} is given twice; only product may be repeated")
        elif name in PARAMETERS:
            given[name] = value
        elif part:
            raise _unknown(name)
    return _question(products, given, _n_from_text(given.get("n", ""), limits), limits)


def question_from_json(asked: Any, limits: Lookup) -> Question:
    """Reads `{"cookie": "c1", "product": ["a", "b"]}`; product may be one string. Raises BadRequestError."""
    if not isinstance(asked, dict):
        raise BadRequestError(400, "invalid_json", f"a request must be an object with some of {KNOWN}")
    for name in asked:
        if name not in PARAMETERS:
            raise _unknown(name)
    products = asked.get("product")
    if not isinstance(products, list):
        products = [_text(products, "product", "a string or an array of strings")]
    else:
        products = [_text(product, "product", "a string or an array of strings") for product in products]
    given = {name: _text(asked.get(name), name, "a string") for name in ("cookie", "location", "device")}
    return _question(products, given, _n_from_json(asked.get("n"), limits), limits)


def requests_from_body(body: bytes, limits: Lookup) -> list[Any]:
    """The questions of a batch, not yet read. Raises BadRequestError."""
    try:
        asked = json.loads(body)
    except (ValueError, RecursionError) as error:
        # A decoding error quotes all of the body; its class says enough.
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


def _question(products: list[str], given: dict[str, str], n: int, limits: Lookup) -> Question:
    basket = tuple(dict.fromkeys(_checked(product, "product") for product in products if product))
    if len(basket) > limits.max_products:
        raise BadRequestError(
            400,
            "too_many_products",
            f"{len(basket)} products; name at most {limits.max_products} of the basket",
        )
    return Question(
        basket,
        _checked(given.get("cookie", ""), "cookie"),
        _checked(given.get("location", ""), "location"),
        _checked(given.get("device", ""), "device"),
        n,
    )


def _checked(value: str, name: str) -> str:
    # UTF-8 takes at most four bytes a character, so most values need no look at their bytes.
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
    # unquote_to_bytes lets a stray percent sign pass.
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


def _n_from_text(text: str, limits: Lookup) -> int:
    if not text:
        return min(limits.n, limits.max_n)
    if len(text) > 9 or not (text.isascii() and text.isdigit()):
        raise _bad_n(limits)
    return _in_range(int(text), limits)


def _n_from_json(value: Any, limits: Lookup) -> int:
    if value is None:
        return min(limits.n, limits.max_n)
    # True is an int to Python, but not to whoever wrote it.
    if type(value) is not int:
        raise _bad_n(limits)
    return _in_range(value, limits)


def _in_range(n: int, limits: Lookup) -> int:
    if not 1 <= n <= limits.max_n:
        raise _bad_n(limits)
    return n


def _bad_n(limits: Lookup) -> BadRequestError:
    return BadRequestError(400, "invalid_n", f"n must be a whole number from 1 to {limits.max_n}")


def _unknown(name: str) -> BadRequestError:
    return BadRequestError(400, "unknown_parameter", f"{_short(name)} is not a parameter; there are {KNOWN}")


def _text(value: Any, name: str, wanted: str) -> str:
    if value is not None and not isinstance(value, str):
        raise BadRequestError(400, "invalid_type", f"{name} must be {wanted}")
    return value or ""


def _short(name: str) -> str:
    """A caller's own text, fit to stand in a message."""
    return repr(name if len(name) <= 40 else name[:40] + "...")
