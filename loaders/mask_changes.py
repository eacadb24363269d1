"""The version of the masks in Redis. It lists the latest changes, so that readers need not read all masks again.

The version is the value of the hash's empty field (docs/redis_format.md). Any value is allowed. As JSON of the form
`{"id": "5f0c…", "changes": [{"from": "83ab…", "products": ["p1", "p2"]}, …]}` it tells which products each of the
latest changes concerned; `from` is the digest of the version before the change.
"""

from __future__ import annotations

import hashlib
import json
import secrets
from collections.abc import Sequence
from typing import Any

# What a version may hold. It is read several times a second, so it must be short.
MOST_CHANGES = 32
MOST_BYTES = 4096


def digest_of(version: bytes | None) -> str:
    """Returns the digest of a version; None stands for a hash without one."""
    return hashlib.sha1(version or b"", usedforsecurity=False).hexdigest()[:16]


def next_version(version: bytes | None, products: Sequence[str]) -> bytes:
    """Returns the version that follows `version` by a change of these products."""
    changes = [*_changes(version), {"from": digest_of(version), "products": list(products)}][-MOST_CHANGES:]
    while True:
        value = json.dumps({"id": secrets.token_hex(4), "changes": changes}, ensure_ascii=False, separators=(",", ":"))
        if len(value.encode()) <= MOST_BYTES or not changes:
            return value.encode()
        changes = changes[1:]


def changed_products(before: bytes | None, after: bytes | None) -> list[str] | None:
    """Returns the products that were changed since `before`, or None if `after` does not tell."""
    changes = _changes(after)
    since = digest_of(before)
    for number, change in enumerate(changes):
        if change["from"] == since:
            return list(dict.fromkeys(product for each in changes[number:] for product in each["products"]))
    return None


def _changes(version: bytes | None) -> list[dict[str, Any]]:
    """Returns the changes in a version, oldest first; none if it is of another form."""
    try:
        changes = json.loads(version or b"")["changes"]
        sound = all(
            isinstance(change["from"], str) and all(isinstance(product, str) for product in change["products"])
            for change in changes
        )
    except (ValueError, KeyError, TypeError, RecursionError):
        return []
    return list(changes) if sound else []
