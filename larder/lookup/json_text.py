"""Values as JSON in UTF-8 bytes."""

from __future__ import annotations

import json
from typing import Any, Final

_encoder: Final = json.JSONEncoder(ensure_ascii=False)


def encode_text(text: str) -> bytes:
    """Returns a string as JSON. Equal strings give equal bytes, so encoded product ids can be compared."""
    return _encoder.encode(text).encode()


def to_json(value: Any) -> bytes:
    """Returns any JSON value in the shortest form. Too slow for the hot path."""
    return json.dumps(value, ensure_ascii=False, separators=(",", ":")).encode()
