"""Files loaded by a few processes, where Spark is not wanted: encoding is bound by Python's lock, not by the server."""

from __future__ import annotations

import multiprocessing
from multiprocessing.connection import Connection

from jobs.load_files import FileLoad, ReleaseFile


def load_in_processes(load: FileLoad, files: list[ReleaseFile], processes: int) -> list[str]:
    """Loads the files, `processes` at a time; returns what went wrong, a line each.

    A process whose parent was killed ends after the batch that it is at.
    """
    spawning = multiprocessing.get_context("spawn")  # a fork would share sockets and locks of running threads
    ordered = sorted(files, key=lambda file: -file.rows)
    started = []
    for number in range(processes):
        receiver, sender = spawning.Pipe(duplex=False)
        process = spawning.Process(target=_load, args=(load, ordered[number::processes], sender), daemon=True)
        process.start()
        sender.close()
        started.append((process, receiver))
    failures = []
    for process, receiver in started:
        try:
            failures.append(receiver.recv())
        except EOFError:
            failures.append("a loading process was killed; run it again; the live release is as it was")
        process.join()
    return [failure for failure in failures if failure]


def _load(load: FileLoad, files: list[ReleaseFile], sender: Connection) -> None:
    sender.send(next((failure for file in files if (failure := load(file))), ""))
