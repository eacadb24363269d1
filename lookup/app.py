"""The endpoint as a Granian RSGI application: paths, methods, statuses, and what runs beside the requests."""

from __future__ import annotations

import asyncio
import logging
import math
import os
import random
import re
from collections.abc import Awaitable, Callable
from pathlib import Path
from time import perf_counter
from typing import Any

from granian.rsgi import HTTPProtocol, Scope

from loaders.keys import Keys
from lookup.address import parse_address
from lookup.admission import HEADER, Admission, Delay
from lookup.answering import Answering, Asked
from lookup.bodies import read_body
from lookup.journal import Journal
from lookup.link import RedisLink
from lookup.live import LiveRelease
from lookup.masks import Masks
from lookup.metrics import Metrics, Series, SharedCounters, label, render
from lookup.openapi import document
from lookup.questions import question_from_json, question_from_query, requests_from_body, rules_from
from lookup.refusals import BadRequestError
from lookup.release import Release
from lookup.rendering import age_seconds, answer_json, error_json, to_json
from settings import Settings, load_settings

Headers = list[tuple[str, str]]
Response = tuple[int, Headers, bytes]
Handler = Callable[[Scope, HTTPProtocol], Awaitable[Response]]

JSON: Headers = [("content-type", "application/json"), ("cache-control", "no-store")]
TEXT: Headers = [("content-type", "text/plain; version=0.0.4; charset=utf-8"), ("cache-control", "no-store")]

# Slow enough for the largest chunk over a slow line, and still an end.
BACKGROUND_SECONDS = 5.0
SHARE_SECONDS = 1.0
# Questions of a batch between two of which other requests get their turn.
TURN = 50
SANE_ID = re.compile(r"[A-Za-z0-9._:/+=@-]{1,128}").fullmatch

log = logging.getLogger("larder.lookup")


