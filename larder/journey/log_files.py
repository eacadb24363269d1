"""The journey log in a folder of Parquet files."""

from __future__ import annotations

import time
import uuid
from pathlib import Path

from larder.journey.destinations import DISK, WrittenCount
from larder.journey.parquet import ImpressionFile, ProductIds, remove_abandoned
from larder.journey.served import ServedAnswers


class FolderDestination:
    """A folder as a destination. Each file has answers of one hour."""

    def __init__(self, folder: Path, seconds: float) -> None:
        """A file is finished after `seconds` or at the end of its hour. Removes files of killed processes."""
        remove_abandoned(folder)
        self._folder = folder
        self._seconds = seconds
        self._ids: dict[int, ProductIds] = {}
        self._file: ImpressionFile | None = None
        self._file_hour = 0
        self._finish_at = 0.0
        # Drawn at random: in containers, every endpoint that writes to a shared folder has the same process id.
        self._writer = uuid.uuid4().hex[:12]
        self._number = 0
        self._written = 0
        self._lost = 0
        self._problem = ""

    def learn(self, load: int, names: list[bytes]) -> None:
        """See Destination.learn."""
        self._ids.setdefault(load, ProductIds()).add(names)

    def forget(self, load: int) -> None:
        """See Destination.forget."""
        self._ids.pop(load, None)

    def write(self, served: ServedAnswers) -> None:
        """See Destination.write."""
        try:
            now = time.monotonic()
            if self._file is not None and (
                now >= self._finish_at or (served.answers and served.hour != self._file_hour)
            ):
                self.finish()
            if served.answers:
                file = self._file = self._file or self._open(served.hour, now)
                ids = self._ids.get(served.load, ProductIds())
                file.add(served, ids.array())
        except Exception as error:
            self._give_up(error, served.answers)

    def finish(self) -> None:
        """Finishes the current file, which makes it visible. Raises nothing."""
        file, self._file = self._file, None
        if file is None:
            return
        try:
            file.close()
            self._written += file.answers
        except Exception as error:
            self._give_up(error, file.answers)

    def take_counts(self) -> WrittenCount:
        """See Destination.take_counts."""
        told = WrittenCount(DISK, self._written, self._lost, self._problem)
        self._written, self._lost, self._problem = 0, 0, ""
        return told

    def _open(self, hour: int, now: float) -> ImpressionFile:
        self._number += 1
        name = f"served-{time.time_ns() // 1_000_000}-{self._writer}-{self._number}"
        self._file_hour = hour
        self._finish_at = now + self._seconds
        return ImpressionFile(self._folder, hour, name)

    def _give_up(self, error: Exception, answers: int) -> None:
        """Drops the current file, and counts its answers as lost."""
        file, self._file = self._file, None
        if file is not None:
            answers += file.answers
            file.discard()
        self._lost += answers
        self._problem = str(error)
