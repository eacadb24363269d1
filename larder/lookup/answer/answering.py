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
from larder.lookup.answer.routes import CATEGORY, GENERIC, PERSONAL, ROUTES, SIMILAR
from larder.lookup.answer.routing import PickedItems, RouteOffer, RouteOutcomes, compose, round_robin
from larder.lookup.answer.scenes import Step
from larder.lookup.http.query import RecommendationQuery
from larder.lookup.json_text import encode_text
from larder.lookup.operations.metrics import Metrics
from larder.lookup.redis.circuit_breaker import CircuitBreaker
from larder.lookup.redis.link import Link
from larder.lookup.redis.redis_commands import SeenCommands
from larder.lookup.redis.redis_connection import PendingReplies, Replies, Sent
from larder.lookup.release.mask_cache import MaskCache
from larder.lookup.release.record_cache import UNREAD, CategoryRecord, Known, UnreadRecord
from larder.lookup.release.record_decoding import PackedList, RankedList
from larder.lookup.release.served_release import ServedRelease
from larder.settings import LookupSettings

# Of several things that went wrong with a basket, the first of these is told.
REASONS_BY_SEVERITY: Final = (
    REDIS_DOWN,
    REDIS_TIMEOUT,
    BREAKER_OPEN,
    SNAPSHOT,
    REDIS_ERROR,
    CORRUPT_RECORD,
    UNKNOWN_PRODUCT,
)
NO_SIMILAR: Final = RouteOffer(SIMILAR, None, NO_PRODUCT)
NO_PERSONAL: Final = RouteOffer(PERSONAL, None, NO_COOKIE)

NOT_ASKED: Final = ""


@final
class PendingAnswer:
    """A question on its way. It keeps the release it began with, whatever goes live meanwhile.

    `of_cookie` brings what the visitor is not shown, then the visitor's list, each where it is asked for. `similar` are
    the products' records as far as they are in process; `of_products` brings the others, in their order.
    """

    def __init__(
        self,
        question: RecommendationQuery,
        release: ServedRelease,
        cookie_replies: Sent,
        similar: list[Known | UnreadRecord],
        product_replies: Sent,
        context_replies: Sent,
        generic_keys: list[int],
    ) -> None:
        self.question = question
        self.release = release
        self.cookie_replies = cookie_replies
        self.similar = similar
        self.product_replies = product_replies
        self.context_replies = context_replies
        self.generic_keys = generic_keys

    def unfinished(self) -> list[PendingReplies]:
        """What has to be waited for before it can be answered; each ends by its deadline."""
        every = (self.cookie_replies, self.product_replies, self.context_replies)
        return [sent for sent in every if isinstance(sent, PendingReplies) and sent.result is None]


@final
class RoutedAnswer:
    """What a visitor gets. `seen`: how many products the visitor is not shown."""

    def __init__(self, picked: list[PickedItems], outcomes: RouteOutcomes, seen: int) -> None:
        self.picked = picked
        self.outcomes = outcomes
        self.seen = seen


class Answering:
    """Answers the questions of one worker."""

    def __init__(self, link: Link, keys: Keys, masks: MaskCache, metrics: Metrics, settings: LookupSettings) -> None:
        self._link = link
        self._masks = masks
        self._metrics = metrics
        self._times = metrics.route_times
        self._seen = SeenCommands(keys) if settings.seen else None
        self.breakers = {route: CircuitBreaker(settings.breaker_failures, settings.breaker_seconds) for route in ROUTES}

    def ask(self, question: RecommendationQuery, release: ServedRelease) -> PendingAnswer:
        """Sends all that any route may need at once: a second trip costs more than a record that goes unused."""
        cookie_replies: Sent = NOT_ASKED
        product_replies: Sent = NOT_ASKED
        context_replies: Sent = NOT_ASKED
        generic_keys: list[int] = []
        similar: list[Known | UnreadRecord] = []
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
            cookie_replies = self._send(PERSONAL, steps, out.getvalue(), count, release)
        if question.products and SIMILAR in steps:
            out, count = BytesWriter(), 0
            for product in question.products:
                record = release.products.get(product)
                similar.append(record)
                if record is UNREAD:
                    release.write_product(out, key64(product))
                    count += len(release.product_kinds)
            product_replies = self._send(SIMILAR, steps, out.getvalue(), count, release)
        if GENERIC in steps:
            generic_keys = release.generic.missing(question.location, question.device)
            if generic_keys:
                out = BytesWriter()
                for key in generic_keys:
                    release.write_context(out, key)
                context_replies = self._send(GENERIC, steps, out.getvalue(), len(generic_keys), release)
        return PendingAnswer(question, release, cookie_replies, similar, product_replies, context_replies, generic_keys)

    def _send(self, route: str, steps: Mapping[str, Step], commands: bytes, count: int, release: ServedRelease) -> Sent:
        if release.is_snapshot:
            return SNAPSHOT
        if not count:
            return NOT_ASKED
        breaker = self.breakers[route]
        if breaker.open and not breaker.allows(monotonic()):
            return BREAKER_OPEN
        step = steps.get(route)
        return self._link.send(commands, count, step.seconds if step is not None else None, self._times[route])

    def answer(self, asked: PendingAnswer) -> RoutedAnswer:
        """The answer to a question whose replies are there. Raises nothing."""
        question, release = asked.question, asked.release
        cookie_replies = self._noted(PERSONAL, asked.cookie_replies)
        product_replies = self._noted(SIMILAR, asked.product_replies)
        context_replies = self._noted(GENERIC, asked.context_replies)
        excluded: set[bytes] = set()
        if question.products or question.exclude:
            excluded.update(encode_text(product) for product in (*question.products, *question.exclude))
        asked_for = len(excluded)
        if self._seen and cookie_replies is not NOT_ASKED:
            cookie_replies = self._without_seen(cookie_replies, excluded)
        seen = len(excluded) - asked_for
        offers: list[RouteOffer] = []
        for step in question.scene.steps:
            if step.route == PERSONAL:
                offers.append(personal_offer(cookie_replies, release) if question.cookie else NO_PERSONAL)
            elif step.route == SIMILAR:
                offers.append(similar_offer(asked, product_replies) if asked.similar else NO_SIMILAR)
            else:
                offers.append(generic_offer(context_replies, release, question, asked.generic_keys))
        picked, outcomes = compose(question.n, question.scene, offers, release.names, self._masks.names, excluded)
        self._metrics.answered(outcomes)
        return RoutedAnswer(picked, outcomes, seen)

    def _noted(self, route: str, sent: Sent) -> Replies:
        """The replies, of which the route's breaker is told."""
        if not isinstance(sent, PendingReplies):
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

    def _without_seen(self, replies: Replies, excluded: set[bytes]) -> Replies:
        """Adds to `spent` what the visitor is not shown; returns the replies that are left."""
        found = replies if isinstance(replies, str) else replies[0]
        if not isinstance(found, list):
            self._metrics.unseen()
        elif found:
            excluded.update(encode_text(product.decode("utf-8", "replace")) for product in found)
        return replies if isinstance(replies, str) else replies[1:]


