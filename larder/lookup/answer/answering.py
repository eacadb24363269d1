"""From a query to its answer: the reads from Redis, and what each route makes of the replies."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from time import monotonic
from typing import Any, Final, final

from librt.strings import BytesWriter

from larder.loaders.codec import MAX_ITEMS, CorruptRecordError
from larder.loaders.keys import Keys, key64
from larder.lookup.answer.exploration import compose_explored
from larder.lookup.answer.reasons import (
    BREAKER_OPEN,
    CORRUPT_RECORD,
    NO_COOKIE,
    NO_PRODUCT,
    REDIS_DOWN,
    REDIS_ERROR,
    REDIS_TIMEOUT,
    RELEASE_GONE,
    SNAPSHOT,
    UNKNOWN_COOKIE,
    UNKNOWN_PRODUCT,
)
from larder.lookup.answer.routes import CATEGORY, GENERIC, PERSONAL, ROUTES, SIMILAR
from larder.lookup.answer.routing import PickedItems, RouteOffer, RouteOutcomes, compose, round_robin
from larder.lookup.answer.scenes import Step
from larder.lookup.answer.treatment import Treatment
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

# The reason that is given for several products, if some of their lists are missing for different reasons.
REASONS_BY_SEVERITY: Final = (
    REDIS_DOWN,
    REDIS_TIMEOUT,
    BREAKER_OPEN,
    SNAPSHOT,
    RELEASE_GONE,
    REDIS_ERROR,
    CORRUPT_RECORD,
    UNKNOWN_PRODUCT,
)
NO_SIMILAR: Final = RouteOffer(SIMILAR, None, NO_PRODUCT)
NO_PERSONAL: Final = RouteOffer(PERSONAL, None, NO_COOKIE)

NOT_ASKED: Final = ""
# The cursor of SSCAN that says that there are no more members.
LAST_CURSOR: Final = b"0"


@final
class PendingAnswer:
    """A query whose reads were sent to Redis. It keeps its release, even if another one goes live meanwhile.

    `treatment` is what experiments give to the request, or None if it takes part in nothing. `cookie_replies` begins
    with the products that the visitor has seen, if they are read, and then has the visitor's list. `similar` has the
    cached records of the products; `product_replies` has the others, in order.
    """

    def __init__(
        self,
        query: RecommendationQuery,
        release: ServedRelease,
        request_id: bytes,
        treatment: Treatment | None,
        cookie_replies: Sent,
        similar: list[Known | UnreadRecord],
        product_replies: Sent,
        context_replies: Sent,
        generic_keys: list[int],
    ) -> None:
        self.query = query
        self.release = release
        self.request_id = request_id
        self.treatment = treatment
        self.cookie_replies = cookie_replies
        self.similar = similar
        self.product_replies = product_replies
        self.context_replies = context_replies
        self.generic_keys = generic_keys

    def unfinished(self) -> list[PendingReplies]:
        """Returns the replies to wait for; each ends by its deadline."""
        every = (self.cookie_replies, self.product_replies, self.context_replies)
        return [sent for sent in every if isinstance(sent, PendingReplies) and sent.result is None]


@final
class RoutedAnswer:
    """The picked products and the routes' outcomes. `seen` is the number of products hidden from this visitor."""

    def __init__(self, picked: list[PickedItems], outcomes: RouteOutcomes, seen: int) -> None:
        self.picked = picked
        self.outcomes = outcomes
        self.seen = seen


