"""The destinations of the journey log, and the counts they report."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import NamedTuple, Protocol

from pydantic import SecretStr

from larder.journey.served import ServedAnswers

DISK, KAFKA = "disk", "kafka"


class KafkaTopic(NamedTuple):
    """A Kafka topic. `servers` is librdkafka's bootstrap.servers; `options` has other librdkafka settings by name."""

    servers: str
    topic: str
    options: Mapping[str, SecretStr]


class Destinations(NamedTuple):
    """Where the log is written: a folder, whose files are finished every `seconds`, a Kafka topic, or both."""

    folder: Path | None
    seconds: float
    kafka: KafkaTopic | None


class WrittenCount(NamedTuple):
    """The answers written and lost at a destination (DISK or KAFKA) since the last count. A `problem` comes once."""

    place: str
    answers: int
    lost: int
    problem: str


class Destination(Protocol):
    """One destination of one writer process."""

    def learn(self, load: int, names: list[bytes]) -> None:
        """Appends product names (JSON strings) of a loaded release, to which ordinals of its later answers refer."""

    def forget(self, load: int) -> None:
        """Removes the product names of a loaded release."""

    def write(self, served: ServedAnswers) -> None:
        """Writes answers, possibly none, and finishes files that are due. Raises nothing."""

    def finish(self) -> None:
        """Completes all writes, within a few seconds. Raises nothing."""

    def take_counts(self) -> WrittenCount:
        """Returns the counts since the last call."""
