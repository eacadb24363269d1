"""A route that fails several times in a row is given a pause, after which a single question tries it again."""

from __future__ import annotations


class CircuitBreaker:
    """Of one route and worker. Moments are seconds of any clock that never goes back."""

    def __init__(self, failures: int, pause: float) -> None:
        """Opens after `failures` in a row, for `pause` seconds."""
        self._most = failures
        self._pause = pause
        self._failures = 0
        self._until = 0.0

    @property
    def open(self) -> bool:
        """Are questions kept from the route, but for the one that tries it?"""
        return self._failures >= self._most

    def allows(self, now: float) -> bool:
        """May the route be asked? Where it is tried again, the next try comes a pause later."""
        if self._failures < self._most:
            return True
        if now < self._until:
            return False
        self._until = now + self._pause
        return True

    def failed(self, now: float) -> None:
        """The route was asked in vain."""
        self._failures += 1
        self._until = now + self._pause

    def succeeded(self) -> None:
        """The route replied."""
        self._failures = 0
