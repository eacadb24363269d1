"""Traces a share of the requests for an OpenTelemetry collector. Imported only if `lookup.traces` is set.

During a request only times are recorded. Spans are made after the answer, and a thread sends them. No answer waits for
the collector: spans that it does not take in time are dropped and counted.
"""

from __future__ import annotations

import asyncio
import os
import random
import re
import threading
from collections import Counter
from collections.abc import Sequence
from time import perf_counter_ns, time_ns
from urllib.parse import urlsplit

from opentelemetry.context import Context
from opentelemetry.exporter.otlp.proto.http.trace_exporter import OTLPSpanExporter
from opentelemetry.sdk.resources import Resource
from opentelemetry.sdk.trace import ReadableSpan, TracerProvider
from opentelemetry.sdk.trace.export import BatchSpanProcessor, SpanExporter, SpanExportResult
from opentelemetry.sdk.trace.sampling import ALWAYS_ON
from opentelemetry.trace import SpanKind, StatusCode, Tracer, set_span_in_context
from opentelemetry.trace.propagation.tracecontext import TraceContextTextMapPropagator

from larder.lookup.answer.answering import PendingAnswer
from larder.lookup.answer.routes import GENERIC, PERSONAL, SIMILAR
from larder.lookup.answer.routing import RouteOutcomes
from larder.lookup.http.request import Request
from larder.lookup.redis.redis_connection import PendingReplies

PATHS = {"recommendations": "/v1/recommendations", "batch": "/v1/recommendations:batch"}
# Callers without a key must not be able to fill the collector.
UNTRACED_STATUSES = (401, 405)

EXPORT_SECONDS = 5.0  # the time limit for sending one batch of spans
EVERY_MILLISECONDS = 1000
# Encoding such a batch holds the interpreter lock, and so the event loop, for some 2 ms.
BATCH = 64
MAX_WAITING_SPANS = 1000
STOP_SECONDS = 1.0

# https://www.w3.org/TR/trace-context/#traceparent-header: version, trace id, parent id, flags; zeros are invalid.
TRACEPARENT = re.compile(r"(?!ff)[0-9a-f]{2}-(?!0{32})[0-9a-f]{32}-(?!0{16})[0-9a-f]{16}-([0-9a-f]{2})(-.*)?").fullmatch
SAMPLED = 1
NANOSECONDS = 1_000_000_000

Attributes = dict[str, str | int | float]


class Tracing:
    """The tracer of one worker. `sent` and `lost` count spans."""

    def __init__(self, collector: str, share: float) -> None:
        """`collector` is a URL, by default with OTLP's path. `share` of requests without `traceparent` are traced."""
        endpoint = collector if urlsplit(collector).path.strip("/") else f"{collector.rstrip('/')}/v1/traces"
        self._share = share
        self._random = random.Random(os.urandom(32)).random
        self._propagator = TraceContextTextMapPropagator()
        self._exporter = CountingExporter(OTLPSpanExporter(endpoint, timeout=EXPORT_SECONDS))
        resource = Resource.create({"service.name": "larder-lookup", "process.pid": os.getpid()})
        self._provider = TracerProvider(ALWAYS_ON, resource, shutdown_on_exit=False)
        self._provider.add_span_processor(
            # A full queue would drop spans without counting them; `make` keeps it from filling up.
            BatchSpanProcessor(
                self._exporter,
                max_queue_size=2 * MAX_WAITING_SPANS,
                schedule_delay_millis=EVERY_MILLISECONDS,
                max_export_batch_size=BATCH,
            )
        )
        self._tracer = self._provider.get_tracer("larder.lookup")
        self._made = 0
        self._unmade = 0
        # The difference between perf_counter_ns and nanoseconds since 1970.
        self._epoch = time_ns() - perf_counter_ns()

    @property
    def sent(self) -> int:
        """The number of spans that the collector accepted."""
        return self._exporter.sent

    @property
    def lost(self) -> int:
        """The number of spans that were rejected or dropped."""
        return self._exporter.failed + self._unmade

    def begin(self, endpoint: str, request: Request) -> Trace | None:
        """Returns a trace if the request is sampled: by its `traceparent` if it has one, else at random."""
        if endpoint not in PATHS:
            return None
        parent = None
        given = request.headers.get("traceparent")
        if given and (found := TRACEPARENT(given)) is not None:
            if not int(found[1], 16) & SAMPLED:
                return None
            parent = self._propagator.extract(
                {"traceparent": given, "tracestate": request.headers.get("tracestate") or ""}
            )
        elif self._random() >= self._share:
            return None
        return Trace(self, request.method, PATHS[endpoint], parent)

    def make(self, trace: Trace, status: int) -> None:
        """Makes the spans of a request that was answered."""
        spans = 1 + len(trace.questions)
        if self._made - self._exporter.sent - self._exporter.failed + spans > MAX_WAITING_SPANS:
            self._unmade += spans
            return
        self._made += spans
        tracer, epoch = self._tracer, self._epoch
        span = tracer.start_span(
            f"{trace.method} {trace.path}",
            trace.parent,
            SpanKind.SERVER,
            trace.attributes(status),
            start_time=epoch + trace.began,
        )
        if status >= 500:
            span.set_status(StatusCode.ERROR)
        within = set_span_in_context(span, Context())
        for route, question in trace.questions.items():
            question.make(tracer, within, route, epoch)
        span.end(epoch + trace.ended)

    def stop(self) -> None:
        """Sends what is left, but waits for no collector that is slow."""
        end = threading.Thread(target=self._provider.shutdown, daemon=True)
        end.start()
        end.join(STOP_SECONDS)