class Answering:
    """Answers queries in one worker."""

    def __init__(self, link: Link, keys: Keys, masks: MaskCache, metrics: Metrics, settings: LookupSettings) -> None:
        self._link = link
        self._masks = masks
        self._metrics = metrics
        self._times = metrics.route_times
        self._max_seen = settings.max_seen
        self.seen = SeenCommands(keys, settings.max_seen) if settings.seen else None
        self.breakers = {route: CircuitBreaker(settings.breaker_failures, settings.breaker_seconds) for route in ROUTES}

    def ask(
        self, query: RecommendationQuery, release: ServedRelease, request_id: bytes, treatment: Treatment | None
    ) -> PendingAnswer:
        """Sends the reads of all routes at once: a second round trip costs more than reading an unused record."""
        cookie_replies: Sent = NOT_ASKED
        product_replies: Sent = NOT_ASKED
        context_replies: Sent = NOT_ASKED
        generic_keys: list[int] = []
        similar: list[Known | UnreadRecord] = []
        steps = query.scene.by_route
        if query.cookie:
            key, out, count = key64(query.cookie), BytesWriter(), 0
            # Seen products are left out of every route, so they are read for scenes without a personal route too.
            if self.seen is not None:
                self.seen.write(out, key)
                count = 1
            if PERSONAL in steps and not release.unreadable:
                release.write_cookie(out, key)
                count += release.cookie_reads
            cookie_replies = self._send(PERSONAL, steps, out.getvalue(), count, release)
        if query.products and SIMILAR in steps:
            out, count = BytesWriter(), 0
            for product in query.products:
                record = release.products.get(product)
                similar.append(record)
                if record is UNREAD:
                    release.write_product(out, key64(product))
                    count += len(release.product_kinds)
            product_replies = self._send(SIMILAR, steps, out.getvalue(), count, release)
        if GENERIC in steps:
            generic_keys = release.generic.missing(query.location, query.device)
            if generic_keys:
                out = BytesWriter()
                for key in generic_keys:
                    release.write_context(out, key)
                context_replies = self._send(GENERIC, steps, out.getvalue(), len(generic_keys), release)
        return PendingAnswer(
            query,
            release,
            request_id,
            treatment,
            cookie_replies,
            similar,
            product_replies,
            context_replies,
            generic_keys,
        )

    def _send(self, route: str, steps: Mapping[str, Step], commands: bytes, count: int, release: ServedRelease) -> Sent:
        # What the visitor has seen does not depend on the release.
        if release.unreadable and (release.is_snapshot or route != PERSONAL):
            return release.unreadable
        if not count:
            return NOT_ASKED
        breaker = self.breakers[route]
        if breaker.open and not breaker.allows(monotonic()):
            return BREAKER_OPEN
        step = steps.get(route)
        return self._link.send(commands, count, step.seconds if step is not None else None, self._times[route])

    def answer(self, pending: PendingAnswer) -> RoutedAnswer:
        """Returns the answer to a query whose replies have arrived. Raises nothing."""
        query, release = pending.query, pending.release
        cookie_replies = self._noted(PERSONAL, pending.cookie_replies)
        product_replies = self._noted(SIMILAR, pending.product_replies)
        context_replies = self._noted(GENERIC, pending.context_replies)
        excluded: set[bytes] = set()
        if query.products or query.exclude:
            excluded.update(encode_text(product) for product in (*query.products, *query.exclude))
        asked_for = len(excluded)
        if self.seen and cookie_replies is not NOT_ASKED:
            cookie_replies = self._without_seen(cookie_replies, excluded)
        seen = len(excluded) - asked_for
        offers: list[RouteOffer] = []
        for step in query.scene.steps:
            if step.route == PERSONAL:
                offers.append(personal_offer(cookie_replies, release) if query.cookie else NO_PERSONAL)
            elif step.route == SIMILAR:
                offers.append(similar_offer(pending, product_replies) if pending.similar else NO_SIMILAR)
            else:
                offers.append(generic_offer(context_replies, release, query, pending.generic_keys))
        names, masked = release.names, self._masks.names
        explorer = pending.treatment.explorer if pending.treatment is not None else None
        if explorer is None:
            picked, outcomes = compose(query.n, query.scene, offers, names, masked, excluded)
        else:
            picked, outcomes = compose_explored(
                query.n, query.scene, offers, names, masked, excluded, explorer, pending.request_id
            )
        self._metrics.answered(outcomes)
        return RoutedAnswer(picked, outcomes, seen)

    def _noted(self, route: str, sent: Sent) -> Replies:
        """Returns the replies, after telling the route's circuit breaker about them."""
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
        """Adds the products that the visitor has seen to `excluded`; returns the other replies."""
        if isinstance(replies, str):
            self._metrics.count_unknown_seen()
            return replies
        found = replies[0]
        # SSCAN gives a cursor and members, SMEMBERS the members.
        if isinstance(found, list) and len(found) == 2 and isinstance(found[1], list):
            if found[0] != LAST_CURSOR:
                self._metrics.count_cut_seen()
            found = found[1]
        if not isinstance(found, list):
            self._metrics.count_unknown_seen()
        elif found:
            members = found if len(found) <= self._max_seen else found[: self._max_seen]
            excluded.update([encode_text(product.decode("utf-8", "replace")) for product in members])
        return replies[1:]


