"""One connection to Redis: everything asked in a turn of the event loop leaves in one write."""

from __future__ import annotations

import asyncio
from collections import deque
from time import perf_counter
from typing import Any, Final, cast

import hiredis

from lookup.metrics import Histogram
from lookup.reasons import REDIS_DOWN, REDIS_TIMEOUT

# A peer that has been silent for so long past a deadline is given up, and a new connection is tried.
SILENCE_SECONDS: Final = 1.0
# Between a deadline and its enforcement, so that replies which wait in the socket are read first.
GRACE_SECONDS: Final = 0.001

# What a question comes to: the replies in order of the commands, or the reason why there are none.
Replies = list[Any] | str


def command(*words: bytes) -> bytes:
    """A Redis command as RESP bytes."""
    return b"*%d\r\n" % len(words) + b"".join(b"$%d\r\n%b\r\n" % (len(word), word) for word in words)


class Write:
    """One write to the connection; `at` is the perf_counter's reading when it left, 0 before."""

    __slots__ = ("at",)

    def __init__(self) -> None:
        self.at = 0.0


class Pending:
    """Commands whose replies are awaited together, until `deadline`; after `due`, Redis is late for everybody.

    How long they were awaited since their `write` goes into `times`. The loop's clock would not do: uvloop's has
    milliseconds.
    """

    __slots__ = ("deadline", "due", "future", "left", "replies", "times", "write")

    def __init__(
        self,
        count: int,
        future: asyncio.Future[Replies],
        deadline: float,
        due: float,
        write: Write,
        times: Histogram | None,
    ) -> None:
        self.left = count
        self.future = future
        self.deadline = deadline
        self.due = due
        self.write = write
        self.times = times
        self.replies: list[Any] = []

    def resolve(self, result: Replies, now: float) -> None:
        """`now` by perf_counter."""
        # The future may be cancelled already, with the request that waited on it.
        if not self.future.done():
            self.future.set_result(result)
            if self.times is not None and self.write.at:
                self.times.add(now - self.write.at)


class Wire(asyncio.Protocol):
    """A pipelined connection whose every wait ends by its deadline.

    `deadline` in seconds from sending. `lost` is done when the connection is, with the reason.
    """

    def __init__(self, deadline: float) -> None:
        self.loop = asyncio.get_running_loop()
        self._deadline = deadline
        self.lost: asyncio.Future[str] = self.loop.create_future()
        self.overdue = False
        self._transport: asyncio.Transport | None = None
        self._reader = hiredis.Reader()
        self._out: list[bytes] = []
        self._write = Write()
        self._waiting: deque[Pending] = deque()
        self._timer: asyncio.TimerHandle | None = None
        self._timer_at = 0.0

    def send(
        self, commands: bytes, count: int, seconds: float | None = None, times: Histogram | None = None
    ) -> asyncio.Future[Replies] | str:
        """Sends `count` commands with this turn's write; waits for `seconds`, at most and by default the deadline.

        Returns a future of the replies, or at once the reason why there will be none. While a reply is
        overdue nothing is sent: it would only queue behind the one that is late. `times` learns how long the wait was.
        """
        if self._transport is None:
            return REDIS_DOWN
        if self.overdue:
            return REDIS_TIMEOUT
        now = self.loop.time()
        due = now + self._deadline
        deadline = due if seconds is None or seconds > self._deadline else now + seconds
        future = self.loop.create_future()
        if not self._out:
            self._write = Write()
            self.loop.call_soon(self._flush)
        self._waiting.append(Pending(count, future, deadline, due, self._write, times))
        self._out.append(commands)
        if self._timer is None or deadline < self._timer_at:
            self._wake_at(deadline)
        return future

    def change_deadline(self, deadline: float) -> None:
        """Another deadline for what is sent from now on; nothing may be waiting."""
        self._deadline = deadline
        # It may be set for later than the new deadline.
        if self._timer is not None:
            self._timer.cancel()
            self._timer = None

    def close(self) -> None:
        """Gives the connection up, and with it everything that waits."""
        if self._transport is not None:
            self._transport.abort()

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        self._transport = cast(asyncio.Transport, transport)

    def data_received(self, data: bytes) -> None:
        waiting, gets = self._waiting, self._reader.gets
        # One look at the clock does for all that is read together.
        now = perf_counter()
        try:
            self._reader.feed(data)
            while (reply := gets()) is not False:
                pending = waiting[0]
                pending.replies.append(reply)
                pending.left -= 1
                if not pending.left:
                    waiting.popleft()
                    pending.resolve(pending.replies, now)
        except (hiredis.HiredisError, IndexError):
            self.close()
        if self.overdue:
            self.overdue = bool(waiting) and waiting[0].due <= self.loop.time()

    def connection_lost(self, error: Exception | None) -> None:
        self._transport = None
        if self._timer is not None:
            self._timer.cancel()
        now = perf_counter()
        while self._waiting:
            self._waiting.popleft().resolve(REDIS_DOWN, now)
        if not self.lost.done():
            self.lost.set_result(str(error or "the connection was closed"))

    def _flush(self) -> None:
        if self._transport is not None:
            self._write.at = perf_counter()
            self._transport.write(b"".join(self._out))
        self._out.clear()

    def _wake_at(self, moment: float) -> None:
        if self._timer is not None:
            self._timer.cancel()
        self._timer_at = moment
        self._timer = self.loop.call_at(moment, self._on_deadline)

    def _on_deadline(self) -> None:
        self._timer = self.loop.call_later(GRACE_SECONDS, self._expire)

    def _expire(self) -> None:
        now = self.loop.time()
        self._timer = None
        if not self._waiting:
            self.overdue = False
            return
        due = self._waiting[0].due
        self.overdue = due <= now
        if now > due + SILENCE_SECONDS:
            self.close()
            return
        upcoming = due + SILENCE_SECONDS if self.overdue else due
        for pending in self._waiting:
            if pending.deadline <= now:
                pending.resolve(REDIS_TIMEOUT, perf_counter())
            else:
                upcoming = min(upcoming, pending.deadline)
        self._wake_at(upcoming)
