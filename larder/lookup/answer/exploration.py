"""Exploration: draws the items of some positions, with the exact probability of each draw.

A draw depends on the request id alone, so that a retried request gets the same answer from every worker, and a log can
be replayed: draw k of a request is XXH64 of the salted request id with seed k, divided by 2^64.
"""

from __future__ import annotations

from collections.abc import Sequence, Set
from math import exp
from typing import Final, final

import xxhash

from larder.experiments.assignment import SEPARATOR, SPACE, assignment_number
from larder.lookup.answer.reasons import NOT_NEEDED, NOTHING_NEW
from larder.lookup.answer.routes import FILLED, SKIPPED, USED
from larder.lookup.answer.routing import NO_OUTCOMES, PickedItems, RouteOffer, RouteOutcomes, take
from larder.lookup.answer.scenes import Scene
from larder.lookup.release.record_decoding import Scores
from larder.settings.experiments_section import ExploreSettings

EPSILON: Final = "epsilon"
EXPLORE_LAYER: Final = "explore"
BITS: Final = 53  # of a double's fraction
UNIT: Final = 1.0 / (1 << BITS)
# Scores are stored in 255 steps of the best one of their list, so this many weights are all there are.
STEPS: Final = 255
# An answer has at most this many items: lookup.max_n can't be more.
MAX_POSITIONS: Final = 1000
# Below this sum, weights are taken relative to the best item that is left, since they could underflow to zero.
LEAST_SUM: Final = 1e-200


@final
class Explorer:
    """A policy and its parameters. `label` is what the journey log says of it."""

    def __init__(self, settings: ExploreSettings, salt: str) -> None:
        self.is_epsilon = settings.policy == EPSILON
        self.epsilon = settings.epsilon
        self.temperature = settings.temperature
        explored = frozenset(settings.positions)
        self._explored = [not explored or position in explored for position in range(MAX_POSITIONS)]
        self.candidates = settings.candidates
        self.label = f"{settings.policy}={settings.epsilon if self.is_epsilon else settings.temperature:g}"
        self._salt = salt
        self._everybody = settings.visitors >= 1.0
        self._below = round(settings.visitors * SPACE)
        self._weights = [exp((step / STEPS - 1.0) / settings.temperature) for step in range(STEPS + 1)]

    def explores_for(self, unit: str) -> bool:
        """Is this cookie (or request) among the share of visitors whose answers explore?"""
        return self._everybody or assignment_number(self._salt, EXPLORE_LAYER, unit) < self._below

    def explores_at(self, position: int) -> bool:
        """Is the item of this position drawn?"""
        return self._explored[position]

    def salted(self, request_id: bytes) -> bytes:
        """Returns the text that the draws of a request are made from."""
        return b"%b%b%b" % (self._salt.encode("utf-8", "surrogatepass"), SEPARATOR.encode(), request_id)

    def weights(self, ordinals: list[int], scores: Scores) -> list[float]:
        """Returns the weight of each item, exp(relative score / temperature), up to a common factor.

        Without scores, the relative score of rank r (from 0) is 1 / (r + 1).
        """
        top = 0.0
        if scores is not None:
            for score in scores:
                if score is not None and score > top:
                    top = score
        if scores is None or top <= 0.0:
            return [self._weights[int(STEPS / (rank + 1) + 0.5)] for rank in range(len(ordinals))]
        return [self._weights[int((score or 0.0) / top * STEPS + 0.5)] for score in scores]


@final
class Pool:
    """The items of a route's list, best first; those from place `best` on are left."""

    def __init__(self, picks: PickedItems, explorer: Explorer) -> None:
        self.route = picks.route
        self.ordinals = picks.ordinals[:]
        self.scores = picks.scores[:] if picks.scores is not None else None
        self.weights: list[float] = [] if explorer.is_epsilon else explorer.weights(self.ordinals, self.scores)
        self.best = 0

    def drop(self, ordinal: int) -> None:
        """Removes an item that another route has given."""
        for place in range(self.best, len(self.ordinals)):
            if self.ordinals[place] == ordinal:
                self.remove(place)
                return

    def remove(self, place: int) -> None:
        """Removes the item at a place."""
        if place == self.best:
            self.best = place + 1
            return
        del self.ordinals[place]
        if self.scores is not None:
            del self.scores[place]
        if self.weights:
            del self.weights[place]

    def renew_weights(self, explorer: Explorer) -> None:
        """Takes the weights relative to the best item that is left."""
        left = self.scores[self.best :] if self.scores is not None else None
        self.weights = [0.0] * self.best + explorer.weights(self.ordinals[self.best :], left)


def draw(salted: bytes, number: int) -> float:
    """Returns draw `number` of a request, at least 0 and below 1."""
    return float(xxhash.xxh64_intdigest(salted, number) >> (64 - BITS)) * UNIT


def drawn_place(pool: Pool, explorer: Explorer, chance: float) -> tuple[int, float]:
    """Returns the place of the drawn item and the probability of this place, given what was taken before.

    `epsilon`: with m items left, epsilon / m for each, and 1 - epsilon more for the best. `plackett_luce`: the item's
    share of the weights that are left. Taking one item after the other by these shares is what adding Gumbel noise to
    score / temperature and sorting does (Yellott 1977).
    """
    best, end = pool.best, len(pool.ordinals)
    if explorer.is_epsilon:
        epsilon = explorer.epsilon
        uniform = epsilon / (end - best)
        place = min(best + int(chance / uniform), end - 1) if chance < epsilon else best
        return place, uniform + (1.0 - epsilon if place == best else 0.0)
    total = _sum(pool.weights, best)
    if total < LEAST_SUM:
        pool.renew_weights(explorer)
        total = _sum(pool.weights, best)
    weights, target, passed = pool.weights, chance * total, 0.0
    for place in range(best, end):
        passed += weights[place]
        if target < passed:
            return place, weights[place] / total
    # The sum was rounded: the last item that can be drawn at all.
    place = max(place for place in range(best, end) if weights[place] > 0.0)
    return place, weights[place] / total


