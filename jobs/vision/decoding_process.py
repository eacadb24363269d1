"""Pictures are decoded in a process of their own, which the system ends when one takes too much processor time.

Decoders are C code that neither a thread nor a signal handler of Python can interrupt, and a picture within all limits
on bytes and pixels may keep one busy for a minute. So the process asks the kernel for a limit on its own processor time
before each picture; beyond it the kernel ends the process, and a fresh one decodes the pictures that follow.
"""

from __future__ import annotations

import importlib
import os
import resource
import signal
import struct
import subprocess
import sys
from collections.abc import Callable
from dataclasses import dataclass
from math import ceil
from types import TracebackType
from typing import IO, Any

from larder.models.vision.image_decoding import CORRUPT, ImageError

TOO_SLOW = "too_slow"
DECODE = "larder.models.vision.image_decoding:decode"
# A message is the length of its body, then the body. An answer's body begins with one byte that says what it is.
LENGTH = struct.Struct("<Q")
PIXELS, REASON = b"+", b"-"
# How a decoder ends its process that meets a fault of its own. What else ends it is no fault of the picture.
CRASHES = (signal.SIGSEGV, signal.SIGBUS, signal.SIGABRT, signal.SIGILL, signal.SIGFPE)


class DecodingProcessError(RuntimeError):
    """The process that decodes pictures was ended from outside, such as for lack of memory; no picture is to blame."""


@dataclass(frozen=True)
class DecodingLimits:
    """The side of a result and the pixels, least side and whole seconds of processor time that a picture may have."""

    image_size: int
    max_pixels: int
    min_side: int
    seconds: int


class PictureDecoder:
    """Decodes pictures, one at a time, in a process that is started for the first and ends with the `with` block.

    `function` is `MODULE:NAME` of what decodes: bytes, image_size, max_pixels, min_side to a uint8 array.
    """

    def __init__(self, limits: DecodingLimits, function: str = DECODE) -> None:
        self.limits, self.function = limits, function
        self._process: subprocess.Popen[bytes] | None = None

    def __enter__(self) -> PictureDecoder:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self._end()

    def decode(self, data: bytes) -> bytes:
        """Returns the picture's pixels, image_size x image_size x RGB.

        Raises ImageError, with the reason TOO_SLOW where decoding took longer than `limits.seconds` of processor time,
        and DecodingProcessError.
        """
        process = self._started()
        assert process.stdin and process.stdout
        try:
            _send(process.stdin, data)
            answer = _receive(process.stdout)
        except (BrokenPipeError, EOFError):
            raise self._reason_of_end() from None
        if answer[:1] == REASON:
            reason, _, detail = answer[1:].decode().partition("\n")
            raise ImageError(reason, detail)
        return answer[1:]

    def _started(self) -> subprocess.Popen[bytes]:
        if self._process is None:
            limits = self.limits
            numbers = [limits.image_size, limits.max_pixels, limits.min_side, limits.seconds]
            self._process = subprocess.Popen(
                [sys.executable, "-c", f"from {__name__} import serve; serve()", self.function, *map(str, numbers)],
                stdin=subprocess.PIPE,
                stdout=subprocess.PIPE,
                # Where executors have Larder from --py-files, only this process knows where it is.
                env={**os.environ, "PYTHONPATH": os.pathsep.join(path for path in sys.path if path)},
            )
        return self._process

    def _reason_of_end(self) -> Exception:
        """The error of a picture whose process has ended while it was decoded."""
        assert self._process
        code = self._process.wait()
        self._end()
        if code == -signal.SIGXCPU:
            return ImageError(TOO_SLOW, f"more than {self.limits.seconds} seconds of processor time")
        if -code in CRASHES:
            return ImageError(CORRUPT, f"the decoder crashed ({signal.Signals(-code).name})")
        return DecodingProcessError(
            f"the process that decodes pictures ended with code {code}; if it is -9, give executors more memory"
        )

    def _end(self) -> None:
        process, self._process = self._process, None
        if process:
            process.kill()
            process.wait()
            for pipe in (process.stdin, process.stdout):
                if pipe:
                    _close(pipe)


def serve() -> None:
    """The decoding process: decodes what comes on standard input until that ends. Its arguments are as above."""
    function, *numbers = sys.argv[1:]
    image_size, max_pixels, min_side, seconds = map(int, numbers)
    module, _, name = function.partition(":")
    decode: Callable[..., Any] = getattr(importlib.import_module(module), name)
    signal.signal(signal.SIGINT, signal.SIG_IGN)  # whoever reads decides when it ends
    answers = os.fdopen(os.dup(sys.stdout.fileno()), "wb")
    os.dup2(sys.stderr.fileno(), sys.stdout.fileno())  # what a library prints must not end up between answers
    while True:
        try:
            data = _receive(sys.stdin.buffer)
        except EOFError:
            return
        _limit_processor_time(seconds)
        try:
            answer = PIXELS + decode(data, image_size, max_pixels, min_side).tobytes()
        except ImageError as error:
            answer = REASON + str(error).replace(": ", "\n", 1).encode()
        _send(answers, answer)


def _limit_processor_time(seconds: int) -> None:
    """Has the kernel end this process once it has used `seconds` more of processor time, rounded up to a whole one."""
    used = resource.getrusage(resource.RUSAGE_SELF)
    _, most = resource.getrlimit(resource.RLIMIT_CPU)
    resource.setrlimit(resource.RLIMIT_CORE, (0, resource.getrlimit(resource.RLIMIT_CORE)[1]))  # no file of its memory
    limit = ceil(used.ru_utime + used.ru_stime) + seconds
    resource.setrlimit(resource.RLIMIT_CPU, (limit if most == resource.RLIM_INFINITY else min(limit, most), most))


def _send(pipe: IO[bytes], body: bytes) -> None:
    pipe.write(LENGTH.pack(len(body)))
    pipe.write(body)
    pipe.flush()


def _receive(pipe: IO[bytes]) -> bytes:
    """The next message. Raises EOFError where the other side has ended."""
    head = pipe.read(LENGTH.size)
    if len(head) < LENGTH.size:
        raise EOFError
    (length,) = LENGTH.unpack(head)
    body = pipe.read(length)
    if len(body) < length:
        raise EOFError
    return body


def _close(pipe: IO[bytes]) -> None:
    try:
        pipe.close()
    except BrokenPipeError:  # what was still to be written has nobody to read it
        return
