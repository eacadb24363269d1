"""The journey log: records every answer in memory, and passes the records to a writer process.

No answer waits for it: what disk or Kafka do not take in time is dropped and counted.
"""

from __future__ import annotations

import asyncio
import logging
import threading
import time
from collections.abc import Sequence
from concurrent.futures import ThreadPoolExecutor
from functools import partial
from multiprocessing.connection import Connection
from pathlib import Path
from typing import TYPE_CHECKING, Any, Final

from larder.journey.destinations import DISK, KAFKA, Destinations, KafkaTopic, WrittenCount
from larder.journey.served import AnswerNotes
from larder.lookup.answer.routing import PickedItems
from larder.lookup.answer.treatment import Treatment
from larder.lookup.http.query import RecommendationQuery
from larder.lookup.operations.spawning import spawned
from larder.settings import LookupSettings

if TYPE_CHECKING:
    from multiprocessing.process import BaseProcess

    from larder.lookup.release.served_release import ServedRelease

# The largest number of answers handed over at a time. Packing them holds the event loop for a fraction of a
# millisecond; smaller chunks would cost the writer more.
CHUNK: Final = 4000
# The number of product names sent in one message.
TURN: Final = 2000
# The writer has the product names of this many loaded releases at most, and of none that was not used for so long.
MOST_LOADS: Final = 8
UNUSED_SECONDS: Final = 600.0
TICK_SECONDS: Final = 1.0
END_SECONDS: Final = 10.0
SECONDS_AN_HOUR: Final = 3600

NO_COOKIE, FULL = "no_cookie", "full"
REASONS: Final = (NO_COOKIE, FULL, DISK, KAFKA)
NO_ANSWERS: Final = AnswerNotes(0, "", 0, [])

log = logging.getLogger("larder.lookup")


class WriterProcess:
    """The writer process, which is replaced if it ends. Used by one thread."""

    def __init__(self, places: Destinations) -> None:
        self._places = places
        self._pipe: Connection | None = None
        self._process: BaseProcess | None = None
        # The loaded releases whose names the process has, and when each was used, in the order of use.
        self._used: dict[int, float] = {}

    def tell(self, message: Any) -> Any:
        """Sends a message and returns the reply, a WrittenCount for each destination.

        On any error, mostly OSError or EOFError, ends the process and raises the error.
        """
        try:
            if self._pipe is None:
                self._start()
            assert self._pipe is not None
            self._pipe.send(message)
            return self._pipe.recv()
        except Exception:
            self.end()
            raise

    def know(self, load: int, names: list[bytes]) -> list[Any]:
        """Sends the product names of a loaded release, unless the writer has them; returns its replies. See `tell`.

        First lets it forget releases that were not used for a while, or for the longest time if it has too many. Their
        names are sent again when they are needed again.
        """
        from larder.journey.writer import ReleaseProducts, ReleaseUnused

        now = time.monotonic()
        is_known = self._used.pop(load, None) is not None
        said = []
        for unused in self._unused(now):
            del self._used[unused]
            said.append(self.tell(ReleaseUnused(unused)))
        if not is_known:
            for start in range(0, len(names), TURN):
                said.append(self.tell(ReleaseProducts(load, names[start : start + TURN])))
        self._used[load] = now
        return said

    def end(self) -> None:
        """Lets the process finish its work, and waits for its end."""
        if self._pipe is not None:
            self._pipe.close()
        if self._process is not None:
            self._process.join(END_SECONDS)
        self._pipe = self._process = None
        self._used = {}

    def _unused(self, now: float) -> list[int]:
        """Returns the releases to forget, so that one more can be learned."""
        old = len([at for at in self._used.values() if now - at > UNUSED_SECONDS])
        return list(self._used)[: max(old, len(self._used) + 1 - MOST_LOADS)]

    def _start(self) -> None:
        from larder.journey.writer import run

        self._process, self._pipe = spawned(partial(run, self._places))


