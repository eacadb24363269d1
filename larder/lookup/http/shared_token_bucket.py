"""A token bucket that several worker processes share, so that a key's rate holds whichever worker it reaches."""

from __future__ import annotations

import fcntl
import mmap
import os
import struct
import time
from pathlib import Path

from larder.lookup.http.token_bucket import taken

STATE = struct.Struct("=dd")  # tokens left, and seconds of the monotonic clock, which all processes share


class SharedTokenBucket:
    """See TokenBucket. Its state is in a file that each process maps; a process that dies gives its lock back."""

    def __init__(self, path: Path, rate: float) -> None:
        self._rate = rate
        # A descriptor for each process: a lock belongs to the opened file.
        self._file = os.open(path, os.O_RDWR | os.O_CREAT, 0o600)
        fcntl.flock(self._file, fcntl.LOCK_EX)
        try:
            if os.fstat(self._file).st_size < STATE.size:
                os.write(self._file, STATE.pack(rate, time.monotonic()))
        finally:
            fcntl.flock(self._file, fcntl.LOCK_UN)
        self._state = mmap.mmap(self._file, STATE.size)

    def take(self, queries: int, now: float) -> float:
        """See TokenBucket.take. `now` is time.monotonic()."""
        fcntl.flock(self._file, fcntl.LOCK_EX)
        try:
            left, at = STATE.unpack(self._state)
            left, wait = taken(left, at, self._rate, queries, now)
            self._state[:] = STATE.pack(left, now)
        finally:
            fcntl.flock(self._file, fcntl.LOCK_UN)
        return wait
