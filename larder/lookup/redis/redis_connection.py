"""One pipelined connection to Redis: all commands of one turn of the event loop leave in one write."""

from __future__ import annotations

import asyncio
from collections import deque
from collections.abc import Callable
from time import perf_counter
from typing import Any, Final, cast, final

import hiredis

from larder.lookup.answer.reasons import REDIS_DOWN, REDIS_TIMEOUT
from larder.lookup.operations.metrics import Histogram

# A connection whose oldest reply is this late is closed and replaced.
SILENCE_SECONDS: Final = 1.0
# The delay between a deadline and its enforcement, so that replies already in the socket are read first.
GRACE_SECONDS: Final = 0.001

# The replies in the order of the commands, or the reason code why there are none.
Replies = list[Any] | str


@final
class SocketWrite:
    """One write to the socket; `at` is perf_counter() when it was sent, 0 before."""

    __slots__ = ("at",)

    def __init__(self) -> None:
        self.at = 0.0


UNWRITTEN: Final = SocketWrite()


@final
class PendingReplies:
    """The replies to commands that were sent together.

    `result` is None until all replies arrived or were given up, which happened at `ended` (perf_counter). Then the
    callback `then` is called once; it must not raise. A future would need another turn of the event loop.
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
        """Waits for `count` replies until `deadline`; after `due` the whole connection counts as overdue.

        `times` gets the seconds between `write` and the last reply, by perf_counter: uvloop's clock has a resolution of
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
        """Sets the result at `now` (perf_counter). Ignored if there is one already, such as a timeout."""
        if self.result is not None:
            return
        self.result, self.ended = result, now
        if self.times is not None and self.write.at:
            self.times.add(now - self.write.at)
        # Dropped before the call, to break the reference cycle.
        then, self.then = self.then, None
        if then is not None:
            then()


# What `send` returns: replies to come, or at once the result.
Sent = PendingReplies | Replies


async def replies_to(sent: Sent) -> Replies:
    """Returns the result of a `send`, after waiting for it."""
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
    """A pipelined connection on which every wait ends by its deadline. It has the methods of asyncio.Protocol.

    `deadline` is seconds from sending. `lost` is a future with the reason for the connection's end.
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
        """Sends `count` commands, which wait for replies up to `seconds`, or up to the deadline if that is sooner.

        Returns the replies to come, or at once a reason code. While a reply is overdue nothing is sent, because it
        would only queue behind the late one. `times` gets the seconds until the last reply.
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
        """Sets the deadline of later commands. No command may be waiting."""
        self._deadline = deadline
        # The timer may be set for later than the new deadline.
        if self._timer is not None:
            self._timer.cancel()
            self._timer = None

    def close(self) -> None:
        """Closes at once; every waiting command gets the result `redis_down`."""
        if self._transport is not None:
            self._transport.abort()

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        self._transport = cast(asyncio.Transport, transport)

    def data_received(self, data: bytes) -> None:
        waiting, gets = self._waiting, self._reader.gets
        # Read the clock once for all replies in this data.
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
        """Lets the transport close itself."""

    def pause_writing(self) -> None:
        """Does nothing: commands that are not sent in time end by their deadline."""

    def resume_writing(self) -> None:
        """Does nothing: no command was held back."""

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
        # A copy, because a callback may send more commands.
        for pending in list(self._waiting):
            if pending.deadline <= now:
                pending.resolve(REDIS_TIMEOUT, perf_counter())
            else:
                upcoming = min(upcoming, pending.deadline)
        self._wake_at(upcoming)
