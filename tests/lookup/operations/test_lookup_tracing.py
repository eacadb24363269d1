"""Traces, at a collector that takes OTLP over HTTP, and at some that do not."""

from __future__ import annotations

import asyncio
import socket
import threading
from collections.abc import Callable, Iterator
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pytest
from lookup_servers import Endpoint, RedisServer, wait_until
from ports import free_port

pytest.importorskip("opentelemetry")  # of the extra traces, whose protobuf TensorFlow 2.16 does not allow

from opentelemetry.proto.collector.trace.v1.trace_service_pb2 import ExportTraceServiceRequest
from opentelemetry.proto.common.v1.common_pb2 import AnyValue
from opentelemetry.proto.trace.v1.trace_pb2 import Span, Status

from larder.lookup.operations.tracing import MAX_WAITING_SPANS, Tracing
from larder.settings import SettingsError, load_settings

TRACE, PARENT = "4bf92f3577b34da6a3ce929d0e0e4736", "00f067aa0ba902b7"
SAMPLED = f"00-{TRACE}-{PARENT}-01"
PATH = "/v1/recommendations"


class Collector:
    """Takes spans, and keeps them parsed."""

    def __init__(self) -> None:
        self.requests: list[ExportTraceServiceRequest] = []
        self.paths: set[str] = set()
        collector = self

        class Handler(BaseHTTPRequestHandler):
            def do_POST(self) -> None:
                body = self.rfile.read(int(self.headers["content-length"]))
                collector.paths.add(self.path)
                collector.requests.append(ExportTraceServiceRequest.FromString(body))
                self.send_response(200)
                self.send_header("content-length", "0")
                self.end_headers()

            def log_message(self, *_: Any) -> None:
                pass

        self.server = ThreadingHTTPServer(("127.0.0.1", 0), Handler)
        self.url = f"http://127.0.0.1:{self.server.server_port}"
        threading.Thread(target=self.server.serve_forever, daemon=True).start()

    def spans(self) -> list[Span]:
        return [
            span
            for request in self.requests
            for resource in request.resource_spans
            for scope in resource.scope_spans
            for span in scope.spans
        ]

    def trace(self, request_id: str) -> tuple[Span, dict[str, Span]]:
        """The span of a request, waited for, and those below it by name."""
        [root] = wait_until(
            lambda: [span for span in self.spans() if told(span).get("larder.request_id") == request_id]
        )
        below = [span for span in self.spans() if span.parent_span_id == root.span_id]
        return root, {span.name: span for span in below}


def told(span: Span) -> dict[str, Any]:
    return {each.key: value(each.value) for each in span.attributes}


def value(given: AnyValue) -> Any:
    return getattr(given, str(given.WhichOneof("value")))


@pytest.fixture(scope="module")
def collector() -> Iterator[Collector]:
    made = Collector()
    yield made
    made.server.shutdown()


@pytest.fixture(scope="module")
def traced(redis_server: RedisServer, collector: Collector) -> Iterator[Endpoint]:
    """Traces only what its callers want traced."""
    served = Endpoint(redis_server.url, traces=collector.url, trace_share=0)
    served.wait_ready("r1")
    yield served
    assert served.stop() == 0


@pytest.mark.end_to_end
def test_a_callers_trace_goes_on_here(traced: Endpoint, collector: Collector) -> None:
    headers = {"traceparent": SAMPLED, "tracestate": "shop=1", "X-Request-Id": "page-1"}
    traced.ask("cookie=c1&product=p1&location=zone1&n=4", **headers)
    span, below = collector.trace("page-1")
    assert collector.paths == {"/v1/traces"}
    assert (span.trace_id.hex(), span.parent_span_id.hex(), span.trace_state) == (TRACE, PARENT, "shop=1")
    assert (span.name, span.kind) == (f"GET {PATH}", Span.SPAN_KIND_SERVER)
    assert told(span) == {
        "http.request.method": "GET",
        "http.route": PATH,
        "http.response.status_code": 200,
        "larder.request_id": "page-1",
        "larder.release": "r1",
        "larder.n": 4,
        "larder.questions": 1,
        "larder.route.similar.status": "used",
        "larder.route.personal.status": "filled",
        "larder.route.generic.status": "skipped",
        "larder.route.generic.reason": "not_needed",
    }
    assert set(below) == {"redis personal", "redis similar"}
    for route in ("personal", "similar"):
        question = below[f"redis {route}"]
        assert (question.trace_id.hex(), question.kind) == (TRACE, Span.SPAN_KIND_CLIENT)
        assert told(question) == {"db.system.name": "redis", "larder.route": route, "larder.questions": 1}
        assert span.start_time_unix_nano < question.start_time_unix_nano < question.end_time_unix_nano
        assert question.end_time_unix_nano <= span.end_time_unix_nano
    [resource] = {request.resource_spans[0].resource.SerializeToString() for request in collector.requests}
    assert b"larder-lookup" in resource


@pytest.mark.end_to_end
def test_a_batch_is_one_span_with_totals(traced: Endpoint, collector: Collector) -> None:
    asked = [
        {"cookie": "c1", "n": 1},
        {"cookie": "nobody", "n": 2},
        {"cookie": "c1", "product": "p5", "n": 1},
        {"n": 0},
    ]
    headers = {"traceparent": SAMPLED, "X-Request-Id": "mail-1"}
    assert traced.client.post(f"{PATH}:batch", json={"requests": asked}, headers=headers).status_code == 200
    span, below = collector.trace("mail-1")
    assert span.name == f"POST {PATH}:batch"
    assert {
        name: count for name, count in told(span).items() if name.startswith(("larder.n", "larder.q", "larder.r"))
    } == {
        "larder.request_id": "mail-1",
        "larder.release": "r1",
        "larder.n": 4,
        "larder.questions": 3,
        "larder.route.personal.used": 1,
        "larder.route.personal.skipped": 2,
        "larder.route.personal.unknown_cookie": 1,
        "larder.route.personal.not_needed": 1,
        "larder.route.similar.used": 1,
        "larder.route.similar.skipped": 2,
        "larder.route.similar.no_product": 2,
        "larder.route.generic.used": 1,
        "larder.route.generic.skipped": 2,
        "larder.route.generic.not_needed": 2,
    }
    assert told(below["redis personal"])["larder.questions"] == 3