def similar_offer(pending: PendingAnswer, replies: Replies) -> RouteOffer:
    """Returns the merged lists of the query's products, or why there are none. Caches the records that were read."""
    query, release = pending.query, pending.release
    records: list[Any] = []
    read = iter(_of_products(replies, release) if not isinstance(replies, str) else ())
    for product, record in zip(query.products, pending.similar, strict=True):
        if isinstance(record, UnreadRecord):
            reply = replies if isinstance(replies, str) else next(read)
            # A nil is believed, and with it a list by category, only while no record of the release is missing.
            if (
                (isinstance(reply, bytes) or release.trusts_absence)
                and (reply is None or isinstance(reply, (bytes, CategoryRecord)))
                and (reply is None or _is_whole(reply, release))
            ):
                release.products.learn(product, reply)
            records.append(reply)
        else:
            records.append(record)
    if len(records) == 1:
        return _single(SIMILAR, records[0], UNKNOWN_PRODUCT, release)
    limit = 2 * query.n + len(records)
    found = [_decoded(record, UNKNOWN_PRODUCT, release, limit) for record in records]
    problems = {each for each in found if isinstance(each, str)}
    lists = [each for each in found if isinstance(each, RankedList)]
    told = next((reason for reason in REASONS_BY_SEVERITY if reason in problems), "")
    level = CATEGORY if lists and any(isinstance(record, CategoryRecord) for record in records) else ""
    return RouteOffer(SIMILAR, round_robin(lists) if lists else None, told, level)


def _of_products(replies: Sequence[Any], release: ServedRelease) -> Sequence[Any]:
    """Returns one reply for each product: its record, else the record of its category."""
    if len(release.product_kinds) == 1:
        return replies
    found = []
    for by_picture, by_category in zip(replies[::2], replies[1::2], strict=True):
        next_best = CategoryRecord(by_category) if isinstance(by_category, bytes) else by_category
        found.append(next_best if by_picture is None else by_picture)
    return found


def personal_offer(replies: Replies, release: ServedRelease) -> RouteOffer:
    """Returns the list of the cookie, or why there is none."""
    if isinstance(replies, str):
        return RouteOffer(PERSONAL, None, replies)
    # The commands were written before the release became unreadable, or not at all.
    if release.unreadable:
        return RouteOffer(PERSONAL, None, release.unreadable)
    # The list in the delta comes first, and is newer than the one in its base.
    for reply in replies:
        if reply is not None:
            return _single(PERSONAL, reply, UNKNOWN_COOKIE, release)
    return _single(PERSONAL, None, UNKNOWN_COOKIE, release)


def generic_offer(
    replies: Replies, release: ServedRelease, query: RecommendationQuery, keys: Sequence[int]
) -> RouteOffer:
    """Returns the list for the query's location and device, from the cache and the replies."""
    problem = ""
    # Without keys to read, the cache has all lists of the query, and errors of Redis do not matter.
    if keys:
        problem = replies if isinstance(replies, str) else _learn(release, keys, replies)
    return release.generic.offer(query.location, query.device, problem, not keys or release.trusts_absence)


def _single(route: str, reply: Any, unknown: str, release: ServedRelease) -> RouteOffer:
    """Returns the offer in a reply; a string is the reason why there is no list."""
    if reply is None or isinstance(reply, str):
        return RouteOffer(route, None, reply or unknown)
    if isinstance(reply, CategoryRecord):
        return RouteOffer(route, PackedList(reply.record, len(release.names)), "", CATEGORY)
    if not isinstance(reply, bytes):
        return RouteOffer(route, None, REDIS_ERROR)
    return RouteOffer(route, PackedList(reply, len(release.names)))


def _decoded(reply: Any, unknown: str, release: ServedRelease, limit: int) -> RankedList | str:
    """Returns the first items of the list in a reply, or the reason why there are none."""
    offer = _single(SIMILAR, reply, unknown, release)
    try:
        return offer.ranked.head(limit) if offer.ranked else offer.reason
    except CorruptRecordError:
        return CORRUPT_RECORD


def _is_whole(record: bytes | CategoryRecord, release: ServedRelease) -> bool:
    return isinstance(_decoded(record, UNKNOWN_PRODUCT, release, MAX_ITEMS), RankedList)


def _learn(release: ServedRelease, keys: Sequence[int], replies: Sequence[Any]) -> str:
    """Caches the generic lists that were read; returns REDIS_ERROR if a reply is an error, else ""."""
    problem = ""
    for key, reply in zip(keys, replies, strict=False):
        if isinstance(reply, bytes):
            release.generic.learn(key, reply)
        elif reply is not None:
            problem = REDIS_ERROR
        elif release.trusts_absence:
            release.generic.learn(key, None)
    return problem
