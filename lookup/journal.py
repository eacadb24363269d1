"""The journey log: notes every answer in passing, and has a thread write what was noted.

No answer ever waits for it: what the disk does not take in time is dropped and counted.
"""

from __future__ import annotations

import asyncio
import logging
import os
import threading
import time
from collections.abc import Sequence
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import TYPE_CHECKING, Final

from journey.served import Served
from lookup.questions import Question
from lookup.routing import Picks

if TYPE_CHECKING:
    from journey.parquet import Impressions
    from lookup.release import Release

# Answers handed over at a time: few enough that reading their texts holds up the event loop for a millisecond or two.
CHUNK: Final = 8000
TICK_SECONDS: Final = 1.0
SECONDS_AN_HOUR: Final = 3600

NO_COOKIE, FULL, DISK = REASONS = ("no_cookie", "full", "disk")
NOTHING = Served(0, "", [])

log = logging.getLogger("larder.lookup")


class Journal:
    """Of one worker. `run` must be a task; `stop` writes what is left."""

    def __init__(self, folder: Path, most: int, seconds: float) -> None:
        """At most `most` answers wait in memory; a file is finished after `seconds`, or with its hour."""
        # `larder serve` has seen to it that pyarrow is installed.
        from journey.parquet import Impressions, ProductIds, as_table, remove_abandoned

        # Arrow loads parts of itself when they are first used, for which no visitor should wait.
        as_table(NOTHING, ProductIds().of([b'""']))
        self._new_file, self._new_ids = Impressions, ProductIds
        self._remove_abandoned = remove_abandoned
        self._folder = folder
        self._most = most
        self._seconds = seconds
        self._served = NOTHING
        self._writer = ThreadPoolExecutor(1, thread_name_prefix="journal")
        # Of the writer's thread alone.
        self._file: Impressions | None = None
        self._file_hour = 0
        self._finish_at = 0.0
        self._number = 0
        self._ids = ProductIds()
        # Of both.
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
        self._writer.submit(self._remove_abandoned, self._folder)
        while True:
            await asyncio.sleep(TICK_SECONDS)
            self._hand_over()

    def stop(self) -> None:
        """Writes and finishes what was noted."""
        self._hand_over()
        self._writer.submit(self._finish)
        self._writer.shutdown()

    def _hand_over(self) -> None:
        served = self._served
        # In an idle second nothing is kept of a release that may not be live any more.
        self._served = Served(served.hour, served.release, served.names) if served else NOTHING
        with self._lock:
            self._waiting += len(served)
        self._writer.submit(self._write, served)

    def _write(self, served: Served) -> None:
        try:
            now = time.monotonic()
            if self._file is not None and (now >= self._finish_at or (served and served.hour != self._file_hour)):
                self._finish()
            if not served:
                return
            if self._file is None:
                self._open(served.hour, now)
            assert self._file is not None
            self._file.add(served, self._ids.of(served.names))
        except Exception as error:
            self._give_up(error, len(served))
        finally:
            with self._lock:
                self._waiting -= len(served)

    def _open(self, hour: int, now: float) -> None:
        self._number += 1
        name = f"served-{time.time_ns() // 1_000_000}-{os.getpid()}-{self._number}"
        self._file = self._new_file(self._folder, hour, name)
        self._file_hour = hour
        self._finish_at = now + self._seconds

    def _finish(self) -> None:
        file, self._file = self._file, None
        if file is None:
            return
        self._ids = self._new_ids()  # those of a release that is gone are not kept
        try:
            file.close()
            self.written += file.answers
        except Exception as error:
            self._give_up(error, file.answers)

    def _give_up(self, error: Exception, answers: int) -> None:
        """A file that could not be written to is lost with all that is in it."""
        file, self._file = self._file, None
        if file is not None:
            answers += file.answers
            file.discard()
        self.dropped[DISK] += answers
        log.warning("the journey log in %s lost %d answers: %s", self._folder, answers, error)
