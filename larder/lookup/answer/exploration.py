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
from larder.settings.experiments_section import ExploreSettings

EPSILON: Final = "epsilon"
EXPLORE_LAYER: Final = "explore"
BITS: Final = 53  # of a double's fraction
UNIT: Final = 1.0 / (1 << BITS)
# Scores are stored in 255 steps of the best one of their list, so this many weights are all there are.
STEPS: Final = 255
# Below this sum, weights are taken relative to the best item that is left, since they could underflow to zero.
LEAST_SUM: Final = 1e-200


@final
class Explorer:
    """A policy and its parameters. `label` is what the journey log says of it."""

    def __init__(self, settings: ExploreSettings, salt: str) -> None:
        self.is_epsilon = settings.policy == EPSILON
        self.epsilon = settings.epsilon
        self.temperature = settings.temperature
        self.positions = frozenset(settings.positions)
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
        return not self.positions or position in self.positions

    def salted(self, request_id: bytes) -> bytes:
        """Returns the text that the draws of a request are made from."""
        return b"%b%b%b" % (self._salt.encode("utf-8", "surrogatepass"), SEPARATOR.encode(), request_id)

    def weights(self, picks: PickedItems) -> list[float]:
        """Returns the weight of each item, exp(relative score / temperature), up to a common factor.

        Without scores, that of rank r (from 0) is 1 / (r + 1).
        """
        scores = picks.scores
        top = 0.0
        if scores is not None:
            for score in scores:
                if score is not None and score > top:
                    top = score
        if scores is None or top <= 0.0:
            return [self._weights[int(STEPS / (rank + 1) + 0.5)] for rank in range(len(picks.ordinals))]
        return [self._weights[int((score or 0.0) / top * STEPS + 0.5)] for score in scores]


@final
class Pool:
    """The items of a route's list that are left, best first."""

    def __init__(self, picks: PickedItems, explorer: Explorer) -> None:
        self.route = picks.route
        self.ordinals = picks.ordinals[:]
        self.scores = picks.scores[:] if picks.scores is not None else None
        self.weights: list[float] = [] if explorer.is_epsilon else explorer.weights(picks)

    def drop(self, ordinal: int) -> None:
        """Removes an item that another route has given."""
        for place in range(len(self.ordinals)):
            if self.ordinals[place] == ordinal:
                self.remove(place)
                return

    def remove(self, place: int) -> None:
        """Removes the item at a place."""
        del self.ordinals[place]
        if self.scores is not None:
            del self.scores[place]
        if self.weights:
            del self.weights[place]


def draw(salted: bytes, number: int) -> float:
    """Returns draw `number` of a request, at least 0 and below 1."""
    return float(xxhash.xxh64_intdigest(salted, number) >> (64 - BITS)) * UNIT


def drawn_place(pool: Pool, explorer: Explorer, chance: float) -> tuple[int, float]:
    """Returns the place of the drawn item and the probability of this place, given what was taken before.

    `epsilon`: with m items left, epsilon / m for each, and 1 - epsilon more for the best. `plackett_luce`: the item's
    share of the weights that are left. Taking one item after the other by these shares is what adding Gumbel noise to
    score / temperature and sorting does (Yellott 1977).
    """
    left = len(pool.ordinals)
    if explorer.is_epsilon:
        epsilon = explorer.epsilon
        uniform = epsilon / left
        place = min(int(chance / uniform), left - 1) if chance < epsilon else 0
        return place, uniform + (1.0 - epsilon if place == 0 else 0.0)
    weights = pool.weights
    total = 0.0
    for weight in weights:
        total += weight
    if total < LEAST_SUM:
        _renew_weights(pool, explorer)
        weights, total = pool.weights, sum(pool.weights)
    target = chance * total
    passed = 0.0
    for place in range(left):
        passed += weights[place]
        if target < passed:
            return place, weights[place] / total
    # The sum was rounded: the last item that can be drawn at all.
    place = max(place for place in range(left) if weights[place] > 0.0)
    return place, weights[place] / total


def _renew_weights(pool: Pool, explorer: Explorer) -> None:
    """Takes the weights relative to the best item that is left."""
    scores = pool.scores
    pool.weights = explorer.weights(PickedItems(pool.route, pool.ordinals, scores))


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
    pools: list[Pool | None] = []
    reasons: list[str] = []
    for offer in offers:
        found: PickedItems | str = offer.reason
        if offer.ranked is not None:
            found = take(max(n, explorer.candidates), offer, offer.ranked, names, masked, excluded)
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
        place, propensity = 0, 1.0
        if explorer.explores_at(position):
            place, propensity = drawn_place(pool, explorer, draw(salted, position))
        ordinal = pool.ordinals[place]
        _add(picked, pool.route, ordinal, pool.scores[place] if pool.scores is not None else None, propensity)
        pool.remove(place)
        for other in pools:
            if other is not None and other is not pool:
                other.drop(ordinal)
        given[turn] += 1
        position += 1
    return picked, _outcomes(scene, offers, reasons, given, position >= n)


def _next_route(turn: int, scene: Scene, pools: Sequence[Pool | None], given: list[int]) -> int:
    """Returns the index of the route that gives the next item, or -1 if none has one.

    With `blend` it is the next in turn after `turn`, otherwise the first of all.
    """
    count = len(pools)
    begin = turn + 1 if scene.blend else 0
    for step in range(count):
        place = (begin + step) % count
        pool = pools[place]
        if pool is not None and pool.ordinals and given[place] < scene.steps[place].most:
            return place
    return -1


def _add(picked: list[PickedItems], route: str, ordinal: int, score: float | None, propensity: float) -> None:
    """Appends an item, to the last run if that is of the same route."""
    if not picked or picked[-1].route != route:
        picked.append(PickedItems(route, [], []))
        picked[-1].propensities = []
    run = picked[-1]
    run.ordinals.append(ordinal)
    if run.scores is not None:
        run.scores.append(score)
    if run.propensities is not None:
        run.propensities.append(propensity)


def _outcomes(
    scene: Scene, offers: Sequence[RouteOffer], reasons: Sequence[str], given: Sequence[int], is_full: bool
) -> RouteOutcomes:
    outcomes = NO_OUTCOMES
    last = max([place for place in range(len(given)) if given[place]], default=-1)
    for place, offer in enumerate(offers):
        if given[place]:
            is_first = not any(given[:place])
            status = USED if is_first or scene.blend else FILLED
            outcomes = outcomes.with_route(offer.route, status, offer.reason, offer.level)
        elif offer.ranked is None:
            outcomes = outcomes.with_route(offer.route, SKIPPED, offer.reason, "")
        elif is_full and not scene.blend and place > last:
            outcomes = outcomes.with_route(offer.route, SKIPPED, NOT_NEEDED, "")
        elif reasons[place]:
            outcomes = outcomes.with_route(offer.route, SKIPPED, reasons[place], "")
        else:
            outcomes = outcomes.with_route(offer.route, SKIPPED, NOT_NEEDED if is_full else NOTHING_NEW, "")
    return outcomes
