"""Drives a server with wrk."""

from __future__ import annotations

import json
import os
import shutil
import subprocess
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import NamedTuple

SCRIPT = Path(__file__).with_name("wrk.lua")


class Load(NamedTuple):
    """What wrk measured. Percentiles are in milliseconds; `refused` counts answers with 4xx or 5xx, `broken` requests
    without one."""

    requests: int
    seconds: float
    p50: float
    p99: float
    p999: float
    most: float
    refused: int
    broken: int

    @property
    def rate(self) -> float:
        """Requests per second."""
        return self.requests / self.seconds


def find_wrk() -> str:
    """Returns the path of wrk. Exits with the remedy if it is not installed."""
    found = shutil.which("wrk")
    if found is None:
        raise SystemExit(
            "this bench needs wrk; install it (Debian, Ubuntu: apt-get install wrk; macOS: brew install wrk)"
        )
    return found


def drive(
    url: str,
    requests: Path,
    seconds: float,
    connections: int = 64,
    rate: int = 0,
    headers: Mapping[str, str] | None = None,
) -> Load:
    """Sends random lines of `requests` (see wrk.lua) from one thread, `rate` per second; 0: as fast as possible."""
    words = [find_wrk(), "-t1", f"-c{connections}", f"-d{round(seconds)}s", "--timeout", "10s", "-s", str(SCRIPT)]
    for name, value in (headers or {}).items():
        words += ["-H", f"{name}: {value}"]
    environment = {**os.environ, "REQUESTS": str(requests), "RATE": str(rate)}
    done = subprocess.run([*words, url], env=environment, capture_output=True, text=True)
    if done.returncode:
        raise RuntimeError(f"wrk failed: {done.stdout}{done.stderr}")
    return Load(**json.loads(done.stdout.splitlines()[-1]))


def write_requests(file: Path, requests: Sequence[Sequence[str]]) -> Path:
    """Writes requests, one per line: method, path, and optionally a body without line breaks and a request id."""
    file.write_text("".join("\t".join(request) + "\n" for request in requests))
    return file
