"""The open connections of one worker, their timeouts, and their shutdown."""

from __future__ import annotations

import asyncio
import logging
import time
from email.utils import formatdate
from typing import Final, final

from larder.lookup.http.request import Application, Responder

TICK_SECONDS: Final = 1.0

log = logging.getLogger("larder.lookup")


class ManagedConnection(Responder):
    """What `Connections` does with a connection. The implementation is HttpConnection."""

    def flush(self) -> None:
        """Sends the answers that were written since the last flush."""
        raise NotImplementedError

    def check_timeouts(self) -> None:
        """Ends the connection if it exceeded a time limit. Called once a second."""
        raise NotImplementedError

    def end(self) -> None:
        """Takes no further request, and closes once the requests already read are answered."""
        raise NotImplementedError

    def abort(self) -> None:
        """Closes at once, and drops what was not sent."""
        raise NotImplementedError


@final
class Connections:
    """The open connections of one worker, and what they share: the application, the clock, the Date header."""

    def __init__(self, app: Application, most_body: int) -> None:
        """A request body may have `most_body` bytes."""
        self.app = app
        self.most_body = most_body
        self.open: set[ManagedConnection] = set()
        self.ending = False
        # Seconds since the start, and the Date header: both are read far more often than they change.
        self.now = 0
        self.date = b""
        self._loop = asyncio.get_running_loop()
        self._unflushed: list[ManagedConnection] = []
        self._tick()

    def flush_later(self, connection: ManagedConnection) -> None:
        """Flushes the connection after everything that arrived in this turn of the event loop is handled.

        Answers that leave together wake a caller once; answers sent one by one would wake it each time.
        """
        if not self._unflushed:
            self._loop.call_soon(self._flush)
        self._unflushed.append(connection)

    def _flush(self) -> None:
        unflushed, self._unflushed = self._unflushed, []
        for each in unflushed:
            try:
                each.flush()
            except Exception:
                log.exception("an answer cannot be sent")
                each.abort()

    async def watch(self) -> None:
        """Advances the clock and ends connections that exceed their time limits, until cancelled."""
        while True:
            await asyncio.sleep(TICK_SECONDS)
            self.now += 1
            self._tick()
            for each in list(self.open):
                each.check_timeouts()

    async def end(self, seconds: float) -> None:
        """Waits up to `seconds` for requests under way to be answered, then ends all connections."""
        self.ending = True
        loop = asyncio.get_running_loop()
        until = loop.time() + seconds
        for each in list(self.open):
            each.end()
        while self.open and loop.time() < until:
            await asyncio.sleep(0.01)
        for each in list(self.open):
            each.abort()

    def _tick(self) -> None:
        self.date = b"date: %b\r\n" % formatdate(time.time(), usegmt=True).encode()
