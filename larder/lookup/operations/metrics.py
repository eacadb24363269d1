"""The metrics of the endpoint, counted in plain dictionaries and rendered in Prometheus's text format on request."""

from __future__ import annotations

import json
import os
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import final

from larder.lookup.answer.reasons import UNKNOWN_COOKIE
from larder.lookup.answer.routes import PERSONAL, ROUTES, SKIPPED
from larder.lookup.answer.routing import RouteOutcomes

BOUNDS = (0.0005, 0.001, 0.002, 0.005, 0.01, 0.02, 0.05, 0.1, 0.2, 0.5)
# Redis replies sooner than a whole request takes.
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
    "larder_lookup_routes_total": ("counter", "Routes of answers by status, reason and level."),
    "larder_lookup_seen_unknown_total": ("counter", "Answers for which the visitor's seen products were not known."),
    "larder_lookup_seen_cut_total": ("counter", "Answers for which the visitor had seen more products than are read."),
    "larder_lookup_journey_written_total": ("counter", "Answers in finished files of the journey log."),
    "larder_lookup_journey_delivered_total": ("counter", "Answers whose events Kafka has acknowledged."),
    "larder_lookup_journey_dropped_total": ("counter", "Answers that are not in the journey log, by reason."),
    "larder_lookup_spans_total": ("counter", "Spans sent to the collector, and lost ones."),
    "larder_lookup_release_loads_total": ("counter", "Releases that went live, and refused ones."),
    "larder_lookup_redis_reconnects_total": ("counter", "Connections to Redis that were lost."),
    "larder_lookup_redis_up": ("gauge", "1 while Redis replies within the deadline."),
    "larder_lookup_breaker_open": ("gauge", "1 while a failing route is skipped."),
    "larder_lookup_release_losses": (
        "gauge",
        "Records or keys of the live release that are missing in Redis, by part.",
    ),
    "larder_lookup_release_sound": ("gauge", "1 while the last check of the live release found nothing missing."),
    "larder_lookup_unknown_cookies": ("gauge", "Share of cookies without a list, in the last seconds."),
    "larder_lookup_masked_products": ("gauge", "Products that are masked for every visitor."),
    "larder_lookup_release_age_seconds": ("gauge", "Seconds since the last event hour of the release."),
    "larder_lookup_experiments_sound": ("gauge", "1 while the experiments in Redis can be read."),
    "larder_lookup_experiment_in_force": ("gauge", "1 for each experiment that is in force."),
    "larder_lookup_experiment_release_loaded": (
        "gauge",
        "1 for each release of an arm that answers, 0 while the live one answers in its place.",
    ),
    "larder_lookup_release_info": ("gauge", "1 for the release that is served."),
}


@final
class Histogram:
    """A histogram of durations."""

    __slots__ = ("_bounds", "_counts", "_seconds")

    def __init__(self, bounds: Sequence[float]) -> None:
        """`bounds` are seconds, ascending; longer durations are counted too."""
        self._bounds = list(bounds)
        self._counts = [0] * (len(bounds) + 1)
        self._seconds = 0.0

    def add(self, seconds: float) -> None:
        """Adds a duration."""
        bounds, place = self._bounds, 0
        while place < len(bounds) and bounds[place] < seconds:
            place += 1
        self._counts[place] += 1
        self._seconds += seconds

    def series(self, name: str, labels: str) -> Series:
        """Returns cumulative buckets, as Prometheus expects. `labels` is such as `route="similar"`."""
        total, found = 0, {}
        for bound, count in zip((*map(str, self._bounds), "+Inf"), self._counts, strict=True):
            total += count
            found[f'{name}_bucket{{{labels},le="{bound}"}}'] = float(total)
        found[f"{name}_sum{{{labels}}}"] = self._seconds
        found[f"{name}_count{{{labels}}}"] = total
        return found


@final
class EndpointCounters:
    """The counters of one path."""

    def __init__(self) -> None:
        self.statuses: dict[int, int] = {}
        self.times = Histogram(BOUNDS)


@final
class Metrics:
    """The counters of one worker. `route_times` has the response times of Redis by route."""

    def __init__(self) -> None:
        self._requests: dict[str, EndpointCounters] = {}
        self._outcomes: dict[RouteOutcomes, int] = {}
        self.route_times = {route: Histogram(ROUTE_BOUNDS) for route in ROUTES}
        self._unknown_seen = 0
        self._cut_seen = 0

    def requested(self, endpoint: str, status: int, seconds: float) -> None:
        """Counts one request."""
        requests = self._requests.get(endpoint)
        if requests is None:
            requests = self._requests[endpoint] = EndpointCounters()
        requests.statuses[status] = requests.statuses.get(status, 0) + 1
        requests.times.add(seconds)

    def answered(self, outcomes: RouteOutcomes) -> None:
        """Counts the routes' outcomes of one answer."""
        self._outcomes[outcomes] = self._outcomes.get(outcomes, 0) + 1

    def count_unknown_seen(self) -> None:
        """Counts an answer for which the visitor's seen products could not be read."""
        self._unknown_seen += 1

    def count_cut_seen(self) -> None:
        """Counts an answer for which only the first of the visitor's seen products were read."""
        self._cut_seen += 1

    def personal_lists(self) -> tuple[int, int]:
        """Returns for how many cookies a list was looked for, and how many of them had none."""
        found = unknown = 0
        for outcomes, count in self._outcomes.items():
            for outcome in outcomes.each:
                if outcome.route == PERSONAL and outcome.reason == UNKNOWN_COOKIE:
                    unknown += count
                elif outcome.route == PERSONAL and outcome.status != SKIPPED:
                    found += count
        return found + unknown, unknown

    def series(self) -> Series:
        """Returns all counters by name and labels."""
        found: Series = {
            "larder_lookup_seen_unknown_total": self._unknown_seen,
            "larder_lookup_seen_cut_total": self._cut_seen,
        }
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
    """Sums counters over all workers: each worker writes its own to a file."""

    def __init__(self, folder: str) -> None:
        self._folder = Path(folder)
        self._own = f"{os.getpid()}.json"

    def publish(self, own: Series) -> None:
        """Writes this worker's counters for the others."""
        unfinished = self._folder / f"{self._own}.part"
        unfinished.write_text(json.dumps(own))
        unfinished.replace(self._folder / self._own)

    def totals(self, own: Series) -> Series:
        """Returns this worker's counters plus the last ones of the others, including ended ones."""
        sums = dict(own)
        for file in self._folder.glob("*.json"):
            if file.name != self._own:
                for name, value in json.loads(file.read_text()).items():
                    sums[name] = sums.get(name, 0) + value
        return sums


def render(series: Mapping[str, float]) -> bytes:
    """Returns series in Prometheus text format 0.0.4. Only series of FAMILIES are known."""
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
    """Returns a label value, escaped."""
    return text.replace("\\", "\\\\").replace('"', '\\"').replace("\n", "\\n")
