"""A token bucket: limits the rate of queries."""

from __future__ import annotations


def taken(left: float, at: float, rate: float, queries: int, now: float) -> tuple[float, float]:
    """Takes tokens from a bucket that had `left` at the time `at`.

    Returns the tokens left, and 0 or the seconds to wait. A full bucket allows any number of queries, which the queries
    after them then wait for.
    """
    left = min(rate, left + max(0.0, now - at) * rate)
    needed = min(queries, rate)
    if left < needed:
        return left, (needed - left) / rate
    return left - queries, 0.0


class TokenBucket:
    """Allows `rate` queries a second, of which a second's worth may come at once."""

    def __init__(self, rate: float) -> None:
        self._rate = rate
        self._left = rate
        self._at = 0.0

    def take(self, queries: int, now: float) -> float:
        """Returns 0 if the queries are allowed, else the seconds after which they may be."""
        self._left, wait = taken(self._left, self._at, self._rate, queries, now)
        self._at = now
        return wait
