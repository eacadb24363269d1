"""The journey log: notes every answer in passing, and has a process of its own write what was noted.

No answer ever waits for it: what the disk does not take in time is dropped and counted.
"""

from __future__ import annotations

import asyncio
import logging
import multiprocessing
import threading
import time
from collections.abc import Sequence
from concurrent.futures import ThreadPoolExecutor
from contextlib import suppress
from multiprocessing.connection import Connection
from pathlib import Path
from typing import TYPE_CHECKING, Any, Final

from journey.served import Served
from lookup.questions import Question
from lookup.routing import Picks

if TYPE_CHECKING:
    from multiprocessing.process import BaseProcess

    from lookup.release import Release

# Answers handed over at a time: packing them holds up the event loop for a fraction of a millisecond.
CHUNK: Final = 1000
# Names packed between two moments in which an answer may be given.
TURN: Final = 2000
TICK_SECONDS: Final = 1.0
END_SECONDS: Final = 10.0
SECONDS_AN_HOUR: Final = 3600

NO_COOKIE, FULL, DISK = REASONS = ("no_cookie", "full", "disk")
NOTHING = Served(0, "", [])

log = logging.getLogger("larder.lookup")


class WriterProcess:
    """The process that writes, and another one where it ends. Used by one thread."""

    def __init__(self, folder: Path, seconds: float) -> None:
        self._folder = folder
        self._seconds = seconds
        self._pipe: Connection | None = None
        self._process: BaseProcess | None = None
        self._names: list[bytes] = []

    def tell(self, message: Any) -> Any:
        """What the writer says to a message. Raises OSError or EOFError where it ended."""
        try:
            if self._pipe is None:
                self._start()
            assert self._pipe is not None
            self._pipe.send(message)
            return self._pipe.recv()
        except (OSError, EOFError):
            self.end()
            raise

    def know(self, names: list[bytes]) -> list[Any]:
        """Sees to it that the writer has these names, and raises as `tell`; returns what it says."""
        # `larder serve` has seen to it that pyarrow is installed.
        from journey.writer import Names

        if names is self._names:
            return []
        self._names = []
        said = [self.tell(Names(not start, names[start : start + TURN])) for start in range(0, len(names), TURN)]
        self._names = names
        return said

    def end(self) -> None:
        """Lets it finish its file, and end."""
        if self._pipe is not None:
            self._pipe.close()
        if self._process is not None:
            self._process.join(END_SECONDS)
        self._pipe = self._process = None
        self._names = []

    def _start(self) -> None:
        from journey.writer import run

        # A fresh interpreter: a fork of this one would hold all that it has, and its connections open.
        fresh = multiprocessing.get_context("spawn")
        self._pipe, theirs = fresh.Pipe()
        self._process = fresh.Process(target=run, args=(self._folder, self._seconds, theirs), name="journal")
        self._process.start()
        theirs.close()


class Journal:
    """Of one worker. `run` must be a task; `stop` writes what is left."""

    def __init__(self, folder: Path, most: int, seconds: float) -> None:
        """At most `most` answers wait in memory; a file is finished after `seconds`, or with its hour."""
        self._folder = folder
        self._most = most
        self._served = NOTHING
        # A thread waits for the process, which may wait for the disk.
        self._thread = ThreadPoolExecutor(1, thread_name_prefix="journal")
        self._writer = WriterProcess(folder, seconds)
        # With the writer, who has not said yet that they are in a file which can be seen.
        self._unfinished = 0
        self._lock = threading.Lock()
        self._waiting = 0
        self.written = 0
        self.dropped = dict.fromkeys(REASONS, 0)

    def note(self, question: Question, release: Release, request_id: bytes, taken: Sequence[Picks]) -> None:
        """Notes one answer from `release`. Never waits, raises nothing."""
        if not question.cookie:
            # The event contract has no event without a visitor.
            self.dropped[NO_COOKIE] += 1
            return
        now = time.time()
        served = self._served
        if (
            len(served.times) >= CHUNK
            or served.names is not release.names
            or now >= (served.hour + 1) * SECONDS_AN_HOUR
        ):
            self._hand_over()
            served = self._served = Served(int(now // SECONDS_AN_HOUR), release.name, release.names)
        if self._waiting + len(served.times) >= self._most:
            self.dropped[FULL] += 1
            return
        count = 0
        for picks in taken:
            served.ordinals.extend(picks.ordinals)
            served.routes.append(picks.route)
            served.route_counts.append(len(picks.ordinals))
            count += len(picks.ordinals)
        served.counts.append(count)
        served.times.append(now)
        served.cookies.append(question.cookie)
        served.request_ids.append(request_id)
        served.locations.append(question.location or None)
        served.devices.append(question.device or None)

    async def run(self) -> None:
        """Has files finished in time also when nobody asks. Until cancelled."""
        while True:
            self._hand_over()
            await asyncio.sleep(TICK_SECONDS)

    def stop(self) -> None:
        """Writes and finishes what was noted."""
        self._hand_over()
        self._thread.submit(self._finish)
        self._thread.shutdown()

    def _hand_over(self) -> None:
        served = self._served
        # In an idle second nothing is kept of a release that may not be live any more.
        self._served = Served(served.hour, served.release, served.names) if served else NOTHING
        with self._lock:
            self._waiting += len(served)
        self._thread.submit(self._write, served)

    def _write(self, served: Served) -> None:
        count = len(served)
        try:
            self._unfinished += count
            for said in self._writer.know(served.names) if served else []:
                self._count(*said)
            served.names = []
            self._count(*self._writer.tell(served))
        except (OSError, EOFError) as error:
            self._count(0, self._unfinished, f"the process that writes it ended: {error!r}")
        finally:
            with self._lock:
                self._waiting -= count

    def _finish(self) -> None:
        with suppress(OSError, EOFError):
            self._count(*self._writer.tell(None))
        self._writer.end()

    def _count(self, written: int, lost: int, problem: str) -> None:
        self.written += written
        self.dropped[DISK] += lost
        self._unfinished -= written + lost
        if problem:
            log.warning("the journey log in %s lost %d answers: %s", self._folder, lost, problem)
