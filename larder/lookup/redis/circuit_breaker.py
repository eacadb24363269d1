"""A circuit breaker: a route that failed several times in a row is skipped for a while, then tried once."""

from __future__ import annotations


class CircuitBreaker:
    """The circuit breaker of one route in one worker. Times are seconds of a monotonic clock."""

    def __init__(self, failures: int, pause: float) -> None:
        """Opens for `pause` seconds after `failures` failures in a row."""
        self._most = failures
        self._pause = pause
        self._failures = 0
        self._until = 0.0

    @property
    def open(self) -> bool:
        """Is the route skipped, except by the query that tries it again?"""
        return self._failures >= self._most

    def allows(self, now: float) -> bool:
        """May this query use the route? While open, one query is let through each pause."""
        if self._failures < self._most:
            return True
        if now < self._until:
            return False
        self._until = now + self._pause
        return True

    def failed(self, now: float) -> None:
        """Records a failure of the route."""
        self._failures += 1
        self._until = now + self._pause

    def succeeded(self) -> None:
        """Records a success of the route, which closes the breaker."""
        self._failures = 0
