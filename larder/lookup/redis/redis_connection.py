"""One connection to Redis: everything asked in a turn of the event loop leaves in one write."""

from __future__ import annotations

import asyncio
from collections import deque
from collections.abc import Callable
from time import perf_counter
from typing import Any, Final, cast, final

import hiredis

from larder.lookup.answer.reasons import REDIS_DOWN, REDIS_TIMEOUT
from larder.lookup.operations.metrics import Histogram

# A peer that has been silent for so long past a deadline is given up, and a new connection is tried.
SILENCE_SECONDS: Final = 1.0
# Between a deadline and its enforcement, so that replies which wait in the socket are read first.
GRACE_SECONDS: Final = 0.001

# What a question comes to: the replies in order of the commands, or the reason why there are none.
Replies = list[Any] | str


@final
class SocketWrite:
    """One write to the connection; `at` is the perf_counter's reading when it left, 0 before."""

    __slots__ = ("at",)

    def __init__(self) -> None:
        self.at = 0.0


UNWRITTEN: Final = SocketWrite()


@final
class PendingReplies:
    """Commands whose replies are awaited together.

    `result` is None until it is known, at `ended` by perf_counter; then `then` is called, once, and must raise nothing.
    A future would do the same by another turn of the event loop and twice the work.
    """

    __slots__ = ("deadline", "due", "ended", "left", "replies", "result", "then", "times", "write")

    def __init__(
        self,
        count: int,
        deadline: float = 0.0,
        due: float = 0.0,
        write: SocketWrite = UNWRITTEN,
        times: Histogram | None = None,
    ) -> None:
        """Of `count` replies until `deadline`; after `due`, Redis is late for everybody.

        How long they were awaited since their `write` goes into `times`. The loop's clock would not do: uvloop's has
        milliseconds.
        """
        self.left = count
        self.deadline = deadline
        self.due = due
        self.write = write
        self.times = times
        self.replies: list[Any] = []
        self.result: Replies | None = None
        self.ended = 0.0
        self.then: Callable[[], object] | None = None

    def resolve(self, result: Replies, now: float) -> None:
        """`now` by perf_counter. Replies that come after a deadline change nothing any more."""
        if self.result is not None:
            return
        self.result, self.ended = result, now
        if self.times is not None and self.write.at:
            self.times.add(now - self.write.at)
        # Let go of first, so that it and what it belongs to hold each other no longer.
        then, self.then = self.then, None
        if then is not None:
            then()


# A question on its way, or at once what comes of it.
Sent = PendingReplies | Replies


async def replies_to(sent: Sent) -> Replies:
    """Waits for what was sent, for whoever is a coroutine anyway."""
    if not isinstance(sent, PendingReplies):
        return sent
    if sent.result is None:
        told: asyncio.Future[None] = asyncio.get_running_loop().create_future()

        def tell() -> None:
            if not told.done():
                told.set_result(None)

        sent.then = tell
        await told
    assert sent.result is not None
    return sent.result


@final
class RedisConnection:
    """A pipelined connection whose every wait ends by its deadline: what asyncio calls a protocol.

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
        self._write = SocketWrite()
        self._waiting: deque[PendingReplies] = deque()
        self._timer: asyncio.TimerHandle | None = None
        self._timer_at = 0.0

    def send(
        self, commands: bytes, count: int, seconds: float | None = None, times: Histogram | None = None
    ) -> PendingReplies | str:
        """Sends `count` commands with this turn's write; waits for `seconds`, at most and by default the deadline.

        Returns what will hold the replies, or at once the reason why there will be none. While a reply is
        overdue nothing is sent: it would only queue behind the one that is late. `times` learns how long the wait was.
        """
        if self._transport is None:
            return REDIS_DOWN
        if self.overdue:
            return REDIS_TIMEOUT
        now = self.loop.time()
        due = now + self._deadline
        deadline = due if seconds is None or seconds > self._deadline else now + seconds
        if not self._out:
            self._write = SocketWrite()
            self.loop.call_soon(self._flush)
        pending = PendingReplies(count, deadline, due, self._write, times)
        self._waiting.append(pending)
        self._out.append(commands)
        if self._timer is None or deadline < self._timer_at:
            self._wake_at(deadline)
        return pending

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

    def eof_received(self) -> None:
        """The transport closes itself."""

    def pause_writing(self) -> None:
        """What is not taken in time is given up by its deadline."""

    def resume_writing(self) -> None:
        """Nothing was held back."""

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
        # Whoever is told may send what stands at the end of the same queue.
        for pending in list(self._waiting):
            if pending.deadline <= now:
                pending.resolve(REDIS_TIMEOUT, perf_counter())
            else:
                upcoming = min(upcoming, pending.deadline)
        self._wake_at(upcoming)
