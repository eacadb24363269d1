"""The endpoint as a Granian RSGI application: paths, methods, statuses, and what runs beside the requests."""

from __future__ import annotations

import asyncio
import logging
import math
import os
import random
import re
from collections.abc import Awaitable, Callable
from time import perf_counter
from typing import Any

from granian.rsgi import HTTPProtocol, ProtocolClosed, ProtocolError, Scope

from loaders.keys import Keys
from lookup.address import parse_address
from lookup.answering import Asked, answer, ask
from lookup.link import RedisLink
from lookup.live import LiveRelease
from lookup.metrics import Metrics, Series, SharedCounters, label, render
from lookup.openapi import document
from lookup.questions import BadRequestError, question_from_json, question_from_query, requests_from_body
from lookup.rendering import age_seconds, error_json, to_json
from settings import Settings, load_settings

Headers = list[tuple[str, str]]
Response = tuple[int, Headers, bytes]
Handler = Callable[[Scope, HTTPProtocol], Awaitable[Response]]

JSON: Headers = [("content-type", "application/json"), ("cache-control", "no-store")]
CLOSING: Headers = [*JSON, ("connection", "close")]
TEXT: Headers = [("content-type", "text/plain; version=0.0.4; charset=utf-8"), ("cache-control", "no-store")]

# Slow enough for the largest chunk over a slow line, and still an end.
BACKGROUND_SECONDS = 5.0
BODY_SECONDS = 10.0
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
        self._lookups = RedisLink(address, self._limits.deadline_ms / 1000, "larder-lookup")
        # Of its own, so that a visitor never queues behind a dictionary.
        self._background = RedisLink(address, BACKGROUND_SECONDS, "larder-lookup-release")
        keys = Keys(settings.redis.namespace)
        pause, bound = self._limits.pointer_seconds, self._limits.generic_lists
        self._live = LiveRelease(self._background, keys, pause, bound)
        self._metrics = Metrics()
        self._shared = SharedCounters(folder) if folder else None
        # A seed of its own, because forked workers would otherwise draw the same request ids.
        self._random_bits = random.Random(os.urandom(32)).getrandbits
        self._no_release: Headers = [*JSON, ("retry-after", str(math.ceil(pause)))]
        self._openapi = to_json(document(self._limits))
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
        if self._shared is not None:
            runs.append(self._share_counters(self._shared))
        self._tasks = [loop.create_task(run) for run in runs]
        for task in self._tasks:
            task.add_done_callback(_tell_unexpected_end)

    def __rsgi_del__(self, loop: asyncio.AbstractEventLoop) -> None:
        for task in self._tasks:
            task.cancel()
        loop.run_until_complete(asyncio.gather(*self._tasks, return_exceptions=True))
        if self._shared is not None:
            self._shared.publish(self._counters())

    async def __rsgi__(self, scope: Scope, proto: HTTPProtocol) -> None:
        """One request."""
        began = perf_counter()
        endpoint, method, handler = self._paths.get(scope.path, ("other", "", self._not_found))
        try:
            if method and scope.method != method and not (method == "GET" and scope.method == "HEAD"):
                status, headers, body = _wrong_method(method)
            else:
                status, headers, body = await handler(scope, proto)
        except BadRequestError as error:
            # With part of a body unread, the connection is of no further use.
            headers = CLOSING if error.status in (408, 413) else JSON
            status, body = error.status, error_json(error.code, error.message)
        except Exception:
            log.exception("a request failed")
            status, headers = 500, JSON
            body = error_json("internal", "the request failed; the endpoint's log says why")
        proto.response_bytes(status, headers, body)
        self._metrics.requested(endpoint, status, perf_counter() - began)

    async def _recommend(self, scope: Scope, proto: HTTPProtocol) -> Response:
        question = question_from_query(scope.query_string, self._limits)
        release = self._live.current
        if release is None:
            return self._without_release()
        asked = ask(question, release, self._lookups)
        return 200, JSON, await answer(asked, self._request_id(scope), self._metrics)

    async def _recommend_batch(self, scope: Scope, proto: HTTPProtocol) -> Response:
        if scope.query_string:
            raise BadRequestError(400, "unknown_parameter", "a batch takes no parameters; put them in the body")
        requests = requests_from_body(await self._body(scope, proto), self._limits)
        if self._live.current is None:
            return self._without_release()
        asked = await self._ask_all(requests)
        request_id, answers = self._request_id(scope), []
        for number, each in enumerate(asked):
            if isinstance(each, bytes):
                answers.append(each)
            else:
                found = await answer(each, b"%b-%d" % (request_id, number), self._metrics)
                answers.append(b'{"answer":%b}' % found)
            if number % TURN == TURN - 1:
                await asyncio.sleep(0)
        return 200, JSON, b'{"responses":[%b]}' % b",".join(answers)

    async def _ask_all(self, requests: list[Any]) -> list[Asked | bytes]:
        """Each question on its way from the same release, or its error."""
        release = self._live.current
        assert release is not None
        asked: list[Asked | bytes] = []
        for number, request in enumerate(requests):
            try:
                asked.append(ask(question_from_json(request, self._limits), release, self._lookups))
            except BadRequestError as error:
                asked.append(error_json(error.code, error.message))
            if number % TURN == TURN - 1:
                await asyncio.sleep(0)
        return asked

    async def _body(self, scope: Scope, proto: HTTPProtocol) -> bytes:
        limit = self._limits.max_body_bytes
        announced = scope.headers.get("content-length") or "0"
        if announced.isdigit() and int(announced) > limit:
            raise _too_large(limit)
        try:
            return await asyncio.wait_for(_read_body(proto, limit), BODY_SECONDS)
        except (asyncio.TimeoutError, ProtocolClosed, ProtocolError):
            raise BadRequestError(
                408, "body_timeout", f"the body did not arrive within {BODY_SECONDS:g} seconds; send it again"
            ) from None

    def _request_id(self, scope: Scope) -> bytes:
        given = scope.headers.get("x-request-id")
        if given and SANE_ID(given):
            return given.encode()
        return b"%032x" % self._random_bits(128)

    def _without_release(self) -> Response:
        body = error_json("no_release", f"no release is loaded: {self._live.problem}; try again shortly")
        return 503, self._no_release, body

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
        return (200, JSON, to_json(body)) if release else (503, self._no_release, to_json(body))

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
        return {
            **self._metrics.series(),
            'larder_lookup_release_loads_total{result="loaded"}': self._live.loads,
            'larder_lookup_release_loads_total{result="refused"}': self._live.refusals,
            "larder_lookup_redis_reconnects_total": self._lookups.reconnects,
        }

    def _gauges(self) -> Series:
        gauges: Series = {"larder_lookup_redis_up": float(self._lookups.up)}
        release = self._live.current
        if release is not None:
            gauges["larder_lookup_release_age_seconds"] = age_seconds(release)
            gauges[f'larder_lookup_release_info{{release="{label(release.name)}"}}'] = 1
        return gauges

    async def _share_counters(self, shared: SharedCounters) -> None:
        while True:
            shared.publish(self._counters())
            await asyncio.sleep(SHARE_SECONDS)


async def _read_body(proto: HTTPProtocol, limit: int) -> bytes:
    body = bytearray()
    async for piece in proto:
        body += piece
        if len(body) > limit:
            raise _too_large(limit)
    return bytes(body)


def _too_large(limit: int) -> BadRequestError:
    return BadRequestError(413, "body_too_large", f"the body has more than {limit} bytes; split the batch")


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
