"""What the endpoint answers: paths, methods and statuses."""

from __future__ import annotations

import asyncio
import logging
import math
import os
import re
from collections.abc import Callable, Mapping
from time import perf_counter
from typing import TYPE_CHECKING, Any, Final, final

from larder.lookup.answer.answering import PendingAnswer
from larder.lookup.answer.explanation import explanation
from larder.lookup.answer.rendering import answer_json, error_json
from larder.lookup.http.admission import HEADER
from larder.lookup.http.http_errors import BadRequestError
from larder.lookup.http.openapi import document
from larder.lookup.http.query import (
    RecommendationQuery,
    parse_batch,
    parse_json_query,
    parse_query_string,
    query_limits,
)
from larder.lookup.http.request import Request
from larder.lookup.json_text import to_json
from larder.lookup.operations.metrics import render
from larder.lookup.operations.worker import Worker
from larder.lookup.redis.redis_connection import replies_to
from larder.lookup.release.served_release import ServedRelease
from larder.settings import Settings
from larder.settings.experiments_section import LIVE

if TYPE_CHECKING:
    from larder.lookup.operations.tracing import Trace

# Status, lines of headers, body.
Response = tuple[int, bytes, bytes]

JSON: Final = b"content-type: application/json\r\ncache-control: no-store\r\n"
TEXT: Final = b"content-type: text/plain; version=0.0.4; charset=utf-8\r\ncache-control: no-store\r\n"
BATCH: Final = "/v1/recommendations:batch"

# A batch has about this many commands on their way to Redis, and works for this long before other requests get a turn.
COMMANDS_AT_ONCE: Final = 600
TURN_SECONDS: Final = 0.002
ID_DIGITS: Final = 32
IDS_DRAWN: Final = 256
SANE_ID: Final = re.compile(r"[A-Za-z0-9._:/+=@-]{1,128}").fullmatch

log = logging.getLogger("larder.lookup")


@final
class Turn:
    """The time for which a batch has worked without letting other requests go first."""

    def __init__(self) -> None:
        self._until = perf_counter() + TURN_SECONDS

    async def share(self) -> None:
        """Lets others go first if the turn is over."""
        if perf_counter() > self._until:
            await asyncio.sleep(0)
            self._until = perf_counter() + TURN_SECONDS


@final
class Exchange:
    """A request, from its arrival to its answer."""

    def __init__(self, app: LookupApp, request: Request, endpoint: str) -> None:
        self.request = request
        self.endpoint = endpoint
        self.trace: Trace | None = None
        self.request_id = b""
        self._app = app
        self._pending: PendingAnswer | None = None
        self._left = 0
        app.admission.waiting += 1

    def wait_for(self, asked: PendingAnswer) -> None:
        """Answers when all replies have arrived. Uses callbacks: a coroutine would cost as much as the lookup."""
        self._pending = asked
        pending = asked.unfinished()
        self._left = len(pending)
        for each in pending:
            each.then = self._arrived
        if not pending:
            self._finish(asked)

    def _arrived(self) -> None:
        self._left -= 1
        if not self._left and self._pending is not None:
            self._finish(self._pending)

    def _finish(self, asked: PendingAnswer) -> None:
        try:
            body = self._app.answered(asked, self.request.arrived, self.trace)
        except Exception:
            self.fail()
        else:
            self.answer(200, JSON, body)

    def refuse(self, error: BadRequestError) -> None:
        """Answers with an error of the caller."""
        headers = JSON + _retry_after(error.retry_after) if error.retry_after else JSON
        self.answer(error.status, headers, error_json(error.code, error.message))

    def fail(self) -> None:
        """Answers with an internal error, and logs the current exception."""
        log.exception("a request failed")
        self.answer(500, JSON, error_json("internal", "the request failed; the endpoint's log says why"))

    def answer(self, status: int, headers: bytes, body: bytes) -> None:
        """Answers, and counts the request."""
        self._app.admission.waiting -= 1
        # Before the answer is sent, because the next request of the connection may be waiting for it.
        self._app.metrics.requested(self.endpoint, status, perf_counter() - self.request.arrived)
        self.request.respond(status, headers, body)
        if self.trace is not None:
            self.trace.end(status)


Handler = Callable[[Exchange], None]


