"""Processes of the endpoint, each with a pipe to whoever started it."""

from __future__ import annotations

import multiprocessing
from collections.abc import Callable
from multiprocessing.connection import Connection
from multiprocessing.process import BaseProcess

# Fresh interpreters: a forked one would hold all that this one has, and the pipes of its siblings open.
processes = multiprocessing.get_context("spawn")


def spawned(work: Callable[[Connection], None]) -> tuple[BaseProcess, Connection]:
    """A process of `work`, which must be picklable, and this end of its pipe; where that is closed, it should end."""
    ours, theirs = processes.Pipe()
    process = processes.Process(target=work, args=(theirs,))
    process.start()
    # Else it would never learn that this one is gone.
    theirs.close()
    return process, ours
