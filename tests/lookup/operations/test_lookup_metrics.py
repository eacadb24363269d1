"""What `/metrics` says."""

from __future__ import annotations

from pathlib import Path

import pytest
from lookup_servers import Endpoint

from larder.lookup.answer.routes import ROUTES
from larder.lookup.answer.routing import NO_OUTCOMES
from larder.lookup.operations.metrics import BOUNDS, Metrics, SharedCounters, label, render


def test_a_histogram_counts_up_to_each_bound() -> None:
    metrics = Metrics()
    for seconds in (BOUNDS[0], BOUNDS[0] * 1.01, BOUNDS[-1] * 2):
        metrics.requested("batch", 200, seconds)
    text = render(metrics.series()).decode()
    name = 'larder_lookup_request_seconds_bucket{endpoint="batch",le='
    assert f'{name}"{BOUNDS[0]}"}} 1\n' in text
    assert f'{name}"{BOUNDS[1]}"}} 2\n' in text
    assert f'{name}"{BOUNDS[-1]}"}} 2\n' in text
    assert f'{name}"+Inf"}} 3\n' in text
    assert 'larder_lookup_request_seconds_count{endpoint="batch"} 3\n' in text


def test_each_family_has_its_type_once_and_before_its_series() -> None:
    metrics = Metrics()
    metrics.requested("batch", 200, 0.1)
    metrics.requested("live", 200, 0.1)
    metrics.answered(NO_OUTCOMES.with_route("generic", "used", "", "all"))
    lines = render(metrics.series()).decode().splitlines()
    types = [line.split()[2] for line in lines if line.startswith("# TYPE")]
    assert len(types) == len(set(types)) == 6
    family = ""
    for line in lines:
        if line.startswith("# TYPE"):
            family = line.split()[2]
        elif not line.startswith("#"):
            assert line.startswith(family)


def test_workers_add_up(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("larder.lookup.operations.metrics.os.getpid", lambda: 1)
    first = SharedCounters(str(tmp_path))
    monkeypatch.setattr("larder.lookup.operations.metrics.os.getpid", lambda: 2)
    second = SharedCounters(str(tmp_path))
    first.publish({"a": 1})
    second.publish({"a": 5, "b": 2})
    # One's own are those of this moment, not those left last.
    assert first.totals({"a": 3}) == {"a": 8, "b": 2}


def test_labels_are_escaped() -> None:
    assert label('a"b\\c\nd') == r"a\"b\\c\nd"


def asked_of_redis(endpoint: Endpoint) -> dict[str, int]:
    """Questions to Redis by route, so far."""
    lines = [line.rpartition(" ") for line in endpoint.client.get("/metrics").text.splitlines()]
    counts = {name: int(value) for name, _, value in lines if name.startswith("larder_lookup_route_seconds_count")}
    return {route: counts[f'larder_lookup_route_seconds_count{{route="{route}"}}'] for route in ROUTES}


@pytest.mark.end_to_end
def test_a_route_is_timed_where_redis_was_asked(endpoint: Endpoint) -> None:
    before = asked_of_redis(endpoint)
    endpoint.ask("cookie=c1&product=timed-1&location=zone1")
    # What became of the product is known in process now, and all generic lists are there.
    endpoint.ask("cookie=c1&product=timed-1&location=zone1")
    endpoint.ask("location=zone1")
    after = asked_of_redis(endpoint)
    assert {route: after[route] - before[route] for route in ROUTES} == {"personal": 2, "similar": 1, "generic": 0}
