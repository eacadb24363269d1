"""The parts of one worker, its background tasks, and its readiness and metrics."""

from __future__ import annotations

import asyncio
import logging
from collections.abc import Callable, Coroutine
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING, Any

from larder.journey.destinations import DISK, KAFKA
from larder.loaders.keys import Keys
from larder.loaders.redis_password import PasswordSource
from larder.lookup.answer.answering import Answering
from larder.lookup.answer.rendering import age_seconds
from larder.lookup.experiments.experiment_table import ExperimentTable
from larder.lookup.http.admission import Admission, LoopDelay
from larder.lookup.operations.journal import Journal, journey_places
from larder.lookup.operations.metrics import Metrics, Series, SharedCounters, label
from larder.lookup.redis.address import RedisAddress, parse_address
from larder.lookup.redis.background_read import ReadError, read_all
from larder.lookup.redis.detected_link import DetectedLink
from larder.lookup.redis.link import Link, RedisLink
from larder.lookup.redis.redis_cluster import ClusterLink
from larder.lookup.redis.redis_commands import command
from larder.lookup.release.followed_release import FollowedRelease
from larder.lookup.release.mask_cache import MaskCache
from larder.lookup.release.named_releases import NamedReleases
from larder.settings import LookupSettings, Settings

if TYPE_CHECKING:
    from larder.lookup.operations.tracing import Tracing

# Long enough for the largest dictionary chunk over a slow line.
BACKGROUND_SECONDS = 5.0
SHARE_SECONDS = 1.0
CANCEL_SECONDS = 0.2
JOURNEY_SERIES = {DISK: "larder_lookup_journey_written_total", KAFKA: "larder_lookup_journey_delivered_total"}

log = logging.getLogger("larder.lookup")


