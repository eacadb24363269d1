"""The endpoint as a Granian RSGI application: paths, methods and statuses."""

from __future__ import annotations

import asyncio
import logging
import math
import os
import random
import re
from collections.abc import Awaitable, Callable
from time import perf_counter
from typing import TYPE_CHECKING, Any, Final

from granian.rsgi import HTTPProtocol, Scope

from lookup.admission import HEADER
from lookup.answering import Asked
from lookup.bodies import read_body
from lookup.explaining import explanation
from lookup.metrics import render
from lookup.openapi import document
from lookup.questions import question_from_json, question_from_query, requests_from_body, rules_from
from lookup.refusals import BadRequestError
from lookup.release import Release
from lookup.rendering import answer_json, error_json, to_json
from lookup.worker import Worker
from settings import Settings, load_settings

if TYPE_CHECKING:
    from granian.rsgi import Headers as Sent

    from lookup.tracing import Trace

Headers = list[tuple[str, str]]
Response = tuple[int, Headers, bytes]
# The trace is None but for a request that is traced.
Handler = Callable[[Scope, HTTPProtocol, "Trace | None"], Awaitable[Response]]

JSON: Final[Headers] = [("content-type", "application/json"), ("cache-control", "no-store")]
TEXT: Final[Headers] = [("content-type", "text/plain; version=0.0.4; charset=utf-8"), ("cache-control", "no-store")]

# Questions of a batch between two of which other requests get their turn.
TURN: Final = 50
SANE_ID: Final = re.compile(r"[A-Za-z0-9._:/+=@-]{1,128}").fullmatch

log = logging.getLogger("larder.lookup")


