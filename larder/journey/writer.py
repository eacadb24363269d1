"""The process that writes the journey log, so that no answer shares an interpreter with it."""

from __future__ import annotations

import os
import signal
from multiprocessing.connection import Connection
from typing import NamedTuple

from larder.journey.destinations import Destination, Destinations

# Answers come first where both want the processor. Lower still, or by SCHED_IDLE, a busy machine would leave it
# nothing, and the log would be dropped.
NICENESS = 10


class ReleaseProducts(NamedTuple):
    """Some of a release's products, named as in an answer; `first` are those of another release than before."""

    first: bool
    names: list[bytes]


def run(places: Destinations, pipe: Connection) -> None:
    """Writes what comes through the pipe until its other end is closed, and says of each message what was written:
    a list of Written.

    What was handed over is written, whatever becomes of who handed it over.
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
                    place.learn(message.first, message.names)
                else:
                    place.write(message)
            pipe.send([place.take_counts() for place in written_to])
    except (EOFError, OSError):
        for place in written_to:
            place.finish()


def _opened(places: Destinations) -> list[Destination]:
    """The folder first: it waits for nothing. Each needs a package of its own, which the other does without."""
    opened: list[Destination] = []
    if places.folder is not None:
        from larder.journey.log_files import FolderDestination

        opened.append(FolderDestination(places.folder, places.seconds))
    if places.kafka is not None:
        from larder.journey.kafka import KafkaDestination

        opened.append(KafkaDestination(places.kafka))
    return opened