def similar_offer(asked: PendingAnswer, replies: Replies) -> RouteOffer:
    """The lists of the products that are looked at, merged, or why there are none. Keeps those that were read."""
    question, release = asked.question, asked.release
    records: list[Any] = []
    read = iter(_of_products(replies, release) if not isinstance(replies, str) else ())
    for product, record in zip(question.products, asked.similar, strict=True):
        if isinstance(record, UnreadRecord):
            reply = replies if isinstance(replies, str) else next(read)
            # One that is broken is read again, in case it was mended.
            if reply is None or (isinstance(reply, (bytes, CategoryRecord)) and _is_whole(reply, release)):
                release.products.learn(product, reply)
            records.append(reply)
        else:
            records.append(record)
    if len(records) == 1:
        return _single(SIMILAR, records[0], UNKNOWN_PRODUCT, release)
    limit = 2 * question.n + len(records)
    found = [_decoded(record, UNKNOWN_PRODUCT, release, limit) for record in records]
    problems = {each for each in found if isinstance(each, str)}
    lists = [each for each in found if isinstance(each, RankedList)]
    told = next((reason for reason in REASONS_BY_SEVERITY if reason in problems), "")
    level = CATEGORY if lists and any(isinstance(record, CategoryRecord) for record in records) else ""
    return RouteOffer(SIMILAR, round_robin(lists) if lists else None, told, level)


def _of_products(replies: Sequence[Any], release: ServedRelease) -> Sequence[Any]:
    """One reply a product: its record, else that of its category."""
    if len(release.product_kinds) == 1:
        return replies
    found = []
    for by_picture, by_category in zip(replies[::2], replies[1::2], strict=True):
        next_best = CategoryRecord(by_category) if isinstance(by_category, bytes) else by_category
        found.append(next_best if by_picture is None else by_picture)
    return found


def personal_offer(replies: Replies, release: ServedRelease) -> RouteOffer:
    """The list of the cookie, or why there is none."""
    if isinstance(replies, str):
        return RouteOffer(PERSONAL, None, replies)
    # Of a delta and what lies beneath it, the delta's list is the later one.
    for reply in replies:
        if reply is not None:
            return _single(PERSONAL, reply, UNKNOWN_COOKIE, release)
    return _single(PERSONAL, None, UNKNOWN_COOKIE, release)


def generic_offer(
    replies: Replies, release: ServedRelease, question: RecommendationQuery, keys: Sequence[int]
) -> RouteOffer:
    """The list of the place, from what is in process and what was just read."""
    problem = ""
    # Where nothing was asked for, the lists in process are all there is, and no trouble with Redis matters.
    if keys:
        problem = replies if isinstance(replies, str) else _learn(release, keys, replies)
    return release.generic.offer(question.location, question.device, problem)


def _single(route: str, reply: Any, unknown: str, release: ServedRelease) -> RouteOffer:
    """What a reply offers; a string is the reason why there is none."""
    if reply is None or isinstance(reply, str):
        return RouteOffer(route, None, reply or unknown)
    if isinstance(reply, CategoryRecord):
        return RouteOffer(route, PackedList(reply.record, len(release.names)), "", CATEGORY)
    if not isinstance(reply, bytes):
        return RouteOffer(route, None, REDIS_ERROR)
    return RouteOffer(route, PackedList(reply, len(release.names)))


def _decoded(reply: Any, unknown: str, release: ServedRelease, limit: int) -> RankedList | str:
    """The head of the list in a reply, or the reason why there is none."""
    offer = _single(SIMILAR, reply, unknown, release)
    try:
        return offer.ranked.head(limit) if offer.ranked else offer.reason
    except CorruptRecordError:
        return CORRUPT_RECORD


def _is_whole(record: bytes | CategoryRecord, release: ServedRelease) -> bool:
    return isinstance(_decoded(record, UNKNOWN_PRODUCT, release, MAX_ITEMS), RankedList)


def _learn(release: ServedRelease, keys: Sequence[int], replies: Sequence[Any]) -> str:
    """Keeps the generic lists that were read; returns what was wrong with one of them, or ""."""
    problem = ""
    for key, reply in zip(keys, replies, strict=False):
        if reply is None or isinstance(reply, bytes):
            release.generic.learn(key, reply)
        else:
            problem = REDIS_ERROR
    return problem