class Worker:
    """One worker. `redis.url` must be set. Workers share counters and rate limits in `folder`."""

    def __init__(self, settings: Settings, folder: str) -> None:
        limits, keys = settings.lookup, Keys(settings.redis.namespace)
        address = parse_address(
            settings.redis.url.get_secret_value(),
            PasswordSource(settings.redis.password_file, settings.redis.password_command),
        )
        link: Callable[[RedisAddress, float, str], Link] = ClusterLink if limits.cluster else DetectedLink
        if address.socket or address.sentinels or address.database:
            link = RedisLink
        self._lookups = link(address, limits.deadline_ms / 1000, "larder-lookup")
        # A connection of its own, so that no request queues behind a dictionary.
        self._background = link(address, BACKGROUND_SECONDS, "larder-lookup-release")
        snapshot = Path(limits.snapshot) if limits.snapshot else None
        self.metrics = Metrics()
        sizes = limits.pointer_seconds, limits.generic_lists, limits.hot_products
        self.live = FollowedRelease(self._background, keys, *sizes, snapshot, self.metrics.personal_lists)
        self.named = NamedReleases(
            self._background,
            lambda name: FollowedRelease(self._background, keys, *sizes, None, name=name),
            limits.pointer_seconds,
        )
        self.experiments = ExperimentTable(self._background, keys, limits, self.named, snapshot)
        self.masks = MaskCache(self._background, keys, limits.mask_seconds, snapshot)
        self._delay = LoopDelay()
        self.admission = Admission(limits, self._delay, folder)
        self.answering = Answering(self._lookups, keys, self.masks, self.metrics, limits)
        places = journey_places(limits)
        self.journal = Journal(places, limits.journey_answers) if places is not None else None
        self.tracing = _tracing(limits)
        self._shared = SharedCounters(folder) if folder else None
        self._seen_key = keys.seen(0)
        self._knows_arms = False
        self._tasks: list[asyncio.Task[None]] = []

    def start(self, loop: asyncio.AbstractEventLoop, on_failure: Callable[[], object] = lambda: None) -> None:
        """Starts the background tasks, without waiting for Redis. Calls `on_failure` if one of them ends by itself."""
        runs: list[Coroutine[Any, Any, None]] = [self._lookups.run(), self._background.run(), self.live.follow()]
        runs += [self.masks.follow(), self.experiments.follow(), self.named.follow(), self._delay.watch()]
        if self.journal is not None:
            runs.append(self.journal.run())
        if self._shared is not None:
            runs.append(self._share_counters(self._shared))
        self._tasks = [loop.create_task(run) for run in runs]
        for task in self._tasks:
            task.add_done_callback(partial(_check_end, on_failure))
        self._tasks.append(loop.create_task(self._choose_seen_command()))

    def stop(self, loop: asyncio.AbstractEventLoop) -> None:
        """Ends the background tasks, and finishes the journey log and the counters."""
        loop.run_until_complete(self.end_tasks())
        self.finish()

    async def end_tasks(self) -> None:
        """Ends the background tasks."""
        left = set(self._tasks)
        while left:
            # Repeated, because before Python 3.12 wait_for may swallow a cancellation.
            for task in left:
                task.cancel()
            _, left = await asyncio.wait(left, timeout=CANCEL_SECONDS)

    def finish(self) -> None:
        """Finishes the journey log, the traces and the counters; may take some seconds."""
        if self.journal is not None:
            self.journal.stop()
        if self.tracing is not None:
            self.tracing.stop()
        if self._shared is not None:
            self._shared.publish(self._counters())

    def readiness(self) -> dict[str, Any]:
        """Returns the body of `/health/ready`.

        Without a generic list, visitors could be left without products; before the first look at the experiments and
        their releases, without their arms.
        """
        release = self.live.current
        self._knows_arms = self._knows_arms or (self.experiments.has_looked and self.named.have_looked())
        return {
            "ready": release is not None and len(release.generic) > 0 and self._knows_arms,
            "release": release and release.name,
            "age_seconds": release and age_seconds(release),
            "problem": self.live.problem or None,
            "losses": self.live.losses,
            "experiments": {
                "in_force": list(self.experiments.in_force),
                "problem": self.experiments.problem or None,
                "releases": {name: each.problem or None for name, each in self.named.by_name.items()},
            },
            "redis": {"up": self._lookups.up, "problem": self._lookups.problem or None},
        }

    def series(self) -> Series:
        """Returns all metrics: counters of all workers, gauges of this one."""
        counters = self._counters()
        if self._shared is not None:
            counters = self._shared.totals(counters)
        return {**counters, **self._gauges()}

    def _counters(self) -> Series:
        series = self.metrics.series()
        if self.journal is not None:
            for place, count in self.journal.done.items():
                series[JOURNEY_SERIES[place]] = count
            for reason, count in self.journal.dropped.items():
                series[f'larder_lookup_journey_dropped_total{{reason="{reason}"}}'] = count
        if self.tracing is not None:
            series['larder_lookup_spans_total{result="sent"}'] = self.tracing.sent
            series['larder_lookup_spans_total{result="lost"}'] = self.tracing.lost
        return {
            **series,
            'larder_lookup_release_loads_total{result="loaded"}': self.live.loads,
            'larder_lookup_release_loads_total{result="refused"}': self.live.refusals,
            "larder_lookup_redis_reconnects_total": self._lookups.reconnects,
        }

    def _gauges(self) -> Series:
        gauges: Series = {
            "larder_lookup_redis_up": float(self._lookups.up),
            "larder_lookup_masked_products": len(self.masks.names),
            "larder_lookup_release_sound": float(not self.live.losses and not self.live.problem),
            "larder_lookup_unknown_cookies": self.live.unknown_share.share,
        }
        for route, breaker in self.answering.breakers.items():
            gauges[f'larder_lookup_breaker_open{{route="{route}"}}'] = float(breaker.open)
        gauges["larder_lookup_experiments_sound"] = float(not self.experiments.problem)
        for name in self.experiments.in_force:
            gauges[f'larder_lookup_experiment_in_force{{experiment="{label(name)}"}}'] = 1
        for name, named in self.named.by_name.items():
            gauges[f'larder_lookup_experiment_release_loaded{{release="{label(name)}"}}'] = float(named.is_loaded)
        for part, count in self.live.losses.items():
            gauges[f'larder_lookup_release_losses{{part="{part}"}}'] = count
        release = self.live.current
        if release is not None:
            gauges["larder_lookup_release_age_seconds"] = age_seconds(release)
            gauges[f'larder_lookup_release_info{{release="{label(release.name)}"}}'] = 1
        return gauges

    async def _choose_seen_command(self) -> None:
        """Finds out whether this user of Redis may use SSCAN, which documented rights did not always include."""
        seen = self.answering.seen
        while seen is not None:
            await self._background.first_attempt()
            try:
                [reply] = await read_all(self._background, [command(b"SSCAN", self._seen_key, b"0", b"COUNT", b"1")])
            except ReadError:
                await asyncio.sleep(SHARE_SECONDS)
                continue
            if isinstance(reply, Exception) and str(reply).startswith(("NOPERM", "ERR unknown command")):
                log.warning("Redis refuses SSCAN, so large sets of seen products are read whole: %s", reply)
                seen.read_whole()
            return

    async def _share_counters(self, shared: SharedCounters) -> None:
        while True:
            shared.publish(self._counters())
            await asyncio.sleep(SHARE_SECONDS)


def _tracing(limits: LookupSettings) -> Tracing | None:
    """Returns the tracer, or None without `lookup.traces`. Imports OpenTelemetry only if it is used."""
    if not limits.traces:
        return None
    from larder.lookup.operations.tracing import Tracing

    return Tracing(limits.traces, limits.trace_share)


def _check_end(on_failure: Callable[[], object], task: asyncio.Task[None]) -> None:
    """A worker without one of its tasks would answer from an old release for ever, and look healthy."""
    if not task.cancelled():
        log.critical("a background task of the endpoint ended; the process ends", exc_info=task.exception())
        on_failure()