class LookupApp:
    """Answers the requests of one worker. `redis.url` must be set; workers share counters in `folder`."""

    def __init__(self, settings: Settings, folder: str = "") -> None:
        self._limits = settings.lookup
        self._limits_of_queries = query_limits(self._limits)
        self._worker = Worker(settings, folder)
        self._live = self._worker.live
        self.admission = self._worker.admission
        self.metrics = self._worker.metrics
        self._answering = self._worker.answering
        self._experiments = self._worker.experiments
        self._journal = self._worker.journal
        self._tracing = self._worker.tracing
        self._batches: set[asyncio.Task[None]] = set()
        # Random digits for the next request ids, drawn in bulk.
        self._ids = b""
        self._next_id = 0
        self._openapi = to_json(document(self._limits))
        self._paths: dict[str, tuple[str, str, Handler]] = {
            "/v1/recommendations": ("recommendations", "GET", self._recommend),
            BATCH: ("batch", "POST", self._recommend_batch),
            "/health/live": ("live", "GET", self._health_live),
            "/health/ready": ("ready", "GET", self._health_ready),
            "/metrics": ("metrics", "GET", self._show_metrics),
            "/openapi.json": ("openapi", "GET", self._show_openapi),
        }
        self._no_path: tuple[str, str, Handler] = ("other", "", self._not_found)

    def start(self, loop: asyncio.AbstractEventLoop, on_failure: Callable[[], object] = lambda: None) -> None:
        """Starts the background tasks; calls `on_failure` if one of them ends by itself."""
        self._worker.start(loop, on_failure)

    def stop(self, loop: asyncio.AbstractEventLoop) -> None:
        """Ends the background tasks, after the last request."""
        self._worker.stop(loop)

    async def stop_within_loop(self) -> None:
        """The same for a loop that goes on running."""
        await self._worker.end_tasks()
        await asyncio.to_thread(self._worker.finish)

    def take(self, request: Request) -> None:
        """Answers the request, at once or when Redis has replied. Raises nothing."""
        endpoint, method, handler = self._paths.get(request.path, self._no_path)
        exchange = Exchange(self, request, endpoint)
        try:
            if self._tracing is not None:
                exchange.trace = self._tracing.begin(endpoint, request)
            if request.problem is not None:
                exchange.refuse(request.problem)
            elif method and request.method != method and not (method == "GET" and request.method == "HEAD"):
                exchange.answer(*_wrong_method(method))
            else:
                handler(exchange)
        except BadRequestError as error:
            exchange.refuse(error)
        except Exception:
            exchange.fail()

    def admit_body(self, path: str, headers: Mapping[str, str]) -> None:
        """Raises BadRequestError if the caller of a batch is not admitted, whatever the body holds."""
        if path == BATCH:
            self._admitted(headers)

    def answered(self, asked: PendingAnswer, arrived: float, trace: Trace | None) -> bytes:
        """Returns the answer to a query whose replies have arrived."""
        answer = self._answering.answer(asked)
        treatment = asked.treatment
        if trace is not None:
            trace.answered(asked, answer.outcomes)
        if self._journal is not None:
            self._journal.note(asked.query, asked.release, asked.request_id, answer.picked, treatment)
        more = treatment.as_json if treatment is not None else b""
        if asked.query.explain:
            found = explanation(asked, answer, self._worker.masks, perf_counter() - arrived)
            more += b',"explain":%b' % to_json(found)
        return answer_json(asked.release, answer.picked, answer.outcomes, asked.request_id, more)

    def _recommend(self, exchange: Exchange) -> None:
        request = exchange.request
        caller = self._admitted(request.headers)
        query = parse_query_string(request.query, self._limits_of_queries)
        if query.explain:
            self.admission.check_explain(caller)
        if query.arm:
            self.admission.check_arm(caller)
        self.admission.spend(caller, 1)
        live = self._release()
        exchange.request_id = self._request_id(request.headers)
        asked = self._ask(query, live, exchange.request_id)
        if exchange.trace is not None:
            exchange.trace.name(exchange.request_id)
            exchange.trace.asked(asked)
        exchange.wait_for(asked)

    def _ask(self, query: RecommendationQuery, live: ServedRelease, request_id: bytes) -> PendingAnswer:
        """Sends the reads of a query, as the experiments in force treat it. Raises BadRequestError."""
        release, treatment = live, self._experiments.plan.treatment(query, request_id)
        if treatment is not None:
            if treatment.scene is not None:
                query.put_into(treatment.scene)
            if treatment.release != LIVE:
                # Until the arm's release is loaded, the live one answers; the visitor is in the arm all the same.
                release = self._worker.named.served(treatment.release) or live
        return self._answering.ask(query, release, request_id, treatment)

    def _recommend_batch(self, exchange: Exchange) -> None:
        request = exchange.request
        caller = self._admitted(request.headers)
        if request.query:
            raise BadRequestError(400, "unknown_parameter", "a batch has no URL parameters; put them into the body")
        requests = parse_batch(request.body, self._limits)
        if any([isinstance(each, dict) and each.get("explain") for each in requests]):
            self.admission.check_explain(caller)
        if any([isinstance(each, dict) and each.get("arm") for each in requests]):
            self.admission.check_arm(caller)
        self.admission.spend(caller, len(requests))
        release = self._release()
        exchange.request_id = self._request_id(request.headers)
        if exchange.trace is not None:
            exchange.trace.name(exchange.request_id)
        task = asyncio.get_running_loop().create_task(self._answer_batch(exchange, requests, release))
        self._batches.add(task)
        task.add_done_callback(self._batches.discard)

    async def _answer_batch(self, exchange: Exchange, requests: list[Any], release: ServedRelease) -> None:
        try:
            body = await self._batch(exchange, requests, release)
        except Exception:
            exchange.fail()
        else:
            exchange.answer(200, JSON, body)

    async def _batch(self, exchange: Exchange, requests: list[Any], release: ServedRelease) -> bytes:
        """Answers some queries at a time, so that neither Redis nor the event loop is kept from other visitors."""
        answers: list[bytes] = []
        turn = Turn()
        while len(answers) < len(requests):
            number = len(answers)
            for pending in await self._ask_some(exchange, requests, number, release, turn):
                if isinstance(pending, bytes):
                    answers.append(pending)
                    continue
                for replies in pending.unfinished():
                    await replies_to(replies)
                body = self.answered(pending, exchange.request.arrived, exchange.trace)
                answers.append(b'{"answer":%b}' % body)
                await turn.share()
        return b'{"responses":[%b]}' % b",".join(answers)

    async def _ask_some(
        self, exchange: Exchange, requests: list[Any], begin: int, release: ServedRelease, turn: Turn
    ) -> list[PendingAnswer | bytes]:
        """Returns queries on their way, or their errors, from `begin` on until they sent COMMANDS_AT_ONCE commands."""
        asked: list[PendingAnswer | bytes] = []
        commands = 0
        for number in range(begin, len(requests)):
            try:
                query = parse_json_query(requests[number], self._limits_of_queries)
                pending = self._ask(query, release, b"%b-%d" % (exchange.request_id, number))
            except BadRequestError as error:
                asked.append(error_json(error.code, error.message))
            else:
                asked.append(pending)
                commands += sum([replies.left for replies in pending.unfinished()])
                if exchange.trace is not None:
                    exchange.trace.asked(pending)
            if commands >= COMMANDS_AT_ONCE:
                break
            await turn.share()
        return asked

    def _admitted(self, headers: Mapping[str, str]) -> str:
        """The caller's name. Raises BadRequestError."""
        self.admission.check_load()
        return self.admission.caller(headers.get(HEADER))

    def _release(self) -> ServedRelease:
        release = self._live.current
        if release is None:
            message = f"no release is loaded: {self._live.problem}; try again shortly"
            raise BadRequestError(503, "no_release", message, math.ceil(self._limits.pointer_seconds))
        return release

    def _request_id(self, headers: Mapping[str, str]) -> bytes:
        given = headers.get("x-request-id")
        if given and SANE_ID(given):
            return given.encode()
        if self._next_id == len(self._ids):
            self._ids, self._next_id = os.urandom(IDS_DRAWN * ID_DIGITS // 2).hex().encode(), 0
        self._next_id += ID_DIGITS
        return self._ids[self._next_id - ID_DIGITS : self._next_id]

    def _health_live(self, exchange: Exchange) -> None:
        exchange.answer(200, JSON, b'{"live":true}')

    def _health_ready(self, exchange: Exchange) -> None:
        readiness = self._worker.readiness()
        if readiness["ready"]:
            exchange.answer(200, JSON, to_json(readiness))
        else:
            retry = _retry_after(math.ceil(self._limits.pointer_seconds))
            exchange.answer(503, JSON + retry, to_json(readiness))

    def _show_metrics(self, exchange: Exchange) -> None:
        self.admission.check_metrics(exchange.request.headers.get(HEADER))
        exchange.answer(200, TEXT, render(self._worker.series()))

    def _show_openapi(self, exchange: Exchange) -> None:
        exchange.answer(200, JSON, self._openapi)

    def _not_found(self, exchange: Exchange) -> None:
        message = f"there is no such path; the paths are {', '.join(self._paths)}"
        exchange.answer(404, JSON, error_json("not_found", message))


def _retry_after(seconds: int) -> bytes:
    return b"retry-after: %d\r\n" % seconds


def _wrong_method(method: str) -> Response:
    allowed = "GET, HEAD" if method == "GET" else method
    return (
        405,
        JSON + b"allow: %b\r\n" % allowed.encode(),
        error_json("method_not_allowed", f"this path takes {allowed}"),
    )
