"""From a question to its answer: what is asked of Redis, and what each route makes of the replies."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from time import monotonic
from typing import Any, Final, final

from librt.strings import BytesWriter

from larder.loaders.codec import MAX_ITEMS, CorruptRecordError
from larder.loaders.keys import Keys, key64
from larder.lookup.answer.reasons import (
    BREAKER_OPEN,
    CORRUPT_RECORD,
    NO_COOKIE,
    NO_PRODUCT,
    REDIS_DOWN,
    REDIS_ERROR,
    REDIS_TIMEOUT,
    SNAPSHOT,
    UNKNOWN_COOKIE,
    UNKNOWN_PRODUCT,
)
from larder.lookup.answer.rendering import encode_text
from larder.lookup.answer.routing import (
    CATEGORY,
    GENERIC,
    PERSONAL,
    ROUTES,
    SIMILAR,
    Offer,
    Outcomes,
    Picks,
    compose,
    round_robin,
)
from larder.lookup.answer.scenes import Step
from larder.lookup.http.query import Question
from larder.lookup.operations.metrics import Metrics
from larder.lookup.redis.circuit_breaker import Breaker
from larder.lookup.redis.link import Link
from larder.lookup.redis.redis_commands import Seen
from larder.lookup.redis.redis_connection import Pending, Replies, Sent
from larder.lookup.release.mask_cache import Masks
from larder.lookup.release.record_cache import UNREAD, ByCategory, Known, Unread
from larder.lookup.release.record_decoding import Packed, Ranked
from larder.lookup.release.served_release import Release
from larder.settings.lookup_section import Lookup

# Of several things that went wrong with a basket, the first of these is told.
GRAVITY: Final = (REDIS_DOWN, REDIS_TIMEOUT, BREAKER_OPEN, SNAPSHOT, REDIS_ERROR, CORRUPT_RECORD, UNKNOWN_PRODUCT)
NO_SIMILAR: Final = Offer(SIMILAR, None, NO_PRODUCT)
NO_PERSONAL: Final = Offer(PERSONAL, None, NO_COOKIE)

NOTHING: Final = ""


@final
class Asked:
    """A question on its way. It keeps the release it began with, whatever goes live meanwhile.

    `of_cookie` brings what the visitor is not shown, then the visitor's list, each where it is asked for. `similar` are
    the products' records as far as they are in process; `of_products` brings the others, in their order.
    """

    def __init__(
        self,
        question: Question,
        release: Release,
        of_cookie: Sent,
        similar: list[Known | Unread],
        of_products: Sent,
        of_place: Sent,
        generic_keys: list[int],
    ) -> None:
        self.question = question
        self.release = release
        self.of_cookie = of_cookie
        self.similar = similar
        self.of_products = of_products
        self.of_place = of_place
        self.generic_keys = generic_keys

    def on_their_way(self) -> list[Pending]:
        """What has to be waited for before it can be answered; each ends by its deadline."""
        every = (self.of_cookie, self.of_products, self.of_place)
        return [sent for sent in every if isinstance(sent, Pending) and sent.result is None]


@final
class Answer:
    """What a visitor gets. `seen`: how many products the visitor is not shown."""

    def __init__(self, taken: list[Picks], outcomes: Outcomes, seen: int) -> None:
        self.taken = taken
        self.outcomes = outcomes
        self.seen = seen


class Answering:
    """Answers the questions of one worker."""

    def __init__(self, link: Link, keys: Keys, masks: Masks, metrics: Metrics, settings: Lookup) -> None:
        self._link = link
        self._masks = masks
        self._metrics = metrics
        self._times = metrics.route_times
        self._seen = Seen(keys) if settings.seen else None
        self.breakers = {route: Breaker(settings.breaker_failures, settings.breaker_seconds) for route in ROUTES}

    def ask(self, question: Question, release: Release) -> Asked:
        """Sends all that any route may need at once: a second trip costs more than a record that goes unused."""
        of_cookie: Sent = NOTHING
        of_products: Sent = NOTHING
        of_place: Sent = NOTHING
        generic_keys: list[int] = []
        similar: list[Known | Unread] = []
        steps = question.scene.by_route
        if question.cookie:
            key, out, count = key64(question.cookie), BytesWriter(), 0
            # It concerns every route, so it is read even where the scene has no personal one.
            if self._seen is not None:
                self._seen.write(out, key)
                count = 1
            if PERSONAL in steps:
                release.write_cookie(out, key)
                count += release.cookie_reads
            of_cookie = self._send(PERSONAL, steps, out.getvalue(), count, release)
        if question.products and SIMILAR in steps:
            out, count = BytesWriter(), 0
            for product in question.products:
                record = release.products.get(product)
                similar.append(record)
                if record is UNREAD:
                    release.write_product(out, key64(product))
                    count += len(release.product_kinds)
            of_products = self._send(SIMILAR, steps, out.getvalue(), count, release)
        if GENERIC in steps:
            generic_keys = release.generic.missing(question.location, question.device)
            if generic_keys:
                out = BytesWriter()
                for key in generic_keys:
                    release.write_context(out, key)
                of_place = self._send(GENERIC, steps, out.getvalue(), len(generic_keys), release)
        return Asked(question, release, of_cookie, similar, of_products, of_place, generic_keys)

    def _send(self, route: str, steps: Mapping[str, Step], commands: bytes, count: int, release: Release) -> Sent:
        if release.is_snapshot:
            return SNAPSHOT
        if not count:
            return NOTHING
        breaker = self.breakers[route]
        if breaker.open and not breaker.allows(monotonic()):
            return BREAKER_OPEN
        step = steps.get(route)
        return self._link.send(commands, count, step.seconds if step is not None else None, self._times[route])

    def answer(self, asked: Asked) -> Answer:
        """The answer to a question whose replies are there. Raises nothing."""
        question, release = asked.question, asked.release
        of_cookie = self._noted(PERSONAL, asked.of_cookie)
        of_products = self._noted(SIMILAR, asked.of_products)
        of_place = self._noted(GENERIC, asked.of_place)
        spent: set[bytes] = set()
        if question.products or question.exclude:
            spent.update(encode_text(product) for product in (*question.products, *question.exclude))
        asked_for = len(spent)
        if self._seen and of_cookie is not NOTHING:
            of_cookie = self._without_seen(of_cookie, spent)
        seen = len(spent) - asked_for
        offers: list[Offer] = []
        for step in question.scene.steps:
            if step.route == PERSONAL:
                offers.append(personal_offer(of_cookie, release) if question.cookie else NO_PERSONAL)
            elif step.route == SIMILAR:
                offers.append(similar_offer(asked, of_products) if asked.similar else NO_SIMILAR)
            else:
                offers.append(generic_offer(of_place, release, question, asked.generic_keys))
        taken, outcomes = compose(question.n, question.scene, offers, release.names, self._masks.names, spent)
        self._metrics.answered(outcomes)
        return Answer(taken, outcomes, seen)

    def _noted(self, route: str, sent: Sent) -> Replies:
        """The replies, of which the route's breaker is told."""
        if not isinstance(sent, Pending):
            return sent
        replies = sent.result
        assert replies is not None
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


