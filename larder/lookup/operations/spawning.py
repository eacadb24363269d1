"""Starts processes of the endpoint, each with a pipe to its parent."""

from __future__ import annotations

import multiprocessing
from collections.abc import Callable
from multiprocessing.connection import Connection
from multiprocessing.process import BaseProcess

# A forked process would keep its parent's memory and its siblings' pipes open.
processes = multiprocessing.get_context("spawn")


def spawned(work: Callable[[Connection], None]) -> tuple[BaseProcess, Connection]:
    """Starts `work`, which must be picklable; returns the process and the parent's end of its pipe.

    `work` should end when the parent's end is closed.
    """
    ours, theirs = processes.Pipe()
    process = processes.Process(target=work, args=(theirs,))
    process.start()
    # Otherwise the child would never see that the parent is gone.
    theirs.close()
    return process, ours