class LookupApp:
    """Answers the requests of one worker. `redis.url` must be set; in `folder` workers share counters."""

    def __init__(self, settings: Settings, folder: str = "") -> None:
        self._limits = settings.lookup
        self._rules = rules_from(self._limits)
        self._worker = Worker(settings, folder)
        self._live = self._worker.live
        self._admission = self._worker.admission
        self._answering = self._worker.answering
        self._journal = self._worker.journal
        self._tracing = self._worker.tracing
        # A seed of its own, because forked workers would otherwise draw the same request ids.
        self._random_bits = random.Random(os.urandom(32)).getrandbits
        self._openapi = to_json(document(self._limits))
        self._paths: dict[str, tuple[str, str, Handler]] = {
            "/v1/recommendations": ("recommendations", "GET", self._recommend),
            "/v1/recommendations:batch": ("batch", "POST", self._recommend_batch),
            "/health/live": ("live", "GET", self._health_live),
            "/health/ready": ("ready", "GET", self._health_ready),
            "/metrics": ("metrics", "GET", self._show_metrics),
            "/openapi.json": ("openapi", "GET", self._show_openapi),
        }
        self._no_path: tuple[str, str, Handler] = ("other", "", self._not_found)

    def __rsgi_init__(self, loop: asyncio.AbstractEventLoop) -> None:
        self._worker.start(loop)

    def __rsgi_del__(self, loop: asyncio.AbstractEventLoop) -> None:
        self._worker.stop(loop)

    async def __rsgi__(self, scope: Scope, proto: HTTPProtocol) -> None:
        """One request."""
        began = perf_counter()
        endpoint, method, handler = self._paths.get(scope.path, self._no_path)
        self._admission.waiting += 1
        trace = None
        try:
            if self._tracing is not None:
                trace = self._tracing.begin(endpoint, scope)
            if method and scope.method != method and not (method == "GET" and scope.method == "HEAD"):
                status, headers, body = _wrong_method(method)
            else:
                status, headers, body = await handler(scope, proto, trace)
        except BadRequestError as error:
            status, headers, body = _refusal(error)
        except Exception:
            log.exception("a request failed")
            status, headers = 500, JSON
            body = error_json("internal", "the request failed; the endpoint's log says why")
        finally:
            self._admission.waiting -= 1
        proto.response_bytes(status, headers, body)
        self._worker.metrics.requested(endpoint, status, perf_counter() - began)
        if trace is not None:
            trace.end(status)

    async def _recommend(self, scope: Scope, proto: HTTPProtocol, trace: Trace | None) -> Response:
        headers = scope.headers
        caller = self._admitted(headers)
        question = question_from_query(scope.query_string, self._rules)
        self._admission.spend(caller, 1)
        began = perf_counter()
        asked = self._answering.ask(question, self._release())
        request_id = self._request_id(headers)
        if trace is not None:
            trace.name(request_id)
            trace.asked(asked)
        # Not by a coroutine of its own: every one on the way is woken for each reply.
        for sent in asked.sent():
            await sent
        return 200, JSON, self._answered(asked, request_id, began, trace)

    async def _recommend_batch(self, scope: Scope, proto: HTTPProtocol, trace: Trace | None) -> Response:
        headers = scope.headers
        caller = self._admitted(headers)
        if scope.query_string:
            raise BadRequestError(400, "unknown_parameter", "a batch takes no parameters; put them in the body")
        requests = requests_from_body(await read_body(scope, proto, self._limits.max_body_bytes), self._limits)
        self._admission.spend(caller, len(requests))
        began = perf_counter()
        request_id, answers = self._request_id(headers), []
        if trace is not None:
            trace.name(request_id)
        asked = await self._ask_all(requests, trace)
        for number, each in enumerate(asked):
            if isinstance(each, bytes):
                answers.append(each)
            else:
                for sent in each.sent():
                    await sent
                found = self._answered(each, b"%b-%d" % (request_id, number), began, trace)
                answers.append(b'{"answer":%b}' % found)
            if number % TURN == TURN - 1:
                await asyncio.sleep(0)
        return 200, JSON, b'{"responses":[%b]}' % b",".join(answers)

    def _answered(self, asked: Asked, request_id: bytes, began: float, trace: Trace | None) -> bytes:
        answer = self._answering.answer(asked)
        if trace is not None:
            trace.answered(asked, answer.outcomes)
        if self._journal is not None:
            self._journal.note(asked.question, asked.release, request_id, answer.taken)
        more = b""
        if asked.question.explain:
            found = explanation(asked, answer, self._worker.masks, perf_counter() - began)
            more = b',"explain":%b' % to_json(found)
        return answer_json(asked.release, answer.taken, answer.outcomes, request_id, more)

    async def _ask_all(self, requests: list[Any], trace: Trace | None) -> list[Asked | bytes]:
        """Each question on its way from the same release, or its error."""
        release = self._release()
        asked: list[Asked | bytes] = []
        for number, request in enumerate(requests):
            try:
                each = self._answering.ask(question_from_json(request, self._rules), release)
            except BadRequestError as error:
                asked.append(error_json(error.code, error.message))
            else:
                asked.append(each)
                if trace is not None:
                    trace.asked(each)
            if number % TURN == TURN - 1:
                await asyncio.sleep(0)
        return asked

    def _admitted(self, headers: Sent) -> str:
        """The caller's name. Raises BadRequestError."""
        self._admission.check_load()
        return self._admission.caller(headers.get(HEADER))

    def _release(self) -> Release:
        release = self._live.current
        if release is None:
            message = f"no release is loaded: {self._live.problem}; try again shortly"
            raise BadRequestError(503, "no_release", message, math.ceil(self._limits.pointer_seconds))
        return release

    def _request_id(self, headers: Sent) -> bytes:
        given = headers.get("x-request-id")
        if given and SANE_ID(given):
            return given.encode()
        return b"%032x" % self._random_bits(128)

    async def _health_live(self, scope: Scope, proto: HTTPProtocol, trace: Trace | None) -> Response:
        return 200, JSON, b'{"live":true}'

    async def _health_ready(self, scope: Scope, proto: HTTPProtocol, trace: Trace | None) -> Response:
        body = to_json(self._worker.readiness())
        if self._live.current is None:
            return 503, [*JSON, _retry_after(math.ceil(self._limits.pointer_seconds))], body
        return 200, JSON, body

    async def _show_metrics(self, scope: Scope, proto: HTTPProtocol, trace: Trace | None) -> Response:
        return 200, TEXT, render(self._worker.series())

    async def _show_openapi(self, scope: Scope, proto: HTTPProtocol, trace: Trace | None) -> Response:
        return 200, JSON, self._openapi

    async def _not_found(self, scope: Scope, proto: HTTPProtocol, trace: Trace | None) -> Response:
        return (
            404,
            JSON,
            error_json("not_found", f"there is no such path; there are {', '.join(self._paths)}"),
        )


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


def create_app(settings: Settings | None = None, folder: str = "") -> LookupApp:
    """The application; without settings, those that load_settings finds. `larder serve` checks them before."""
    return LookupApp(settings or load_settings(), folder)
