"""Which products an answer holds: pure functions of ranked lists, without network or clock."""

from __future__ import annotations

from collections.abc import Container, Sequence
from typing import NamedTuple

from lookup.reasons import NOT_NEEDED, NOTHING_NEW
from lookup.records import Ranked

SIMILAR, PERSONAL, GENERIC = ROUTES = ("similar", "personal", "generic")
USED, FILLED, SKIPPED = STATUSES = ("used", "filled", "skipped")


class Offer(NamedTuple):
    """What a route has: a list, or None and the reason. With a list, the reason is what is missing in it."""

    route: str
    ranked: Ranked | None
    reason: str = ""
    level: str = ""


class Outcome(NamedTuple):
    """What became of a route. Empty strings stand for null."""

    route: str
    status: str
    reason: str
    level: str


# A product of the answer: ordinal, score, route. A bare tuple, because there are so many of them.
Pick = tuple[int, float | None, str]
Outcomes = tuple[Outcome, ...]


def round_robin(lists: Sequence[Ranked]) -> Ranked:
    """One list from several: everybody's first, then everybody's second, and so on; no product twice."""
    if len(lists) == 1:
        return lists[0]
    merged: dict[int, float | None] = {}
    for rank in range(max(len(ranked.ordinals) for ranked in lists)):
        for ordinals, scores in lists:
            if rank < len(ordinals):
                merged.setdefault(ordinals[rank], scores[rank] if scores else None)
    return Ranked(list(merged), list(merged.values()))


def compose(
    n: int, offers: Sequence[Offer], names: Sequence[bytes], asked: Container[bytes] = ()
) -> tuple[list[Pick], Outcomes]:
    """At most `n` products from the offers, in their order, each filling what those before it left open.

    Args:
        names: product by ordinal; a product whose name is in `asked` is left out.
    Returns:
        The products, none twice, and an outcome for each offer.
    """
    picks: list[Pick] = []
    outcomes: list[Outcome] = []
    seen: set[int] = set()
    for offer in offers:
        before = len(picks)
        if offer.ranked is not None and before < n:
            _take(n, offer.route, offer.ranked, picks, seen, names, asked)
        outcomes.append(_outcome(offer, before, len(picks), n))
    return picks, tuple(outcomes)


def _take(
    n: int,
    route: str,
    ranked: Ranked,
    picks: list[Pick],
    seen: set[int],
    names: Sequence[bytes],
    asked: Container[bytes],
) -> None:
    ordinals, scores = ranked
    for rank, ordinal in enumerate(ordinals):
        if ordinal in seen or (asked and names[ordinal] in asked):
            continue
        seen.add(ordinal)
        picks.append((ordinal, scores[rank] if scores else None, route))
        if len(picks) >= n:
            return


def _outcome(offer: Offer, before: int, after: int, n: int) -> Outcome:
    if offer.ranked is None:
        return Outcome(offer.route, SKIPPED, offer.reason, "")
    if before >= n:
        return Outcome(offer.route, SKIPPED, NOT_NEEDED, "")
    if after == before:
        return Outcome(offer.route, SKIPPED, offer.reason or NOTHING_NEW, "")
    return Outcome(offer.route, FILLED if before else USED, offer.reason, offer.level)