def similar_offer(asked: Asked, replies: Replies) -> Offer:
    """The lists of the products that are looked at, merged, or why there are none. Keeps those that were read."""
    question, release = asked.question, asked.release
    records: list[Any] = []
    read = iter(_of_products(replies, release) if not isinstance(replies, str) else ())
    for product, record in zip(question.products, asked.similar, strict=True):
        if isinstance(record, Unread):
            reply = replies if isinstance(replies, str) else next(read)
            # One that is broken is read again, in case it was mended.
            if reply is None or (isinstance(reply, (bytes, ByCategory)) and _is_whole(reply, release)):
                release.products.learn(product, reply)
            records.append(reply)
        else:
            records.append(record)
    if len(records) == 1:
        return _single(SIMILAR, records[0], UNKNOWN_PRODUCT, release)
    limit = 2 * question.n + len(records)
    found = [_decoded(record, UNKNOWN_PRODUCT, release, limit) for record in records]
    problems = {each for each in found if isinstance(each, str)}
    lists = [each for each in found if isinstance(each, Ranked)]
    told = next((reason for reason in GRAVITY if reason in problems), "")
    level = CATEGORY if lists and any(isinstance(record, ByCategory) for record in records) else ""
    return Offer(SIMILAR, round_robin(lists) if lists else None, told, level)


def _of_products(replies: Sequence[Any], release: Release) -> Sequence[Any]:
    """One reply a product: its record, else that of its category."""
    if len(release.product_kinds) == 1:
        return replies
    found = []
    for by_picture, by_category in zip(replies[::2], replies[1::2], strict=True):
        next_best = ByCategory(by_category) if isinstance(by_category, bytes) else by_category
        found.append(next_best if by_picture is None else by_picture)
    return found


def personal_offer(replies: Replies, release: Release) -> Offer:
    """The list of the cookie, or why there is none."""
    if isinstance(replies, str):
        return Offer(PERSONAL, None, replies)
    # Of a delta and what lies beneath it, the delta's list is the later one.
    for reply in replies:
        if reply is not None:
            return _single(PERSONAL, reply, UNKNOWN_COOKIE, release)
    return _single(PERSONAL, None, UNKNOWN_COOKIE, release)


def generic_offer(replies: Replies, release: Release, question: Question, keys: Sequence[int]) -> Offer:
    """The list of the place, from what is in process and what was just read."""
    problem = ""
    # Where nothing was asked for, the lists in process are all there is, and no trouble with Redis matters.
    if keys:
        problem = replies if isinstance(replies, str) else _learn(release, keys, replies)
    return release.generic.offer(question.location, question.device, problem)


def _single(route: str, reply: Any, unknown: str, release: Release) -> Offer:
    """What a reply offers; a string is the reason why there is none."""
    if reply is None or isinstance(reply, str):
        return Offer(route, None, reply or unknown)
    if isinstance(reply, ByCategory):
        return Offer(route, Packed(reply.record, len(release.names)), "", CATEGORY)
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


def _is_whole(record: bytes | ByCategory, release: Release) -> bool:
    return isinstance(_decoded(record, UNKNOWN_PRODUCT, release, MAX_ITEMS), Ranked)


def _learn(release: Release, keys: Sequence[int], replies: Sequence[Any]) -> str:
    """Keeps the generic lists that were read; returns what was wrong with one of them, or ""."""
    problem = ""
    for key, reply in zip(keys, replies, strict=False):
        if reply is None or isinstance(reply, bytes):
            release.generic.learn(key, reply)
        else:
            problem = REDIS_ERROR
    return problem