def _sum(weights: list[float], begin: int) -> float:
    total = 0.0
    for place in range(begin, len(weights)):
        total += weights[place]
    return total


def compose_explored(
    n: int,
    scene: Scene,
    offers: list[RouteOffer],
    names: list[bytes],
    masked: Set[bytes],
    excluded: set[bytes],
    explorer: Explorer,
    request_id: bytes,
) -> tuple[list[PickedItems], RouteOutcomes]:
    """Returns what `compose` does, with items drawn at the explorer's positions and the probability of each.

    The candidates of a route are the first `explorer.candidates` items of its list that may be shown, or `n` if that is
    more. At other positions, the best item that is left is taken, with probability 1.
    """
    salted = explorer.salted(request_id)
    wanted = max(n, explorer.candidates)
    if scene.blend:
        return _blended_explored(n, wanted, scene, offers, names, masked, excluded, explorer, salted)
    picked: list[PickedItems] = []
    outcomes = NO_OUTCOMES
    position = 0
    for place, offer in enumerate(offers):
        if offer.ranked is None:
            outcomes = outcomes.with_route(offer.route, SKIPPED, offer.reason, "")
        elif position >= n:
            outcomes = outcomes.with_route(offer.route, SKIPPED, NOT_NEEDED, "")
        else:
            found = take(wanted, offer, offer.ranked, names, masked, excluded)
            if isinstance(found, str):
                outcomes = outcomes.with_route(offer.route, SKIPPED, found, "")
                continue
            outcomes = outcomes.with_route(offer.route, FILLED if picked else USED, offer.reason, offer.level)
            most = min(n - position, scene.steps[place].most)
            picks = _drawn(Pool(found, explorer), explorer, salted, position, most)
            picked.append(picks)
            position += len(picks.ordinals)
            if position < n:
                excluded.update([names[ordinal] for ordinal in picks.ordinals])
    return picked, outcomes


def _drawn(pool: Pool, explorer: Explorer, salted: bytes, begin: int, most: int) -> PickedItems:
    """Takes at most `most` items from a pool, for the positions from `begin` on."""
    ordinals: list[int] = []
    scores: list[float | None] = []
    propensities: list[float] = []
    of_pool = pool.scores
    while len(ordinals) < most and pool.best < len(pool.ordinals):
        position = begin + len(ordinals)
        place, propensity = pool.best, 1.0
        if explorer.explores_at(position):
            place, propensity = drawn_place(pool, explorer, draw(salted, position))
        ordinals.append(pool.ordinals[place])
        if of_pool is not None:
            scores.append(of_pool[place])
        propensities.append(propensity)
        pool.remove(place)
    picks = PickedItems(pool.route, ordinals, scores if of_pool is not None else None)
    picks.propensities = propensities
    return picks


def _blended_explored(
    n: int,
    wanted: int,
    scene: Scene,
    offers: list[RouteOffer],
    names: list[bytes],
    masked: Set[bytes],
    excluded: set[bytes],
    explorer: Explorer,
    salted: bytes,
) -> tuple[list[PickedItems], RouteOutcomes]:
    """Takes from the routes in turn; an item of several routes counts for the one that gives it first."""
    pools: list[Pool | None] = []
    reasons: list[str] = []
    for offer in offers:
        found: PickedItems | str = offer.reason
        if offer.ranked is not None:
            found = take(wanted, offer, offer.ranked, names, masked, excluded)
        pools.append(None if isinstance(found, str) else Pool(found, explorer))
        reasons.append(found if isinstance(found, str) else "")
    given = [0] * len(offers)
    picked: list[PickedItems] = []
    turn, position = -1, 0
    while position < n:
        turn = _next_route(turn, scene, pools, given)
        if turn < 0:
            break
        pool = pools[turn]
        assert pool is not None
        picks = _drawn(pool, explorer, salted, position, 1)
        picked.append(picks)
        for other in pools:
            if other is not None and other is not pool:
                other.drop(picks.ordinals[0])
        given[turn] += 1
        position += 1
    outcomes = NO_OUTCOMES
    for place, offer in enumerate(offers):
        if given[place]:
            outcomes = outcomes.with_route(offer.route, USED, offer.reason, offer.level)
        elif pools[place] is None:
            outcomes = outcomes.with_route(offer.route, SKIPPED, reasons[place], "")
        else:
            outcomes = outcomes.with_route(offer.route, SKIPPED, NOT_NEEDED if position >= n else NOTHING_NEW, "")
    return picked, outcomes


def _next_route(turn: int, scene: Scene, pools: Sequence[Pool | None], given: list[int]) -> int:
    """Returns the index of the route whose turn is next after `turn`, or -1 if none has an item left."""
    count = len(pools)
    for step in range(count):
        place = (turn + 1 + step) % count
        pool = pools[place]
        if pool is not None and pool.best < len(pool.ordinals) and given[place] < scene.steps[place].most:
            return place
    return -1
