"""The process that writes the journey log, apart from the process that answers requests."""

from __future__ import annotations

import os
import signal
from multiprocessing.connection import Connection
from typing import NamedTuple

from larder.journey.destinations import Destination, Destinations

# Answers have priority. With a higher value, or SCHED_IDLE, a busy machine would leave the writer no time at all.
NICENESS = 10


class ReleaseProducts(NamedTuple):
    """The next product names of a loaded release, as JSON strings."""

    load: int
    names: list[bytes]


class ReleaseUnused(NamedTuple):
    """A loaded release whose product names are no longer needed."""

    load: int


def run(places: Destinations, pipe: Connection) -> None:
    """Writes what arrives through the pipe until it is closed; replies to each message with a list of WrittenCount.

    If the parent dies, everything received so far is still written.
    """
    for each in (signal.SIGINT, signal.SIGTERM, signal.SIGHUP):
        signal.signal(each, signal.SIG_IGN)
    os.nice(NICENESS)
    written_to = _opened(places)
    try:
        while True:
            message = pipe.recv()
            for place in written_to:
                if message is None:
                    place.finish()
                elif isinstance(message, ReleaseProducts):
                    place.learn(message.load, message.names)
                elif isinstance(message, ReleaseUnused):
                    place.forget(message.load)
                else:
                    place.write(message)
            pipe.send([place.take_counts() for place in written_to])
    except (EOFError, OSError):
        for place in written_to:
            place.finish()


def _opened(places: Destinations) -> list[Destination]:
    """Opens the destinations, the folder first because it never waits. Each imports only the package it needs."""
    opened: list[Destination] = []
    if places.folder is not None:
        from larder.journey.log_files import FolderDestination

        opened.append(FolderDestination(places.folder, places.seconds))
    if places.kafka is not None:
        from larder.journey.kafka import KafkaDestination

        opened.append(KafkaDestination(places.kafka))
    return opened
