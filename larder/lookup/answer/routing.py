"""Chooses the products of an answer from the routes' ranked lists. Pure functions, without network or clock."""

from __future__ import annotations

from collections.abc import Sequence, Set
from typing import Final, NamedTuple, final

from mypy_extensions import i64

from larder.loaders.codec import MAX_ITEMS, CorruptRecordError
from larder.lookup.answer.reasons import CORRUPT_RECORD, NOT_NEEDED, NOTHING_NEW
from larder.lookup.answer.routes import FILLED, SKIPPED, USED
from larder.lookup.answer.scenes import Scene
from larder.lookup.release.record_decoding import PackedList, RankedList, Scores

# An odd number of 32 bits near 2^32 / the golden ratio: products of it differ in their upper bits (Knuth, TAOCP 6.4).
HASH_MULTIPLIER: Final = 0x9E3779B1


@final
class RouteOffer:
    """The list that a route offers, or None and the reason. With a list, the reason says what is missing in it."""

    def __init__(self, route: str, ranked: RankedList | PackedList | None, reason: str = "", level: str = "") -> None:
        self.route = route
        self.ranked = ranked
        self.reason = reason
        self.level = level


class RouteOutcome(NamedTuple):
    """What became of one route in an answer. Empty strings stand for null."""

    route: str
    status: str
    reason: str
    level: str


@final
class RouteOutcomes:
    """What became of the routes of an answer, in their order. Equal outcomes are always the same object.

    Few combinations occur, so each is made once and then found again through `with_route`, beginning at NO_OUTCOMES.
    Objects can so be counted and rendered by identity. No text of a caller may become part of one, or they would grow
    without bound.
    """

    def __init__(self, each: tuple[RouteOutcome, ...]) -> None:
        self.each = each
        self._after: dict[tuple[str, str, str, str], RouteOutcomes] = {}

    def with_route(self, route: str, status: str, reason: str, level: str) -> RouteOutcomes:
        """Returns these outcomes followed by that of one more route."""
        key = (route, status, reason, level)
        found = self._after.get(key)
        if found is None:
            found = self._after[key] = RouteOutcomes((*self.each, RouteOutcome(*key)))
        return found


NO_OUTCOMES: Final = RouteOutcomes(())


@final
class PickedItems:
    """The products that a route gave, by ordinal, and their scores; `scores` is None if the release has none.

    `propensities` has the probability with which each product was drawn for its position, given those above it; None
    if nothing was drawn.
    """

    def __init__(self, route: str, ordinals: list[int], scores: Scores) -> None:
        self.route = route
        self.ordinals = ordinals
        self.scores = scores
        self.propensities: list[float] | None = None


def round_robin(lists: Sequence[RankedList]) -> RankedList:
    """Merges several lists in turn: the first items of all, then the second items; no product twice."""
    if len(lists) == 1:
        return lists[0]
    merged: dict[int, float | None] = {}
    for rank in range(max(len(ranked.ordinals) for ranked in lists)):
        for ranked in lists:
            if rank < len(ranked.ordinals):
                merged.setdefault(ranked.ordinals[rank], ranked.scores[rank] if ranked.scores else None)
    return RankedList(list(merged), list(merged.values()))


def compose(
    n: int, scene: Scene, offers: list[RouteOffer], names: list[bytes], masked: Set[bytes], excluded: set[bytes]
) -> tuple[list[PickedItems], RouteOutcomes]:
    """Returns at most `n` products from the offers. `offers` has one offer for each step of the scene, in its order.

    Args:
        names: product by ordinal.
        masked: products that no visitor gets.
        excluded: products that this answer must not hold. Changed: picked products may be added.
    Returns:
        The picked products, none twice, and an outcome for each offer.
    """
    if scene.blend:
        return _blended(n, scene, offers, names, masked, excluded)
    picked: list[PickedItems] = []
    outcomes = NO_OUTCOMES
    left = n
    for place, offer in enumerate(offers):
        if offer.ranked is None:
            outcomes = outcomes.with_route(offer.route, SKIPPED, offer.reason, "")
        elif not left:
            outcomes = outcomes.with_route(offer.route, SKIPPED, NOT_NEEDED, "")
        else:
            most = min(left, scene.steps[place].most)
            picks = take(most, offer, offer.ranked, names, masked, excluded)
            if isinstance(picks, str):
                outcomes = outcomes.with_route(offer.route, SKIPPED, picks, "")
                continue
            outcomes = outcomes.with_route(offer.route, FILLED if picked else USED, offer.reason, offer.level)
            picked.append(picks)
            left -= len(picks.ordinals)
            if left:
                excluded.update([names[ordinal] for ordinal in picks.ordinals])
    return picked, outcomes