@pytest.mark.end_to_end
def test_only_what_callers_want_is_traced(traced: Endpoint, collector: Collector) -> None:
    unwanted = [
        {},
        {"traceparent": SAMPLED[:-1] + "0"},
        {"traceparent": SAMPLED[:-1]},
        {"traceparent": f"00-{'0' * 32}-{PARENT}-01"},
        {"traceparent": f"00-{TRACE}-{'0' * 16}-01"},
        {"traceparent": f"ff-{TRACE}-{PARENT}-01"},
        {"traceparent": "x" * 5000},
    ]
    for number, headers in enumerate(unwanted):
        traced.ask("cookie=c1", **{"X-Request-Id": f"unwanted-{number}", **headers})
    assert traced.client.get("/health/live", headers={"traceparent": SAMPLED}).status_code == 200
    assert traced.client.post(PATH, headers={"traceparent": SAMPLED}).status_code == 405
    refused = traced.client.get(f"{PATH}?colour=red", headers={"traceparent": SAMPLED})
    assert refused.status_code == 400
    traced.ask("cookie=c1", **{"traceparent": SAMPLED, "X-Request-Id": "wanted"})
    collector.trace("wanted")
    ids = {told(span).get("larder.request_id", "") for span in collector.spans()}
    assert not any(str(each).startswith("unwanted") for each in ids)
    statuses = {told(span).get("http.response.status_code") for span in collector.spans()}
    assert statuses == {200, 400, None}
    sent = wait_until(lambda: spans_of(traced)["sent"])
    assert spans_of(traced) == {"sent": sent, "lost": 0}


def spans_of(served: Endpoint) -> dict[str, int]:
    """Spans by what became of them."""
    lines = [line for line in served.client.get("/metrics").text.splitlines() if line.startswith("larder_lookup_spans")]
    return {line.split('"')[1]: int(line.rpartition(" ")[2]) for line in lines}


@pytest.mark.end_to_end
@pytest.mark.parametrize("trouble", ["down", "silent"])
def test_a_collector_in_trouble_costs_no_answer(
    trouble: str,
    redis_server: RedisServer,
    own_endpoint: Callable[..., Endpoint],
    monkeypatch: pytest.MonkeyPatch,
    tmp_path: Path,
) -> None:
    monkeypatch.setenv("OTEL_EXPORTER_OTLP_HEADERS", "key-without-a-name")
    with socket.socket() as listener:
        listener.bind(("127.0.0.1", 0))
        listener.listen()
        port = listener.getsockname()[1] if trouble == "silent" else free_port()
        log = tmp_path / "log"
        served = own_endpoint(redis_server.url, log=log, traces=f"http://127.0.0.1:{port}", trace_share=1)
        served.wait_ready("r1")
        # Three spans each: more than may wait for a collector.
        for number in range(MAX_WAITING_SPANS // 3 + 20):
            answer = served.ask(f"cookie=c1&product=traced-{number}")
            assert {each["reason"] for each in answer["routes"]} == {"unknown_product", None}
        assert spans_of(served)["lost"] >= 3
        assert spans_of(served)["sent"] == 0
        if trouble == "down":
            wait_until(lambda: "Transient error" in log.read_text())
        assert served.stop() == 0
        # Trouble is told, but not for every batch of spans, and no key.
        assert "key-without-a-name" not in log.read_text()
        assert sum("exporting" in line for line in log.read_text().splitlines()) <= 1


def test_the_share_and_the_statuses_that_are_traced() -> None:
    collector = Collector()

    async def run() -> None:
        for path in ("", "/own/path"):
            tracing = Tracing(collector.url + path, 0.25)
            begun = [tracing.begin("recommendations", scope) for _ in range(4000)]
            traces = [trace for trace in begun if trace is not None]
            # Six standard deviations about the mean.
            assert abs(len(traces) - 1000) < 170
            for trace, status in zip(traces, (200, 401, 405, 429, 503), strict=False):
                trace.name(f"{status}{path}".encode())
                trace.end(status)
            await asyncio.sleep(0)
            tracing.stop()
            assert (tracing.sent, tracing.lost) == (3, 0)

    scope = SimpleNamespace(method="GET", headers={})
    asyncio.run(run())
    for path in ("", "/own/path"):
        found = {status: collector.trace(f"{status}{path}")[0].status.code for status in (200, 429, 503)}
        assert found == {200: Status.STATUS_CODE_UNSET, 429: Status.STATUS_CODE_UNSET, 503: Status.STATUS_CODE_ERROR}
    assert collector.paths == {"/v1/traces", "/own/path"}
    collector.server.shutdown()


@pytest.mark.parametrize(
    "wrong",
    ["127.0.0.1:4318", "grpc://127.0.0.1:4317", "http://", "http://me:4secret@host", "http://host/?key=4secret"],
)
def test_a_collector_that_is_none_is_refused(wrong: str, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("LARDER_LOOKUP__TRACES", wrong)
    with pytest.raises(SettingsError, match=r"lookup\.traces") as refused:
        load_settings()
    assert "4secret" not in str(refused.value)
