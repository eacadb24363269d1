"""From a question to its answer: what is asked of Redis, and what each route makes of the replies."""

from __future__ import annotations

import asyncio
from collections.abc import Mapping, Sequence
from time import monotonic
from typing import Any, NamedTuple

from loaders.codec import CorruptRecordError
from loaders.keys import CONTEXTS, COOKIES, PRODUCTS, Keys, key64
from lookup.breakers import Breaker
from lookup.link import RedisLink
from lookup.masks import Masks, seen_command
from lookup.metrics import Metrics
from lookup.questions import Question
from lookup.reasons import (
    BREAKER_OPEN,
    CORRUPT_RECORD,
    NO_COOKIE,
    NO_PRODUCT,
    REDIS_ERROR,
    REDIS_TIMEOUT,
    SNAPSHOT,
    UNKNOWN_COOKIE,
    UNKNOWN_PRODUCT,
)
from lookup.records import Packed, Ranked
from lookup.release import Release
from lookup.rendering import encode_text
from lookup.routing import GENERIC, PERSONAL, ROUTES, SIMILAR, Offer, Outcomes, Picks, compose, round_robin
from lookup.scenes import Step
from lookup.wire import Replies
from settings.sections import Lookup

# Of several things that went wrong with a basket, the first of these is told.
GRAVITY = (REDIS_ERROR, CORRUPT_RECORD, UNKNOWN_PRODUCT)
NO_SIMILAR = Offer(SIMILAR, None, NO_PRODUCT)
NO_PERSONAL = Offer(PERSONAL, None, NO_COOKIE)

NOTHING = ""

Sent = asyncio.Future[Replies] | Replies


class Asked(NamedTuple):
    """A question on its way. It keeps the release it began with, whatever goes live meanwhile.

    `of_cookie` brings what the visitor is not shown, then the visitor's list, each where it is asked for.
    """

    question: Question
    release: Release
    of_cookie: Sent
    of_products: Sent
    of_place: Sent
    generic_keys: list[int]


class Answer(NamedTuple):
    """What a visitor gets."""

    taken: list[Picks]
    outcomes: Outcomes
    seen: int  # products that the visitor is not shown


class Answering:
    """Answers the questions of one worker."""

    def __init__(self, link: RedisLink, keys: Keys, masks: Masks, metrics: Metrics, settings: Lookup) -> None:
        self._link = link
        self._masks = masks
        self._metrics = metrics
        self._seen = seen_command(keys) if settings.seen else b""
        self.breakers = {route: Breaker(settings.breaker_failures, settings.breaker_seconds) for route in ROUTES}

    def ask(self, question: Question, release: Release) -> Asked:
        """Sends all that any route may need at once: a second trip costs more than a record that goes unused."""
        of_cookie: Sent = NOTHING
        of_products: Sent = NOTHING
        of_place: Sent = NOTHING
        generic_keys: list[int] = []
        steps = question.scene.by_route
        if question.cookie:
            key = key64(question.cookie)
            # It concerns every route, so it is read even where the scene has no personal one.
            commands = [self._seen % key] if self._seen else []
            if PERSONAL in steps:
                commands.append(release.ask(COOKIES, key))
            of_cookie = self._send(PERSONAL, steps, commands, release)
        if question.products and SIMILAR in steps:
            commands = [release.ask(PRODUCTS, key64(product)) for product in question.products]
            of_products = self._send(SIMILAR, steps, commands, release)
        if GENERIC in steps:
            generic_keys = release.generic.missing(question.location, question.device)
            if generic_keys:
                commands = [release.ask(CONTEXTS, key) for key in generic_keys]
                of_place = self._send(GENERIC, steps, commands, release)
        return Asked(question, release, of_cookie, of_products, of_place, generic_keys)

    def _send(self, route: str, steps: Mapping[str, Step], commands: list[bytes], release: Release) -> Sent:
        if release.is_snapshot:
            return SNAPSHOT
        if not commands:
            return NOTHING
        if not self.breakers[route].allows(monotonic()):
            return BREAKER_OPEN
        return self._link.send(b"".join(commands), len(commands), steps[route].seconds if route in steps else None)

    async def answer(self, asked: Asked) -> Answer:
        """The answer, at the latest when the deadline is over. Raises nothing."""
        question, release, of_cookie, of_products, of_place, generic_keys = asked
        if isinstance(of_cookie, asyncio.Future):
            of_cookie = self._noted(PERSONAL, await of_cookie)
        if isinstance(of_products, asyncio.Future):
            of_products = self._noted(SIMILAR, await of_products)
        if isinstance(of_place, asyncio.Future):
            of_place = self._noted(GENERIC, await of_place)
        spent = {encode_text(product) for product in (*question.products, *question.exclude)}
        asked_for = len(spent)
        if self._seen and of_cookie is not NOTHING:
            of_cookie = self._without_seen(of_cookie, spent)
        seen = len(spent) - asked_for
        offers = []
        for step in question.scene.steps:
            if step.route == PERSONAL:
                offers.append(personal(of_cookie, release) if question.cookie else NO_PERSONAL)
            elif step.route == SIMILAR:
                offers.append(similar(of_products, release, question) if question.products else NO_SIMILAR)
            else:
                offers.append(generic(of_place, release, question, generic_keys))
        taken, outcomes = compose(question.n, question.scene, offers, release.names, self._masks.names, spent)
        self._metrics.answered(outcomes)
        return Answer(taken, outcomes, seen)

    def _noted(self, route: str, replies: Replies) -> Replies:
        """Tells the route's breaker what came of its question."""
        if isinstance(replies, str):
            if replies == REDIS_TIMEOUT:
                self.breakers[route].failed(monotonic())
        elif isinstance(replies[-1], Exception):
            self.breakers[route].failed(monotonic())
        else:
            self.breakers[route].succeeded()
        return replies

    def _without_seen(self, replies: Replies, spent: set[bytes]) -> Replies:
        """Adds to `spent` what the visitor is not shown; returns the replies that are left."""
        found = replies if isinstance(replies, str) else replies[0]
        if not isinstance(found, list):
            self._metrics.unseen()
        elif found:
            spent.update(encode_text(product.decode("utf-8", "replace")) for product in found)
        return replies if isinstance(replies, str) else replies[1:]


