"""Starts the servers of the lookup bench, each in a process of its own on loopback."""

from __future__ import annotations

import os
import shutil
import socket
import subprocess
import sys
import time
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from pathlib import Path
from urllib.error import HTTPError, URLError
from urllib.request import Request, urlopen

ROOT = Path(__file__).parents[1]
NOT_SOURCE = shutil.ignore_patterns(".*", "build", "*.egg-info", "__pycache__", "tests", "docs")
START_SECONDS = 60.0
KEY = "a-key-of-the-bench-0123456789abcdef"


def installed(work: Path, build: Path = ROOT, python: str = sys.executable) -> Path:
    """Installs Larder, with the modules that answer a request compiled, and returns the folder to import it from."""
    source, folder = work / "built", work / "installed"
    shutil.copytree(build, source, ignore=NOT_SOURCE)
    options = ["--quiet", "--disable-pip-version-check", "--no-deps", "--target", str(folder)]
    subprocess.run([python, "-m", "pip", "install", *options, str(source)], check=True)
    return folder


@contextmanager
def ours(
    work: Path, redis_url: str, settings: str, folder: Path, python: str = sys.executable, namespace: str = "larder"
) -> Iterator[tuple[str, int]]:
    """Starts `larder serve` of `folder` and returns its URL and process id; `settings` are further lines from
    `[lookup]` on."""
    work.mkdir()
    file = work / "larder.toml"
    port = _free_port()
    file.write_text(f'[redis]\nurl = "{redis_url}"\nnamespace = "{namespace}"\n[lookup]\nport = {port}\n{settings}\n')
    command = [python, "-m", "larder", "serve", "--settings", str(file)]
    with _running(command, {}, f"http://127.0.0.1:{port}", "/health/ready", folder) as served:
        yield served


@contextmanager
def bare(redis_port: int, folder: Path) -> Iterator[tuple[str, int]]:
    """Starts the bare server with the Larder in `folder`, in one process."""
    port = _free_port()
    # `folder` holds Larder alone; the bench itself is found where it stands.
    ports = {"REDIS_PORT": str(redis_port), "PORT": str(port), "PYTHONPATH": str(ROOT)}
    command = [sys.executable, "-m", "bench.lookup_bare"]
    with _running(command, ports, f"http://127.0.0.1:{port}", "/r/none", folder) as served:
        yield served


@contextmanager
def floor(redis_port: int, workers: int) -> Iterator[tuple[str, int]]:
    """Starts bench/lookup_floor.py and returns its URL and process id."""
    port = _free_port()
    command = [sys.executable, "-m", "granian", "--interface", "rsgi", "--port", str(port), "--no-access-log"]
    command += ["--workers", str(workers), "bench.lookup_floor:app"]
    environment = {"REDIS_PORT": str(redis_port)}
    with _running(command, environment, f"http://127.0.0.1:{port}", "/r/none") as served:
        yield served


@contextmanager
def fastapi(redis_port: int, workers: int) -> Iterator[tuple[str, int]]:
    """Starts bench/lookup_fastapi.py and returns its URL and process id."""
    port = _free_port()
    options = [
        "--workers",
        str(workers),
        "--loop",
        "uvloop",
        "--http",
        "httptools",
        "--no-access-log",
        "--log-level",
        "warning",
    ]
    command = [sys.executable, "-m", "uvicorn", "--port", str(port), *options, "bench.lookup_fastapi:app"]
    with _running(command, {"REDIS_PORT": str(redis_port)}, f"http://127.0.0.1:{port}", "/r/none") as served:
        yield served


@contextmanager
def _running(
    command: list[str], environment: Mapping[str, str], url: str, path: str, folder: Path = ROOT
) -> Iterator[tuple[str, int]]:
    """Runs a server. Python looks for modules in `folder` first."""
    process = subprocess.Popen(command, env={**os.environ, **environment}, stdout=subprocess.DEVNULL, cwd=folder)
    try:
        end = time.monotonic() + START_SECONDS
        while not _answers(url + path):
            if process.poll() is not None or time.monotonic() > end:
                raise RuntimeError(f"{' '.join(command)} did not start")
            time.sleep(0.1)
        yield url, process.pid
    finally:
        process.terminate()
        process.wait(START_SECONDS)


def _answers(url: str) -> bool:
    try:
        with urlopen(Request(url, headers={"X-API-Key": KEY}), timeout=1) as response:
            return bool(response.status == 200)
    except (HTTPError, URLError, OSError):
        return False


def resident_megabytes(pid: int) -> float:
    """Returns the resident memory of a process and its children, in 10^6 bytes. Linux."""
    pages = sum(int(Path(f"/proc/{each}/statm").read_text().split()[1]) for each in _family(pid))
    return pages * os.sysconf("SC_PAGE_SIZE") / 1e6


def processor_seconds(pid: int) -> float:
    """Returns the CPU time of a process and its children, in user and system mode, on all cores. Linux."""
    ticks = 0
    for each in _family(pid):
        fields = Path(f"/proc/{each}/stat").read_text().rpartition(")")[2].split()
        ticks += int(fields[11]) + int(fields[12])
    return ticks / os.sysconf("SC_CLK_TCK")


def _family(pid: int) -> list[int]:
    found, left = [], [pid]
    while left:
        found.append(one := left.pop())
        # A child belongs to the thread that started it.
        for thread in Path(f"/proc/{one}/task").iterdir():
            left += map(int, (thread / "children").read_text().split())
    return found


def _free_port() -> int:
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        return int(probe.getsockname()[1])
