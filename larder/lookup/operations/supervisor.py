"""Starts the worker processes, and replaces those that end."""

from __future__ import annotations

import logging
import signal
import time
from collections.abc import Callable
from multiprocessing.connection import Connection, wait
from typing import Any

from larder.lookup.operations.spawning import spawned

# The pause between the end of a process and the start of its replacement.
PAUSE_SECONDS = 0.5
# Longer than a process takes to finish its requests and then its journey log.
END_SECONDS = 25.0

log = logging.getLogger("larder.lookup")

Work = Callable[[Connection], None]


class _Stopped(BaseException):
    """A signal asked the supervisor to stop."""


class _Process:
    """One worker process. It sends a message through the pipe once it listens, and ends when the pipe is closed."""

    def __init__(self, work: Work) -> None:
        self.process, self.pipe = spawned(work)
        self.begun = False


def supervise(work: Work, count: int, begun: Callable[[], object]) -> None:
    """Runs `count` processes of `work`, which must be picklable, until SIGINT, SIGTERM or SIGHUP.

    Calls `begun` once all of them listen. A process that ends later is replaced. Raises SystemExit(1) if a process
    ends before all of them listen.
    """
    for number in (signal.SIGINT, signal.SIGTERM, signal.SIGHUP):
        signal.signal(number, _stop)
    running: list[_Process] = []
    try:
        running += [_Process(work) for _ in range(count)]
        _wait_until_begun(running)
        begun()
        while True:
            wait([each.process.sentinel for each in running])
            time.sleep(PAUSE_SECONDS)
            for place, each in enumerate(running):
                if not each.process.is_alive():
                    log.error("process %s of the endpoint ended: %s; starting another", each.process.pid, _how(each))
                    each.pipe.close()
                    running[place] = _Process(work)
    except _Stopped:
        pass
    finally:
        _end(running)


def _wait_until_begun(running: list[_Process]) -> None:
    while not all(each.begun for each in running):
        for each in running:
            if not each.process.is_alive():
                log.critical("process %s of the endpoint could not start: %s", each.process.pid, _how(each))
                raise SystemExit(1)
        for each in running:
            if not each.begun and each.pipe.poll(0.05):
                each.begun = _told(each.pipe)


def _told(pipe: Connection) -> bool:
    try:
        return bool(pipe.recv())
    except EOFError:
        return False


def _end(running: list[_Process]) -> None:
    # A second signal kills what is still running.
    until = time.monotonic() + END_SECONDS
    try:
        for each in running:
            each.pipe.close()
        for each in running:
            each.process.join(max(0.0, until - time.monotonic()))
    except _Stopped:
        pass
    finally:
        for each in running:
            each.process.kill()
            each.process.join()


def _how(each: _Process) -> str:
    code = each.process.exitcode or 0
    return f"signal {-code}" if code < 0 else f"exit status {code}"


def _stop(*_: Any) -> None:
    raise _Stopped
