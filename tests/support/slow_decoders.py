"""A stand-in for a decoder that some pictures keep busy for ever, and that others crash."""

from __future__ import annotations

import os
import signal
import sys
from typing import Any

import numpy as np

from larder.models.vision.image_decoding import CORRUPT, ImageError


def decode(data: bytes, image_size: int, max_pixels: int, min_side: int) -> Any:
    """Spins for ever, crashes, is killed, talks, or refuses, as `data` says; else a picture of one colour."""
    if data == b"spin":
        # As C code does that does not come back: no exception raised in this thread would end it.
        signal.pthread_sigmask(signal.SIG_BLOCK, {signal.SIGINT, signal.SIGTERM, signal.SIGALRM})
        while True:
            pass
    if data == b"crash":
        os.kill(os.getpid(), signal.SIGSEGV)
    if data == b"no memory":
        os.kill(os.getpid(), signal.SIGKILL)
    if data == b"talk":
        print("a library's own words")
        sys.stdout.flush()
    if data == b"refuse":
        raise ImageError(CORRUPT, "of three: parts: here")
    return np.full((image_size, image_size, 3), len(data), np.uint8)
