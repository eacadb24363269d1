"""Where the journey log goes, and what became of it there."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import NamedTuple, Protocol

from pydantic import SecretStr

from larder.journey.served import ServedAnswers

DISK, KAFKA = "disk", "kafka"


class KafkaTopic(NamedTuple):
    """A topic. `servers` are librdkafka's bootstrap.servers, `options` further settings of it by their names there."""

    servers: str
    topic: str
    options: Mapping[str, SecretStr]


class Destinations(NamedTuple):
    """A folder, whose files are finished after `seconds`, or a topic of Kafka, or both."""

    folder: Path | None
    seconds: float
    kafka: KafkaTopic | None


class WrittenCount(NamedTuple):
    """What became of answers in DISK or KAFKA since the last of these; `problem` says what is wrong there, once."""

    place: str
    answers: int
    lost: int
    problem: str


class Destination(Protocol):
    """One of them, for one process."""

    def learn(self, first: bool, names: list[bytes]) -> None:
        """Takes names of products, as JSON, to which the ordinals of what comes afterwards refer; `first` are those
        of another release than before."""

    def write(self, served: ServedAnswers) -> None:
        """Takes answers; none only have it do in time what is due. Raises nothing."""

    def finish(self) -> None:
        """Sees to it, for some seconds at most, that what it took is where it belongs. Raises nothing."""

    def take_counts(self) -> WrittenCount:
        """What became of answers since it was asked last."""
