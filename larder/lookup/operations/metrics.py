"""What `/metrics` tells, in Prometheus's text format; counted in plain dictionaries, formatted when asked."""

from __future__ import annotations

import json
import os
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import final

from larder.lookup.answer.routes import ROUTES
from larder.lookup.answer.routing import RouteOutcomes

BOUNDS = (0.0005, 0.001, 0.002, 0.005, 0.01, 0.02, 0.05, 0.1, 0.2, 0.5)
# A near Redis replies sooner than a whole request takes.
ROUTE_BOUNDS = (0.0001, 0.0002, *BOUNDS)
# Name of a series with its labels, such as `larder_lookup_requests_total{endpoint="batch",status="200"}`.
Series = dict[str, float]

FAMILIES = {
    "larder_lookup_requests_total": ("counter", "Requests by endpoint and HTTP status."),
    "larder_lookup_request_seconds": ("histogram", "Seconds from a request's arrival to its answer."),
    "larder_lookup_route_seconds": (
        "histogram",
        "Seconds from sending a route's question to Redis until its replies came or were given up; "
        "what is answered from process is not counted.",
    ),
    "larder_lookup_routes_total": ("counter", "What became of each route of each answer."),
    "larder_lookup_seen_unknown_total": ("counter", "Answers without what the visitor is not to be shown."),
    "larder_lookup_journey_written_total": ("counter", "Answers in finished files of the journey log."),
    "larder_lookup_journey_delivered_total": ("counter", "Answers whose events Kafka has acknowledged."),
    "larder_lookup_journey_dropped_total": ("counter", "Answers that the journey log, or Kafka, does not hold."),
    "larder_lookup_spans_total": ("counter", "Spans of traces that the collector took, and lost ones."),
    "larder_lookup_release_loads_total": ("counter", "Releases that went live, and refused ones."),
    "larder_lookup_redis_reconnects_total": ("counter", "Connections to Redis that were lost."),
    "larder_lookup_redis_up": ("gauge", "1 while Redis replies within the deadline."),
    "larder_lookup_breaker_open": ("gauge", "1 while questions are kept from a route that failed."),
    "larder_lookup_masked_products": ("gauge", "Products that nobody is shown."),
    "larder_lookup_release_age_seconds": ("gauge", "Seconds since the last event the release knows."),
    "larder_lookup_release_info": ("gauge", "1 for the release that is served."),
}


@final
class Histogram:
    """How often something took how long."""

    __slots__ = ("_bounds", "_counts", "_seconds")

    def __init__(self, bounds: Sequence[float]) -> None:
        """`bounds` in seconds, rising; what takes longer than the last is counted too."""
        self._bounds = list(bounds)
        self._counts = [0] * (len(bounds) + 1)
        self._seconds = 0.0

    def add(self, seconds: float) -> None:
        """Counts one."""
        bounds, place = self._bounds, 0
        while place < len(bounds) and bounds[place] < seconds:
            place += 1
        self._counts[place] += 1
        self._seconds += seconds

    def series(self, name: str, labels: str) -> Series:
        """As Prometheus has it: each bucket holds those before it. `labels` such as `route="similar"`."""
        total, found = 0, {}
        for bound, count in zip((*map(str, self._bounds), "+Inf"), self._counts, strict=True):
            total += count
            found[f'{name}_bucket{{{labels},le="{bound}"}}'] = float(total)
        found[f"{name}_sum{{{labels}}}"] = self._seconds
        found[f"{name}_count{{{labels}}}"] = total
        return found


@final
class EndpointCounters:
    """Those of one endpoint."""

    def __init__(self) -> None:
        self.statuses: dict[int, int] = {}
        self.times = Histogram(BOUNDS)


@final
class Metrics:
    """Counters of one worker. `route_times`: by route, how long Redis took to reply."""

    def __init__(self) -> None:
        self._requests: dict[str, EndpointCounters] = {}
        self._outcomes: dict[RouteOutcomes, int] = {}
        self.route_times = {route: Histogram(ROUTE_BOUNDS) for route in ROUTES}
        self._unseen = 0

    def requested(self, endpoint: str, status: int, seconds: float) -> None:
        """Counts one request."""
        requests = self._requests.get(endpoint)
        if requests is None:
            requests = self._requests[endpoint] = EndpointCounters()
        requests.statuses[status] = requests.statuses.get(status, 0) + 1
        requests.times.add(seconds)

    def answered(self, outcomes: RouteOutcomes) -> None:
        """Counts what became of the routes of one answer."""
        self._outcomes[outcomes] = self._outcomes.get(outcomes, 0) + 1

    def unseen(self) -> None:
        """Counts an answer for which it is not known what the visitor must not be shown."""
        self._unseen += 1

    def series(self) -> Series:
        """All counters by name and labels."""
        found: Series = {"larder_lookup_seen_unknown_total": self._unseen}
        for endpoint, requests in self._requests.items():
            for status, count in requests.statuses.items():
                found[f'larder_lookup_requests_total{{endpoint="{endpoint}",status="{status}"}}'] = count
            found.update(requests.times.series("larder_lookup_request_seconds", f'endpoint="{endpoint}"'))
        for outcomes, count in self._outcomes.items():
            for outcome in outcomes.each:
                labels = ",".join(f'{name}="{value or "none"}"' for name, value in outcome._asdict().items())
                series = f"larder_lookup_routes_total{{{labels}}}"
                found[series] = found.get(series, 0) + count
        for route, times in self.route_times.items():
            found.update(times.series("larder_lookup_route_seconds", f'route="{route}"'))
        return found


class SharedCounters:
    """Counters of all workers of one server, whichever of them is asked: each leaves its own in a file."""

    def __init__(self, folder: str) -> None:
        self._folder = Path(folder)
        self._own = f"{os.getpid()}.json"

    def publish(self, own: Series) -> None:
        """Leaves this worker's counters for the others."""
        unfinished = self._folder / f"{self._own}.part"
        unfinished.write_text(json.dumps(own))
        unfinished.replace(self._folder / self._own)

    def totals(self, own: Series) -> Series:
        """This worker's counters plus what the others, also those that ended, left last."""
        sums = dict(own)
        for file in self._folder.glob("*.json"):
            if file.name != self._own:
                for name, value in json.loads(file.read_text()).items():
                    sums[name] = sums.get(name, 0) + value
        return sums


def render(series: Mapping[str, float]) -> bytes:
    """Prometheus text format 0.0.4. Only series of FAMILIES are known."""
    lines: dict[str, list[str]] = {family: [] for family in FAMILIES}
    for name, value in series.items():
        family = name.partition("{")[0]
        if family not in lines:
            family = family.rpartition("_")[0]
        lines[family].append(f"{name} {value:.10g}")
    text = []
    for family, (kind, help_text) in FAMILIES.items():
        if lines[family]:
            text += [f"# HELP {family} {help_text}", f"# TYPE {family} {kind}", *lines[family]]
    return ("\n".join(text) + "\n").encode()


def label(text: str) -> str:
    """A value as it must stand between a label's quotation marks."""
    return text.replace("\\", "\\\\").replace('"', '\\"').replace("\n", "\\n")
