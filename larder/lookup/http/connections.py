"""The connections of one worker: made, watched, and ended."""

from __future__ import annotations

import asyncio
import logging
import time
from email.utils import formatdate
from typing import Final, cast, final

from larder.lookup.http.http_connection import HttpConnection
from larder.lookup.http.request import Application

TICK_SECONDS: Final = 1.0

log = logging.getLogger("larder.lookup")


@final
class Connections:
    """All connections of one worker."""

    def __init__(self, app: Application, most_body: int) -> None:
        """Bodies have `most_body` bytes at most."""
        self.app = app
        self.most_body = most_body
        self.open: set[HttpConnection] = set()
        self.ending = False
        # Seconds since the beginning, and the header of each answer: both are read far more often than they change.
        self.now = 0
        self.date = b""
        self._loop = asyncio.get_running_loop()
        self._unflushed: list[HttpConnection] = []
        self._tick()

    def connect(self) -> asyncio.BaseProtocol:
        """For a connection that was just accepted."""
        return cast(asyncio.BaseProtocol, HttpConnection(self))

    def flush_later(self, connection: HttpConnection) -> None:
        """Has it flush when all that came in this turn of the event loop is dealt with.

        Answers that leave one after the other wake their callers once; one now and then, each time.
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
        """Keeps the time, and ends what takes too long. Until cancelled."""
        while True:
            await asyncio.sleep(TICK_SECONDS)
            self.now += 1
            self._tick()
            for each in list(self.open):
                each.look()

    async def end(self, seconds: float) -> None:
        """Lets requests that were begun have their answers, for so long at most; ends all connections."""
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
