"""From a question to its answer: what is asked of Redis, and what each route makes of the replies."""

from __future__ import annotations

import asyncio
from collections.abc import Sequence
from typing import Any, NamedTuple

from loaders.codec import CorruptRecordError
from loaders.keys import CONTEXTS, PRODUCTS
from lookup.link import RedisLink
from lookup.metrics import Metrics
from lookup.questions import Question
from lookup.reasons import (
    CORRUPT_RECORD,
    NO_COOKIE,
    NO_PRODUCT,
    REDIS_ERROR,
    UNKNOWN_COOKIE,
    UNKNOWN_PRODUCT,
)
from lookup.records import Ranked, decode_head
from lookup.release import Release
from lookup.rendering import answer_json, encode_text
from lookup.routing import PERSONAL, SIMILAR, Offer, compose, round_robin
from lookup.wire import Replies

# Of several things that went wrong with a basket, the first of these is told.
GRAVITY = (REDIS_ERROR, CORRUPT_RECORD, UNKNOWN_PRODUCT)
NO_SIMILAR = Offer(SIMILAR, None, NO_PRODUCT)
NO_PERSONAL = Offer(PERSONAL, None, NO_COOKIE)


class Asked(NamedTuple):
    """A question on its way. It keeps the release it began with, whatever goes live meanwhile."""

    question: Question
    release: Release
    generic_keys: list[int]
    sent: asyncio.Future[Replies] | str


def ask(question: Question, release: Release, link: RedisLink) -> Asked:
    """Sends all that any route may need at once: a second trip costs more than a record that goes unused."""
    commands = [release.ask(PRODUCTS, product) for product in question.products]
    if question.cookie:
        commands.append(release.ask_cookie(question.cookie))
    generic_keys = release.generic.missing(question.location, question.device)
    commands += [release.ask_key(CONTEXTS, key) for key in generic_keys]
    count = len(question.products) + (release.cookie_reads if question.cookie else 0) + len(generic_keys)
    sent = link.send(b"".join(commands), count) if commands else ""
    return Asked(question, release, generic_keys, sent)


async def answer(asked: Asked, request_id: bytes, metrics: Metrics) -> bytes:
    """The answer as JSON, at the latest when the link's deadline is over. Raises nothing."""
    question, release, _, sent = asked
    replies = sent if isinstance(sent, str) else await sent
    offers = offers_from(asked, replies)
    excluded = frozenset(map(encode_text, question.products)) if question.products else ()
    picks, outcomes = compose(question.n, offers, release.names, excluded)
    metrics.answered(outcomes)
    return answer_json(release, picks, outcomes, request_id)


def offers_from(asked: Asked, replies: Replies) -> tuple[Offer, Offer, Offer]:
    """What each route has, given the replies, or the reason why there are none."""
    question, release, generic_keys, _ = asked
    if isinstance(replies, str):
        problem, replies = replies, []
    else:
        problem = ""
    products = len(question.products)
    cookies = release.cookie_reads if question.cookie else 0
    # A route gives n items at most, after those that are asked for or in the answer already.
    limit = 2 * question.n + products
    similar = _similar(replies[:products], problem, release, limit) if products else NO_SIMILAR
    personal = _personal(replies[products : products + cookies], problem, release, limit) if cookies else NO_PERSONAL
    # Where nothing was asked for, the lists in process are all there is, and no trouble with Redis matters.
    missing = (_learn(release, generic_keys, replies[products + cookies :]) or problem) if generic_keys else ""
    return similar, personal, release.generic.offer(question.location, question.device, missing)


def _similar(replies: Sequence[Any], problem: str, release: Release, limit: int) -> Offer:
    if problem:
        return Offer(SIMILAR, None, problem)
    found = [_decoded(reply, UNKNOWN_PRODUCT, release, limit) for reply in replies]
    problems = {each for each in found if isinstance(each, str)}
    lists = [each for each in found if isinstance(each, Ranked)]
    told = next((reason for reason in GRAVITY if reason in problems), "")
    return Offer(SIMILAR, round_robin(lists) if lists else None, told)


def _personal(replies: Sequence[Any], problem: str, release: Release, limit: int) -> Offer:
    if problem:
        return Offer(PERSONAL, None, problem)
    # Of a delta and what lies beneath it, the delta's list is the later one.
    reply = next((reply for reply in replies if reply is not None), None)
    found = _decoded(reply, UNKNOWN_COOKIE, release, limit)
    return Offer(PERSONAL, None, found) if isinstance(found, str) else Offer(PERSONAL, found)


def _decoded(reply: Any, unknown: str, release: Release, limit: int) -> Ranked | str:
    """The head of the list in a reply, or the reason why there is none."""
    if reply is None:
        return unknown
    if not isinstance(reply, bytes):
        return REDIS_ERROR
    try:
        return decode_head(reply, len(release.names), limit)
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