class LookupApp:
    """Answers the requests of one worker. `redis.url` must be set; in `folder` workers share counters."""

    def __init__(self, settings: Settings, folder: str = "") -> None:
        self._limits = settings.lookup
        address = parse_address(settings.redis.url)
        self._rules = rules_from(self._limits)
        self._lookups = RedisLink(address, self._limits.deadline_ms / 1000, "larder-lookup")
        # Of its own, so that a visitor never queues behind a dictionary.
        self._background = RedisLink(address, BACKGROUND_SECONDS, "larder-lookup-release")
        keys = Keys(settings.redis.namespace)
        pause, bound = self._limits.pointer_seconds, self._limits.generic_lists
        snapshot = Path(self._limits.snapshot) if self._limits.snapshot else None
        self._live = LiveRelease(self._background, keys, pause, bound, snapshot)
        self._masks = Masks(self._background, keys, self._limits.mask_seconds, snapshot)
        self._metrics = Metrics()
        self._delay = Delay()
        self._admission = Admission(self._limits, self._delay)
        self._answering = Answering(self._lookups, keys, self._masks, self._metrics, self._limits)
        self._shared = SharedCounters(folder) if folder else None
        # A seed of its own, because forked workers would otherwise draw the same request ids.
        self._random_bits = random.Random(os.urandom(32)).getrandbits
        self._openapi = to_json(document(self._limits))
        journey = self._limits.journey
        self._journal = (
            Journal(Path(journey), self._limits.journey_answers, self._limits.journey_seconds) if journey else None
        )
        self._tasks: list[asyncio.Task[None]] = []
        self._paths: dict[str, tuple[str, str, Handler]] = {
            "/v1/recommendations": ("recommendations", "GET", self._recommend),
            "/v1/recommendations:batch": ("batch", "POST", self._recommend_batch),
            "/health/live": ("live", "GET", self._health_live),
            "/health/ready": ("ready", "GET", self._health_ready),
            "/metrics": ("metrics", "GET", self._show_metrics),
            "/openapi.json": ("openapi", "GET", self._show_openapi),
        }

    def __rsgi_init__(self, loop: asyncio.AbstractEventLoop) -> None:
        """Starts what runs beside the requests; nothing waits for Redis here."""
        runs = [self._lookups.run(), self._background.run(), self._live.follow()]
        runs += [self._masks.follow(), self._delay.watch()]
        if self._journal is not None:
            runs.append(self._journal.run())
        if self._shared is not None:
            runs.append(self._share_counters(self._shared))
        self._tasks = [loop.create_task(run) for run in runs]
        for task in self._tasks:
            task.add_done_callback(_tell_unexpected_end)

    def __rsgi_del__(self, loop: asyncio.AbstractEventLoop) -> None:
        for task in self._tasks:
            task.cancel()
        loop.run_until_complete(asyncio.gather(*self._tasks, return_exceptions=True))
        if self._journal is not None:
            self._journal.stop()
        if self._shared is not None:
            self._shared.publish(self._counters())

    async def __rsgi__(self, scope: Scope, proto: HTTPProtocol) -> None:
        """One request."""
        began = perf_counter()
        endpoint, method, handler = self._paths.get(scope.path, ("other", "", self._not_found))
        self._admission.waiting += 1
        try:
            if method and scope.method != method and not (method == "GET" and scope.method == "HEAD"):
                status, headers, body = _wrong_method(method)
            else:
                status, headers, body = await handler(scope, proto)
        except BadRequestError as error:
            status, headers, body = _refusal(error)
        except Exception:
            log.exception("a request failed")
            status, headers = 500, JSON
            body = error_json("internal", "the request failed; the endpoint's log says why")
        finally:
            self._admission.waiting -= 1
        proto.response_bytes(status, headers, body)
        self._metrics.requested(endpoint, status, perf_counter() - began)

    async def _recommend(self, scope: Scope, proto: HTTPProtocol) -> Response:
        caller = self._admitted(scope)
        question = question_from_query(scope.query_string, self._rules)
        self._admission.spend(caller, 1)
        asked = self._answering.ask(question, self._release())
        return 200, JSON, await self._answered(asked, self._request_id(scope))

    async def _recommend_batch(self, scope: Scope, proto: HTTPProtocol) -> Response:
        caller = self._admitted(scope)
        if scope.query_string:
            raise BadRequestError(400, "unknown_parameter", "a batch takes no parameters; put them in the body")
        requests = requests_from_body(await read_body(scope, proto, self._limits.max_body_bytes), self._limits)
        self._admission.spend(caller, len(requests))
        asked = await self._ask_all(requests)
        request_id, answers = self._request_id(scope), []
        for number, each in enumerate(asked):
            if isinstance(each, bytes):
                answers.append(each)
            else:
                answers.append(b'{"answer":%b}' % await self._answered(each, b"%b-%d" % (request_id, number)))
            if number % TURN == TURN - 1:
                await asyncio.sleep(0)
        return 200, JSON, b'{"responses":[%b]}' % b",".join(answers)

    async def _answered(self, asked: Asked, request_id: bytes) -> bytes:
        answer = await self._answering.answer(asked)
        if self._journal is not None:
            self._journal.note(asked.question, asked.release.name, request_id, answer.taken)
        return answer_json(asked.release, answer.taken, answer.outcomes, request_id)

    async def _ask_all(self, requests: list[Any]) -> list[Asked | bytes]:
        """Each question on its way from the same release, or its error."""
        release = self._release()
        asked: list[Asked | bytes] = []
        for number, request in enumerate(requests):
            try:
                asked.append(self._answering.ask(question_from_json(request, self._rules), release))
            except BadRequestError as error:
                asked.append(error_json(error.code, error.message))
            if number % TURN == TURN - 1:
                await asyncio.sleep(0)
        return asked

    def _admitted(self, scope: Scope) -> str:
        """The caller's name. Raises BadRequestError."""
        self._admission.check_load()
        return self._admission.caller(scope.headers.get(HEADER))

    def _release(self) -> Release:
        release = self._live.current
        if release is None:
            message = f"no release is loaded: {self._live.problem}; try again shortly"
            raise BadRequestError(503, "no_release", message, math.ceil(self._limits.pointer_seconds))
        return release

    def _request_id(self, scope: Scope) -> bytes:
        given = scope.headers.get("x-request-id")
        if given and SANE_ID(given):
            return given.encode()
        return b"%032x" % self._random_bits(128)

    async def _health_live(self, scope: Scope, proto: HTTPProtocol) -> Response:
        return 200, JSON, b'{"live":true}'

    async def _health_ready(self, scope: Scope, proto: HTTPProtocol) -> Response:
        release = self._live.current
        body = {
            "ready": release is not None,
            "release": release and release.name,
            "age_seconds": release and age_seconds(release),
            "problem": self._live.problem or None,
            "redis": {"up": self._lookups.up, "problem": self._lookups.problem or None},
        }
        if release is None:
            return 503, [*JSON, _retry_after(math.ceil(self._limits.pointer_seconds))], to_json(body)
        return 200, JSON, to_json(body)

    async def _show_metrics(self, scope: Scope, proto: HTTPProtocol) -> Response:
        counters = self._counters()
        if self._shared is not None:
            counters = self._shared.totals(counters)
        return 200, TEXT, render({**counters, **self._gauges()})

    async def _show_openapi(self, scope: Scope, proto: HTTPProtocol) -> Response:
        return 200, JSON, self._openapi

    async def _not_found(self, scope: Scope, proto: HTTPProtocol) -> Response:
        return (
            404,
            JSON,
            error_json("not_found", f"there is no such path; there are {', '.join(self._paths)}"),
        )

    def _counters(self) -> Series:
        series = self._metrics.series()
        if self._journal is not None:
            series["larder_lookup_journey_written_total"] = self._journal.written
            for reason, count in self._journal.dropped.items():
                series[f'larder_lookup_journey_dropped_total{{reason="{reason}"}}'] = count
        return {
            **series,
            'larder_lookup_release_loads_total{result="loaded"}': self._live.loads,
            'larder_lookup_release_loads_total{result="refused"}': self._live.refusals,
            "larder_lookup_redis_reconnects_total": self._lookups.reconnects,
        }

    def _gauges(self) -> Series:
        gauges: Series = {
            "larder_lookup_redis_up": float(self._lookups.up),
            "larder_lookup_masked_products": len(self._masks.names),
        }
        for route, breaker in self._answering.breakers.items():
            gauges[f'larder_lookup_breaker_open{{route="{route}"}}'] = float(breaker.open)
        release = self._live.current
        if release is not None:
            gauges["larder_lookup_release_age_seconds"] = age_seconds(release)
            gauges[f'larder_lookup_release_info{{release="{label(release.name)}"}}'] = 1
        return gauges

    async def _share_counters(self, shared: SharedCounters) -> None:
        while True:
            shared.publish(self._counters())
            await asyncio.sleep(SHARE_SECONDS)


def _refusal(error: BadRequestError) -> Response:
    headers = [*JSON]
    if error.status in (408, 413):
        # With part of a body unread, the connection is of no further use.
        headers.append(("connection", "close"))
    if error.retry_after:
        headers.append(_retry_after(error.retry_after))
    return error.status, headers, error_json(error.code, error.message)


def _retry_after(seconds: int) -> tuple[str, str]:
    return "retry-after", str(seconds)


def _wrong_method(method: str) -> Response:
    allowed = "GET, HEAD" if method == "GET" else method
    headers = [*JSON, ("allow", allowed)]
    return 405, headers, error_json("method_not_allowed", f"this path takes {allowed}")


def _tell_unexpected_end(task: asyncio.Task[None]) -> None:
    if not task.cancelled() and task.exception() is not None:
        log.critical("a background task of the endpoint ended", exc_info=task.exception())


def create_app(settings: Settings | None = None, folder: str = "") -> LookupApp:
    """The application, also for Granian's `--factory`; without settings, those that load_settings finds."""
    return LookupApp(settings or load_settings(), folder)