class RouteReads:
    """The reads of one route during a request, from the first read to the last reply."""

    __slots__ = ("asked", "began")

    def __init__(self, began: int) -> None:
        self.began = began
        self.asked: list[PendingReplies] = []

    def make(self, tracer: Tracer, within: Context, route: str, epoch: int) -> None:
        """Its span, of which all replies are there."""
        attributes: Attributes = {
            "db.system.name": "redis",
            "larder.route": route,
            "larder.questions": len(self.asked),
        }
        span = tracer.start_span(f"redis {route}", within, SpanKind.CLIENT, attributes, start_time=epoch + self.began)
        problem = next((each.result for each in self.asked if isinstance(each.result, str)), "")
        if problem:
            span.set_status(StatusCode.ERROR, problem)
        ended = max(int(each.ended * NANOSECONDS) for each in self.asked)
        span.end(epoch + max(ended, self.began))


class Trace:
    """The record of one traced request. Times are perf_counter_ns."""

    __slots__ = (
        "_outcomes",
        "_release",
        "_request_id",
        "_tracing",
        "_wanted",
        "began",
        "ended",
        "method",
        "parent",
        "path",
        "questions",
    )

    def __init__(self, tracing: Tracing, method: str, path: str, parent: Context | None) -> None:
        self.began = self.ended = perf_counter_ns()
        self.method = method
        self.path = path
        self.parent = parent
        self.questions: dict[str, RouteReads] = {}
        self._tracing = tracing
        self._request_id = ""
        self._release = ""
        self._wanted = 0
        self._outcomes: list[RouteOutcomes] = []

    def name(self, request_id: bytes) -> None:
        """Sets the request id, which the answer contains too."""
        self._request_id = request_id.decode()

    def asked(self, pending: PendingAnswer) -> None:
        """Records that a query was just sent to Redis."""
        now = perf_counter_ns()
        for route, sent in (
            (PERSONAL, pending.cookie_replies),
            (SIMILAR, pending.product_replies),
            (GENERIC, pending.context_replies),
        ):
            if isinstance(sent, PendingReplies):
                if route not in self.questions:
                    self.questions[route] = RouteReads(now)
                self.questions[route].asked.append(sent)

    def answered(self, pending: PendingAnswer, outcomes: RouteOutcomes) -> None:
        """Records the answer to a query."""
        self._release = pending.release.name
        self._wanted += pending.query.n
        self._outcomes.append(outcomes)

    def end(self, status: int) -> None:
        """Records the end of the request, and makes its spans after other waiting work."""
        self.ended = perf_counter_ns()
        if status not in UNTRACED_STATUSES:
            asyncio.get_running_loop().call_soon(self._tracing.make, self, status)

    def attributes(self, status: int) -> Attributes:
        """Returns the attributes of the request's span, without visitor or product ids."""
        found: Attributes = {
            "http.request.method": self.method,
            "http.route": self.path,
            "http.response.status_code": status,
        }
        if self._request_id:
            found["larder.request_id"] = self._request_id
        if self._outcomes:
            found["larder.release"] = self._release
            found["larder.n"] = self._wanted
            found["larder.questions"] = len(self._outcomes)
            found.update(_totals(self._outcomes) if self.path == PATHS["batch"] else _told(self._outcomes[0]))
        return found


class CountingExporter(SpanExporter):
    """Wraps an exporter and counts spans. Used by one thread."""

    def __init__(self, exporter: SpanExporter) -> None:
        self._exporter = exporter
        self.sent = 0
        self.failed = 0

    def export(self, spans: Sequence[ReadableSpan]) -> SpanExportResult:
        result = SpanExportResult.FAILURE
        try:
            result = self._exporter.export(spans)
        finally:
            if result is SpanExportResult.SUCCESS:
                self.sent += len(spans)
            else:
                self.failed += len(spans)
        return result

    def shutdown(self) -> None:
        self._exporter.shutdown()


def _told(outcomes: RouteOutcomes) -> Attributes:
    """Returns the outcome of each route of one query."""
    return {
        f"larder.route.{outcome.route}.{name}": value
        for outcome in outcomes.each
        for name, value in (("status", outcome.status), ("reason", outcome.reason), ("level", outcome.level))
        if value
    }


def _totals(outcomes: Sequence[RouteOutcomes]) -> Attributes:
    """Returns the number of occurrences of each status and reason in a batch."""
    named = [one for each in outcomes for one in each.each]
    statuses = Counter(f"larder.route.{one.route}.{one.status}" for one in named)
    reasons = Counter(f"larder.route.{one.route}.{one.reason}" for one in named if one.reason)
    return {**statuses, **reasons}
