"""Notices that many more cookies than before have no list, which hints at lost records or changed cookie ids."""

from __future__ import annotations

import time
from collections.abc import Callable
from math import sqrt

# A window has at least this many cookies and seconds.
LEAST_COOKIES = 50
LEAST_SECONDS = 1.0
# The share before a window counts from this many cookies on, and remembers about this many.
LEAST_BEFORE = 500
REMEMBERED = 100_000
# A rise is at least this large, and this many standard deviations.
LEAST_RISE = 0.1
SIGMAS = 6.0


class UnknownShare:
    """Compares the share of unknown cookies in the last seconds with the share before, within one release."""

    def __init__(self, personal_lists: Callable[[], tuple[int, int]]) -> None:
        """`personal_lists` returns the numbers of cookies since the start, and of those without a list."""
        self._personal_lists = personal_lists
        self.restart()

    def restart(self) -> None:
        """Forgets the share before: another release is served."""
        self.share = 0.0
        self._asked, self._unknown = self._personal_lists()
        self._at = time.monotonic()
        self._before_asked = self._before_unknown = 0.0
        self._rise = 0

    def rise(self) -> int:
        """Returns by how many percentage points the share has risen, or 0 if that may be chance."""
        asked, unknown = self._personal_lists()
        cookies, without = asked - self._asked, unknown - self._unknown
        if cookies < LEAST_COOKIES or time.monotonic() - self._at < LEAST_SECONDS:
            return self._rise
        self._asked, self._unknown, self._at = asked, unknown, time.monotonic()
        self.share = without / cookies
        self._rise = 0
        if self._before_asked >= LEAST_BEFORE:
            usual = self._before_unknown / self._before_asked
            deviation = sqrt(usual * (1 - usual) / cookies + 1 / cookies**2)
            if self.share > usual + max(LEAST_RISE, SIGMAS * deviation):
                self._rise = max(1, round(100 * (self.share - usual)))
                return self._rise
        fade = min(1.0, REMEMBERED / (self._before_asked + cookies))
        self._before_asked = fade * (self._before_asked + cookies)
        self._before_unknown = fade * (self._before_unknown + without)
        return 0
