"""What the registry in Redis knows of a release."""

from __future__ import annotations

from dataclasses import dataclass, field

STAGED, VERIFIED = "staged", "verified"


class ReleaseError(RuntimeError):
    """A release is missing or incomplete, or may not be made live or removed; the message says what to do."""


@dataclass(frozen=True)
class Release:
    """An entry of the registry. `buckets`, `first_chunk` and `chunks` say which keys the release has.

    A delta names its `base`, a whole release. The delta holds the lists that changed, `added` of which the base does
    not have, and the dictionary's chunks from `first_chunk` on. Everything else is read from the base.
    """

    name: str
    as_of: str
    order: int  # rises with each load: the highest is the newest
    state: str = STAGED
    buckets: dict[str, int] = field(default_factory=dict)  # number of hashes by kind
    records: dict[str, int] = field(default_factory=dict)  # number of lists by kind
    chunks: int = 0
    base: str = ""
    first_chunk: int = 0
    added: int = 0
