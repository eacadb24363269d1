"""Admission of requests: API keys, rate limits by key, and load shedding."""

from __future__ import annotations

import asyncio
import hmac
from collections import deque
from math import ceil
from pathlib import Path
from time import monotonic
from typing import Final

from larder.lookup.http.http_errors import BadRequestError
from larder.lookup.http.shared_token_bucket import SharedTokenBucket
from larder.lookup.http.token_bucket import TokenBucket
from larder.settings import LookupSettings

HEADER: Final = "x-api-key"
# The interval at which the event loop's delay is measured, and the number of measurements that count.
SAMPLE_SECONDS: Final = 0.01
SAMPLES: Final = 5


class LoopDelay:
    """The delay with which the event loop gets to its work. Run `watch` as a task."""

    def __init__(self) -> None:
        self._late = deque([0.0] * SAMPLES, SAMPLES)
        self.seconds = 0.0

    async def watch(self) -> None:
        """Measures until cancelled. The least of the last delays counts, so that a short burst is no overload."""
        loop = asyncio.get_running_loop()
        while True:
            began = loop.time()
            await asyncio.sleep(SAMPLE_SECONDS)
            self._late.append(loop.time() - began - SAMPLE_SECONDS)
            self.seconds = min(self._late)


class Admission:
    """Admits requests in one worker. Workers with the same `folder` share the rate of a key."""

    def __init__(self, settings: LookupSettings, delay: LoopDelay, folder: str = "") -> None:
        self._keys = [(name, key.get_secret_value().encode()) for name, key in settings.api_keys.items()]
        self._most_late = settings.shed_ms / 1000
        self._most_waiting = settings.max_waiting
        self._delay = delay
        self._explain_callers = settings.explain_callers
        self._arm_callers = settings.arm_callers
        self._metrics_callers = settings.metrics_callers
        self._buckets: dict[str, TokenBucket | SharedTokenBucket] = {}
        for number, (name, _) in enumerate(self._keys if settings.key_rate else ()):
            path = Path(folder) / f"rate-{number}"
            rate = settings.key_rate
            self._buckets[name] = SharedTokenBucket(path, rate) if folder else TokenBucket(rate)
        self.waiting = 0

    def check_load(self) -> None:
        """Raises BadRequestError if the worker is overloaded."""
        if self._delay.seconds > self._most_late or self.waiting >= self._most_waiting:
            raise BadRequestError(503, "overloaded", "too many requests are waiting; try again", 1)

    def caller(self, given: str | None) -> str:
        """Returns the name of the caller with this key, or "" if no keys are set. Raises BadRequestError."""
        if not self._keys:
            return ""
        sent = (given or "").encode("utf-8", "surrogatepass")
        found = ""
        # All are compared, each in constant time, so that the time reveals nothing about any key.
        for name, key in self._keys:
            if hmac.compare_digest(key, sent):
                found = name
        if not found:
            raise BadRequestError(401, "unauthorised", f"send one of the keys of lookup.api_keys as {HEADER}")
        return found

    def check_explain(self, caller: str) -> None:
        """Raises BadRequestError if the caller may not ask for explanations."""
        if self._explain_callers and caller not in self._explain_callers:
            raise BadRequestError(403, "forbidden", "this key may not use explain; see lookup.explain_callers")

    def check_arm(self, caller: str) -> None:
        """Raises BadRequestError if the caller may not choose the arm of an experiment."""
        if caller not in self._arm_callers:
            raise BadRequestError(403, "forbidden", "this key may not use arm; see lookup.arm_callers")

    def check_metrics(self, given: str | None) -> None:
        """Raises BadRequestError if the key may not read metrics."""
        if self._metrics_callers and self.caller(given) not in self._metrics_callers:
            raise BadRequestError(403, "forbidden", "this key may not read metrics; see lookup.metrics_callers")

    def spend(self, caller: str, queries: int) -> None:
        """Counts queries of a caller. Raises BadRequestError if its rate limit is exceeded."""
        if not self._buckets:
            return
        wait = self._buckets[caller].take(queries, monotonic())
        if wait:
            raise BadRequestError(
                429, "rate_limited", "the rate limit of the key is used up; wait as Retry-After says", ceil(wait)
            )
