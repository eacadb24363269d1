"""Who is let in: callers with a key, not too many questions of each, and nobody while others wait too long."""

from __future__ import annotations

import asyncio
import hmac
from collections import deque
from math import ceil
from typing import Final

from larder.lookup.http.http_errors import BadRequestError
from larder.settings import LookupSettings

HEADER: Final = "x-api-key"
# How often the event loop's delay is measured, and how many delays in a row must be too long.
SAMPLE_SECONDS: Final = 0.01
SAMPLES: Final = 5


class LoopDelay:
    """How long the event loop lets its work wait. `watch` must be a task."""

    def __init__(self) -> None:
        self._late = deque([0.0] * SAMPLES, SAMPLES)
        self.seconds = 0.0

    async def watch(self) -> None:
        """Measures until cancelled. The least of some delays counts: a burst that is soon dealt with is no overload."""
        loop = asyncio.get_running_loop()
        while True:
            began = loop.time()
            await asyncio.sleep(SAMPLE_SECONDS)
            self._late.append(loop.time() - began - SAMPLE_SECONDS)
            self.seconds = min(self._late)


class TokenBucket:
    """A token bucket: `rate` questions a second, of which a second's worth may come at once."""

    def __init__(self, rate: float) -> None:
        self._rate = rate
        self._left = rate
        self._at = 0.0

    def take(self, questions: int, now: float) -> float:
        """0 where they are allowed, else the seconds after which they may be. A full bucket allows any number."""
        self._left = min(self._rate, self._left + (now - self._at) * self._rate)
        self._at = now
        needed = min(questions, self._rate)
        if self._left < needed:
            return (needed - self._left) / self._rate
        self._left -= questions
        return 0.0


class Admission:
    """Of one worker: with several, each has its share of a key's rate."""

    def __init__(self, settings: LookupSettings, delay: LoopDelay) -> None:
        self._keys = [(name, key.get_secret_value().encode()) for name, key in settings.api_keys.items()]
        self._most_late = settings.shed_ms / 1000
        self._most_waiting = settings.max_waiting
        self._delay = delay
        rate = settings.key_rate / settings.workers
        self._allowances = {name: TokenBucket(rate) for name, _ in self._keys} if rate else {}
        self.waiting = 0

    def check_load(self) -> None:
        """Raises BadRequestError where one more request would only make all wait longer."""
        if self._delay.seconds > self._most_late or self.waiting >= self._most_waiting:
            raise BadRequestError(503, "overloaded", "too many requests wait already; try again", 1)

    def caller(self, given: str | None) -> str:
        """The name of the caller whose key is `given`; "" where no keys are set. Raises BadRequestError."""
        if not self._keys:
            return ""
        sent = (given or "").encode("utf-8", "surrogatepass")
        found = ""
        # All are compared, each in constant time, so that the time says nothing of any.
        for name, key in self._keys:
            if hmac.compare_digest(key, sent):
                found = name
        if not found:
            raise BadRequestError(401, "unauthorised", f"send one of the keys of lookup.api_keys as {HEADER}")
        return found

    def spend(self, caller: str, questions: int) -> None:
        """Counts questions of a caller. Raises BadRequestError where they are too many."""
        if not self._allowances:
            return
        wait = self._allowances[caller].take(questions, asyncio.get_running_loop().time())
        if wait:
            raise BadRequestError(
                429, "rate_limited", "the key's questions a second are used up; wait as Retry-After says", ceil(wait)
            )
