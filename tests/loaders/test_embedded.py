"""The server of one's own: started, shared, taken over, stopped, its data kept."""

from __future__ import annotations

import json
import os
import signal
import stat
import subprocess
import sys
import time
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest
import redis
from publishing_servers import Server, stop

from larder.loaders import embedded
from larder.loaders.embedded import EmbeddedServerError, embedded_server, redis_server

pytestmark = pytest.mark.end_to_end

HOLD = """
import sys
from larder.loaders.embedded import embedded_server
with embedded_server(sys.argv[1]) as url:
    print(url, flush=True)
    sys.stdin.read()
"""
PATIENCE = 20.0


def holder(folder: Path) -> tuple[subprocess.Popen[str], str]:
    """Another process that uses the server until its input ends."""
    process = subprocess.Popen(
        [sys.executable, "-c", HOLD, str(folder)], stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True
    )
    assert process.stdout is not None
    return process, process.stdout.readline().strip()


def let_go(process: subprocess.Popen[str]) -> None:
    assert process.stdin is not None
    assert process.stdout is not None
    process.stdin.close()
    assert process.wait(PATIENCE) == 0
    process.stdout.close()


def answers(url: str) -> bool:
    with redis.Redis.from_url(url) as client:
        try:
            return bool(client.ping())
        except redis.ConnectionError:
            return False


def wait_until(true: Callable[[], bool]) -> None:
    end = time.monotonic() + PATIENCE
    while not true():
        assert time.monotonic() < end
        time.sleep(0.02)


@pytest.fixture
def start_server(tmp_path: Path) -> Iterator[Callable[..., Server]]:
    started: list[Server] = []

    def start(*options: str) -> Server:
        started.append(Server(tmp_path / f"server{len(started)}", *options).start())
        return started[-1]

    yield start
    stop(started)


def test_a_named_server_is_used_as_it_is(tmp_path: Path) -> None:
    with redis_server("redis://elsewhere:6379/0", tmp_path) as url:
        assert url == "redis://elsewhere:6379/0"
    assert list(tmp_path.iterdir()) == []


def test_it_runs_meanwhile_and_no_longer(tmp_path: Path) -> None:
    with redis_server("", tmp_path / "new" / "redis") as url:
        assert answers(url)
    assert not answers(url)
    assert not (tmp_path / "new" / "redis" / embedded.STATE_FILE).exists()


def test_data_survive_a_restart(tmp_path: Path) -> None:
    with embedded_server(tmp_path) as url, redis.Redis.from_url(url) as client:
        client.hset("larder:live", "release", "r1")
    with embedded_server(tmp_path) as url, redis.Redis.from_url(url) as client:
        assert client.hgetall("larder:live") == {b"release": b"r1"}


def test_no_other_user_can_reach_it(tmp_path: Path) -> None:
    with embedded_server(tmp_path) as url, redis.Redis.from_url(url) as client:
        assert client.config_get("port") == {"port": "0"}
        socket_file = Path(url.removeprefix("unix://"))
        assert stat.S_IMODE(socket_file.stat().st_mode) == 0o700
        assert stat.S_IMODE(socket_file.parent.stat().st_mode) == 0o700


