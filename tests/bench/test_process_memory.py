"""Memory of commands and their children, as the kernel counts it."""

from __future__ import annotations

import sys

import pytest

from bench.process_memory import CommandFailedError, Watched, watched

MEGABYTE = 1_000_000
HOLDS = "import time; held = bytearray(b'x') * {size}; time.sleep(0.5)"
STARTS_TWO = f"""
import subprocess, sys
children = [subprocess.Popen([sys.executable, "-c", "{HOLDS.format(size=60 * MEGABYTE)}"]) for _ in range(2)]
print([child.wait() for child in children])
"""


def test_every_process_below_the_command_is_seen() -> None:
    found = watched([sys.executable, "-c", STARTS_TWO])
    assert found.output == "[0, 0]\n"
    assert found.seconds > 0
    assert 60 * MEGABYTE < found.peaks["python"] < 120 * MEGABYTE < found.total


def test_a_command_that_fails_says_why() -> None:
    with pytest.raises(CommandFailedError, match="no such thing"):
        watched([sys.executable, "-c", "raise SystemExit('no such thing')"])


def test_peaks_of_commands_one_after_the_other() -> None:
    found = Watched(1.0, "a", {"java": 5, "python": 3}, 8)
    found.join(Watched(2.0, "b", {"java": 4, "other": 1}, 9))
    assert found == Watched(3.0, "ab", {"java": 5, "python": 3, "other": 1}, 9)
