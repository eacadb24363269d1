"""Measures the peak memory of a command and all processes that it starts, as Linux counts it (/proc)."""

from __future__ import annotations

import os
import subprocess
import tempfile
import threading
import time
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path

PROC = Path("/proc")
SAMPLE_SECONDS = 0.1
PAGE = os.sysconf("SC_PAGE_SIZE")
RSS_FIELD = 1  # of /proc/PID/statm, in pages


class CommandFailedError(RuntimeError):
    """A measured command ended with an error; the message ends with what it printed."""


@dataclass
class Watched:
    """What a command took. Peaks are resident bytes; pages that processes share count in each of them."""

    seconds: float = 0.0
    output: str = ""
    peaks: dict[str, int] = field(default_factory=dict)  # by role: the largest process of that role
    total: int = 0  # all processes at the same moment

    def megabytes(self) -> dict[str, int]:
        return {role: round(peak / 1e6) for role, peak in {**self.peaks, "together": self.total}.items()}

    def join(self, other: Watched) -> None:
        """Adds a command that ran afterwards."""
        self.seconds += other.seconds
        self.output += other.output
        self.total = max(self.total, other.total)
        for role, peak in other.peaks.items():
            self.peaks[role] = max(self.peaks.get(role, 0), peak)


def watched(command: Sequence[str], environment: Mapping[str, str] | None = None) -> Watched:
    """Runs a command to its end and watches its processes. Raises CommandFailedError."""
    found, done = Watched(), threading.Event()
    with tempfile.TemporaryFile("w+") as output:
        begun = time.perf_counter()
        process = subprocess.Popen(
            command, stdout=output, stderr=subprocess.STDOUT, env={**os.environ, **(environment or {})}
        )
        watcher = threading.Thread(target=_watch, args=(process.pid, found, done), daemon=True)
        watcher.start()
        code = process.wait()
        found.seconds = time.perf_counter() - begun
        done.set()
        watcher.join()
        output.seek(0)
        found.output = output.read()
    if code:
        raise CommandFailedError(f"{' '.join(command)} ended with {code}:\n{found.output[-3000:]}")
    return found


def _watch(root: int, found: Watched, done: threading.Event) -> None:
    while not done.wait(SAMPLE_SECONDS):
        tree, total = _tree(root), 0
        for pid, parent in tree.items():
            try:
                role = _role(pid, parent)
                peak = _status_bytes(pid, "VmHWM")  # the process's own record: nothing is missed between samples
                total += int((PROC / str(pid) / "statm").read_text().split()[RSS_FIELD]) * PAGE
            except (OSError, ValueError):
                continue  # it has ended meanwhile
            found.peaks[role] = max(found.peaks.get(role, 0), peak)
        found.total = max(found.total, total)


def _tree(root: int) -> dict[int, int]:
    """Returns the process and all its descendants, with their parents."""
    parents = {}
    for entry in os.listdir(PROC):
        if entry.isdigit():
            try:
                stat = (PROC / entry / "stat").read_text()
            except OSError:
                continue
            parents[int(entry)] = int(stat.rpartition(")")[2].split()[1])
    below = {root: parents.get(root, 0)}
    grown = True
    while grown:
        more = {pid: parent for pid, parent in parents.items() if parent in below and pid not in below}
        below.update(more)
        grown = bool(more)
    return below


def _role(pid: int, parent: int) -> str:
    """Returns what a process is: Java, a Python worker of Spark, the daemon that forks workers, the command itself, or
    a shell."""
    line = _command_line(pid)
    if line and os.path.basename(line[0]).startswith("java"):
        return "java"
    if "pyspark.daemon" in line:
        return "python_worker" if "pyspark.daemon" in _command_line(parent) else "python_daemon"
    return "python" if line and os.path.basename(line[0]).startswith("python") else "other"


def _command_line(pid: int) -> list[str]:
    return (PROC / str(pid) / "cmdline").read_text().split("\0")[:-1]


def _status_bytes(pid: int, name: str) -> int:
    for line in (PROC / str(pid) / "status").read_text().splitlines():
        if line.startswith(f"{name}:"):
            return int(line.split()[1]) * 1024
    raise ValueError(f"{name} of process {pid}")  # a process that has ended has no memory