def similar(replies: Replies, release: Release, question: Question) -> Offer:
    """The lists of the products that are looked at, merged, or why there are none."""
    if isinstance(replies, str):
        return Offer(SIMILAR, None, replies)
    if len(replies) == 1:
        return _single(SIMILAR, replies[0], UNKNOWN_PRODUCT, release)
    limit = 2 * question.n + len(replies)
    found = [_decoded(reply, UNKNOWN_PRODUCT, release, limit) for reply in replies]
    problems = {each for each in found if isinstance(each, str)}
    lists = [each for each in found if isinstance(each, Ranked)]
    told = next((reason for reason in GRAVITY if reason in problems), "")
    return Offer(SIMILAR, round_robin(lists) if lists else None, told)


def personal(replies: Replies, release: Release) -> Offer:
    """The list of the cookie, or why there is none."""
    if isinstance(replies, str):
        return Offer(PERSONAL, None, replies)
    return _single(PERSONAL, replies[0], UNKNOWN_COOKIE, release)


def generic(replies: Replies, release: Release, question: Question, keys: Sequence[int]) -> Offer:
    """The list of the place, from what is in process and what was just read."""
    problem = ""
    # Where nothing was asked for, the lists in process are all there is, and no trouble with Redis matters.
    if keys:
        problem = replies if isinstance(replies, str) else _learn(release, keys, replies)
    return release.generic.offer(question.location, question.device, problem)


def _single(route: str, reply: Any, unknown: str, release: Release) -> Offer:
    if reply is None:
        return Offer(route, None, unknown)
    if not isinstance(reply, bytes):
        return Offer(route, None, REDIS_ERROR)
    return Offer(route, Packed(reply, len(release.names)))


def _decoded(reply: Any, unknown: str, release: Release, limit: int) -> Ranked | str:
    """The head of the list in a reply, or the reason why there is none."""
    offer = _single(SIMILAR, reply, unknown, release)
    try:
        return offer.ranked.head(limit) if offer.ranked else offer.reason
    except CorruptRecordError:
        return CORRUPT_RECORD


def _learn(release: Release, keys: Sequence[int], replies: Sequence[Any]) -> str:
    """Keeps the generic lists that were read; returns what was wrong with one of them, or ""."""
    problem = ""
    for key, reply in zip(keys, replies, strict=False):
        if reply is None or isinstance(reply, bytes):
            release.generic.learn(key, reply)
        else:
            problem = REDIS_ERROR
    return problem