def test_a_socket_folder_that_others_may_enter_is_refused(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(embedded.tempfile, "gettempdir", lambda: str(tmp_path))
    (tmp_path / f"larder-{os.getuid()}").mkdir(mode=0o755)
    with pytest.raises(EmbeddedServerError, match="mode 700"), embedded_server(tmp_path / "data"):
        pass


def test_a_socket_path_that_no_system_allows_is_told(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    folder = tmp_path / ("x" * 100)
    folder.mkdir()
    monkeypatch.setattr(embedded.tempfile, "gettempdir", lambda: str(folder))
    with pytest.raises(EmbeddedServerError, match="set TMPDIR"), embedded_server(tmp_path / "data"):
        pass


def test_a_strangers_server_is_neither_attached_to_nor_stopped(
    tmp_path: Path, start_server: Callable[..., Server]
) -> None:
    """The server died, and another one, of somebody else, took its address."""
    stranger = start_server()
    home = tmp_path / "data"
    home.mkdir()
    known = {"url": stranger.url, "pid": stranger.process.pid, "owner": os.getpid()}
    (home / embedded.STATE_FILE).write_text(json.dumps(known))
    with embedded_server(home) as url:
        assert url != stranger.url
        (home / embedded.STATE_FILE).write_text(json.dumps(known))
    assert answers(stranger.url)
    embedded._stop(home, embedded._Running(**known))
    assert answers(stranger.url)
    os.kill(int(redis_process(url, home)), signal.SIGKILL)


def redis_process(url: str, home: Path) -> int:
    """The process of a server that nobody stopped."""
    with redis.Redis.from_url(url) as client:
        assert client.config_get("dir") == {"dir": str(home.resolve())}
        return int(client.info("server")["process_id"])


@pytest.mark.parametrize(("program", "version"), [("redis", "8.2.1"), ("valkey", "99.0")])
def test_a_folder_that_another_server_wrote_is_told(tmp_path: Path, program: str, version: str) -> None:
    with embedded_server(tmp_path) as url, redis.Redis.from_url(url) as client:
        client.set("kept", "yes")
    (tmp_path / embedded.WRITER_FILE).write_text(json.dumps({"program": program, "version": version}))
    said = f"was written by {program.capitalize()} {version}"
    with pytest.raises(EmbeddedServerError, match=said), embedded_server(tmp_path):
        pass
    (tmp_path / embedded.DATA_FILE).unlink()
    with embedded_server(tmp_path) as url:
        assert answers(url)


def test_of_several_servers_the_one_that_wrote_the_folder_is_taken(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    with embedded_server(tmp_path / "data") as url, redis.Redis.from_url(url) as client:
        client.set("kept", "yes")
    other = tmp_path / "valkey-server"
    other.write_text("#!/bin/sh\necho 'Redis server v=7.2.4 sha=0:0 malloc=libc bits=64 build=0'\n")
    other.chmod(0o755)
    monkeypatch.setenv("PATH", str(tmp_path))
    with embedded_server(tmp_path / "data") as url, redis.Redis.from_url(url) as client:
        assert client.get("kept") == b"yes"


def test_a_second_user_in_the_same_process_shares_it(tmp_path: Path) -> None:
    with embedded_server(tmp_path) as outer:
        with embedded_server(tmp_path) as inner:
            assert inner == outer
        assert answers(outer)
    assert not answers(outer)


def test_a_second_process_shares_it_and_leaves_it_running(tmp_path: Path) -> None:
    with embedded_server(tmp_path) as url:
        process, other_url = holder(tmp_path)
        assert other_url == url
        let_go(process)
        assert answers(url)


def test_two_folders_are_two_servers(tmp_path: Path) -> None:
    with embedded_server(tmp_path / "a") as one, embedded_server(tmp_path / "b") as other:
        assert one != other


def test_who_finds_a_server_whose_owner_was_killed_stops_it_in_its_place(tmp_path: Path) -> None:
    process, url = holder(tmp_path)
    with redis.Redis.from_url(url) as client:
        client.set("kept", "yes")
    os.kill(process.pid, signal.SIGKILL)
    process.communicate()
    assert answers(url)
    with embedded_server(tmp_path) as adopted:
        assert adopted == url
    assert not answers(url)
    with embedded_server(tmp_path) as again, redis.Redis.from_url(again) as client:
        assert client.get("kept") == b"yes"


def test_a_server_that_was_killed_itself_is_started_anew(tmp_path: Path) -> None:
    process, url = holder(tmp_path)
    with redis.Redis.from_url(url) as client:
        server = client.info("server")["process_id"]
    os.kill(server, signal.SIGKILL)
    wait_until(lambda: not answers(url))
    with embedded_server(tmp_path) as again:
        let_go(process)
        with embedded_server(tmp_path) as third:
            assert third == again


def test_a_state_file_cut_short_is_no_obstacle(tmp_path: Path) -> None:
    (tmp_path / embedded.STATE_FILE).write_text('{"port": 1')
    with embedded_server(tmp_path) as url:
        assert answers(url)


def test_a_server_that_does_not_start_is_named_with_its_log(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(embedded, "server_binaries", lambda: ["/bin/false"])
    with pytest.raises(EmbeddedServerError, match=embedded.LOG_FILE), embedded_server(tmp_path):
        pass


def test_servers_on_the_path_come_first(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("PATH", str(tmp_path))
    assert Path(embedded.server_binary()).is_file()
    for name in ("redis-server", "valkey-server"):
        (tmp_path / name).write_text("#!/bin/sh\n")
        (tmp_path / name).chmod(0o755)
        assert embedded.server_binary() == str(tmp_path / name)