class Journal:
    """The journey log of one worker. Run `run` as a task; `stop` writes what is left."""

    def __init__(self, places: Destinations, most: int) -> None:
        """At most `most` answers wait in memory. The packages that `places` need must be installed."""
        self._most = most
        self._chunk = min(CHUNK, most // 2)
        # Answers not handed over yet, all of one hour, by the number of the loaded release.
        self._notes: dict[int, AnswerNotes] = {}
        self._noted = 0
        self._hour = 0
        # A thread waits for the writer process, which may wait for the disk.
        self._waiter = ThreadPoolExecutor(1, thread_name_prefix="journal")
        self._writer = WriterProcess(places)
        self._names = _names(places)
        # Answers passed to the writer and not yet confirmed, by destination.
        self._unfinished = dict.fromkeys(self._names, 0)
        self._lock = threading.Lock()
        self._waiting = 0
        self.done = dict.fromkeys(self._names, 0)
        self.dropped = dict.fromkeys(REASONS, 0)

    def note(
        self,
        question: RecommendationQuery,
        release: ServedRelease,
        request_id: bytes,
        picked: Sequence[PickedItems],
        treatment: Treatment | None = None,
    ) -> None:
        """Records one answer from `release`. Never waits, raises nothing."""
        if not question.cookie:
            # The event contract requires a cookie id.
            self.dropped[NO_COOKIE] += 1
            return
        now = time.time()
        if self._noted >= self._chunk or (self._noted and now >= (self._hour + 1) * SECONDS_AN_HOUR):
            self._hand_over()
        if not self._noted:
            self._hour = int(now // SECONDS_AN_HOUR)
        if self._waiting + self._noted >= self._most:
            self.dropped[FULL] += 1
            return
        notes = self._notes.get(release.load)
        if notes is None:
            notes = AnswerNotes(self._hour, release.name, release.load, release.names)
            self._notes[release.load] = notes
        items = 0
        for picks in picked:
            items += notes.run(picks.route, picks.ordinals, picks.scores, picks.propensities)
        experiment, arm, forced, policy = "", "", False, ""
        if treatment is not None:
            experiment, arm, forced, policy = treatment.experiment, treatment.arm, treatment.forced, treatment.policy
        location, device = question.location, question.device
        notes.answer(now, question.cookie, request_id, location, device, items, experiment, arm, forced, policy)
        self._noted += 1

    async def run(self) -> None:
        """Passes records on every second, until cancelled; without requests too, so that files are finished in time."""
        while True:
            self._hand_over()
            await asyncio.sleep(TICK_SECONDS)

    def stop(self) -> None:
        """Writes all records and finishes the files."""
        self._hand_over()
        self._waiter.submit(self._finish)
        self._waiter.shutdown()

    def _hand_over(self) -> None:
        handed = list(self._notes.values())
        # No reference is left to a release that may be replaced by now.
        self._notes = {}
        with self._lock:
            self._waiting += self._noted
        self._noted = 0
        for notes in handed or [NO_ANSWERS]:
            self._waiter.submit(self._write, notes)

    def _write(self, notes: AnswerNotes) -> None:
        try:
            for place in self._unfinished:
                self._unfinished[place] += notes.answers
            for said in self._writer.know(notes.load, notes.names) if notes.answers else []:
                self._count(said)
            self._count(self._writer.tell(notes.served()))
        except Exception as error:
            self._give_up(error)
        finally:
            with self._lock:
                self._waiting -= notes.answers

    def _finish(self) -> None:
        try:
            self._count(self._writer.tell(None))
        except Exception as error:
            self._give_up(error)
        self._writer.end()

    def _give_up(self, error: Exception) -> None:
        problem = f"the writer process ended: {error!r}"
        self._count([WrittenCount(place, 0, answers, problem) for place, answers in self._unfinished.items()])

    def _count(self, said: list[WrittenCount]) -> None:
        for place, answers, lost, problem in said:
            self.done[place] += answers
            self.dropped[place] += lost
            self._unfinished[place] -= answers + lost
            if problem and lost:
                log.warning("the journey log lost %d answers in %s: %s", lost, self._names[place], problem)
            elif problem:  # such as a broker that is not there yet, for which answers wait
                log.warning("the journey log in %s: %s", self._names[place], problem)


def journey_places(limits: LookupSettings) -> Destinations | None:
    """Returns the destinations of the journey log, or None if there are none."""
    kafka = KafkaTopic(limits.kafka, limits.kafka_topic, limits.kafka_options) if limits.kafka else None
    folder = Path(limits.journey) if limits.journey else None
    return Destinations(folder, limits.journey_seconds, kafka) if folder is not None or kafka is not None else None


def _names(places: Destinations) -> dict[str, str]:
    """Returns the name of each destination for log messages."""
    called = {DISK: str(places.folder)} if places.folder is not None else {}
    if places.kafka is not None:
        called[KAFKA] = f"Kafka's topic {places.kafka.topic}"
    return called