def take(
    wanted: int,
    offer: RouteOffer,
    ranked: RankedList | PackedList,
    names: list[bytes],
    masked: Set[bytes],
    excluded: Set[bytes],
) -> PickedItems | str:
    """Returns the first `wanted` products of a list that may be shown, or the reason why there are none."""
    try:
        head = ranked.head(wanted)
        ordinals, scores = head.ordinals, head.scores
        if len(ordinals) > wanted:
            ordinals, scores = ordinals[:wanted], scores and scores[:wanted]
        # Usually all of the first products may be shown, and the rest of the list need not be decoded.
        if has_twice(ordinals) or ((excluded or masked) and _has_any(ordinals, names, masked, excluded)):
            picks = _allowed(wanted, offer.route, ranked.head(MAX_ITEMS), names, masked, set(excluded))
        else:
            picks = PickedItems(offer.route, ordinals, scores)
    except CorruptRecordError:
        return CORRUPT_RECORD
    return picks if picks.ordinals else offer.reason or NOTHING_NEW


def has_twice(ordinals: list[int]) -> bool:
    """Is a product in the list more than once? Two 64-bit Bloom filters usually answer without making a set."""
    first, second = i64(0), i64(0)
    for ordinal in ordinals:
        number = i64(ordinal)
        one, other = i64(1) << (number & 63), i64(1) << ((number * HASH_MULTIPLIER >> 26) & 63)
        if first & one and second & other:
            return len(set(ordinals)) < len(ordinals)
        first |= one
        second |= other
    return False


def _has_any(ordinals: list[int], names: list[bytes], masked: Set[bytes], excluded: Set[bytes]) -> bool:
    for ordinal in ordinals:
        product = names[ordinal]
        if product in excluded or product in masked:
            return True
    return False


def _allowed(
    wanted: int, route: str, ranked: RankedList, names: list[bytes], masked: Set[bytes], excluded: set[bytes]
) -> PickedItems:
    scores = ranked.scores
    picks = PickedItems(route, [], None if scores is None else [])
    for rank, ordinal in enumerate(ranked.ordinals):
        product = names[ordinal]
        if product in excluded or product in masked:
            continue
        excluded.add(product)
        picks.ordinals.append(ordinal)
        if scores is not None and picks.scores is not None:
            picks.scores.append(scores[rank])
        if len(picks.ordinals) == wanted:
            break
    return picks


def _blended(
    n: int, scene: Scene, offers: list[RouteOffer], names: list[bytes], masked: Set[bytes], excluded: set[bytes]
) -> tuple[list[PickedItems], RouteOutcomes]:
    """Takes from the routes in turn; a product of several routes counts for the first of them."""
    found: list[PickedItems | str] = []
    for offer in offers:
        ranked = offer.ranked
        found.append(offer.reason if ranked is None else take(MAX_ITEMS, offer, ranked, names, masked, excluded))
    given = [0] * len(offers)
    picked: list[PickedItems] = []
    longest = max((len(picks.ordinals) for picks in found if not isinstance(picks, str)), default=0)
    for rank in range(longest):
        for place, (step, picks) in enumerate(zip(scene.steps, found, strict=True)):
            if isinstance(picks, str) or rank >= len(picks.ordinals) or given[place] >= step.most or len(picked) >= n:
                continue
            product = names[picks.ordinals[rank]]
            if product not in excluded:
                excluded.add(product)
                given[place] += 1
                one = slice(rank, rank + 1)
                picked.append(PickedItems(picks.route, picks.ordinals[one], picks.scores and picks.scores[one]))
    outcomes = NO_OUTCOMES
    for place, offer in enumerate(offers):
        picks = found[place]
        if isinstance(picks, str):
            outcomes = outcomes.with_route(offer.route, SKIPPED, picks, "")
        elif given[place]:
            outcomes = outcomes.with_route(offer.route, USED, offer.reason, offer.level)
        else:
            outcomes = outcomes.with_route(offer.route, SKIPPED, NOT_NEEDED if len(picked) >= n else NOTHING_NEW, "")
    return picked, outcomes
