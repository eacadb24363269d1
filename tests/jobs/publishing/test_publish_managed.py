"""Loads into servers that refuse what managed ones refuse: CONFIG, INFO, HELLO, fixed passwords, a fixed address."""

from __future__ import annotations

import subprocess
import sys
import time
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest
import redis
from publishing_servers import Server, free_port
from publishing_shop import FIRST, SECOND, Shop

from larder.loaders.embedded import server_binary
from larder.loaders.server_limits import LISTPACK_SETTING

pytestmark = pytest.mark.end_to_end
LEAST = ["+@read", "+@write", "+eval", "+ping"]
PASSWORD = "pa/ss?word"


def managed(start_server: Callable[..., Server], folder: Path, *options: str, commands: list[str] = LEAST) -> Shop:
    """A shop whose user may use these commands alone, on keys of the namespace."""
    server = start_server("--save", "", *options)
    with redis.Redis(port=server.port) as client:
        client.acl_setuser("larder", enabled=True, passwords=[f"+{PASSWORD}"], keys=["larder:*"], commands=commands)
    shop = Shop(folder, server.url)
    shop.configure(f"redis://larder:pa%2Fss%3Fword@127.0.0.1:{server.port}/0")
    return shop


def test_config_and_info_refused_by_acl(
    start_server: Callable[..., Server], tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    shop = managed(start_server, tmp_path)
    shop.release(FIRST, cookies=500)
    [client] = shop.nodes()
    client.config_set(LISTPACK_SETTING, 512)
    done = shop.load(FIRST)
    assert done.returncode == 0, done.stderr
    assert "the server does not tell how much memory is in use" in caplog.text
    assert shop.releases().live().release == shop.name(FIRST)
    assert client.object("encoding", f"larder:{shop.name(FIRST)}:c:0") == b"listpack"
    assert shop.larder("verify").returncode == 0
    assert PASSWORD not in done.stderr + done.stdout + caplog.text


@pytest.mark.parametrize("check", ["require", "warn", "off"])
def test_what_would_spoil_its_memory_is_refused_or_warned_of(
    start_server: Callable[..., Server], tmp_path: Path, check: str, caplog: pytest.LogCaptureFixture
) -> None:
    """Without CONFIG and INFO, and with a setting that makes every bucket a hash table."""
    shop = managed(start_server, tmp_path, f"--{LISTPACK_SETTING}", "16")
    shop.configure(f"redis://larder:pa%2Fss%3Fword@127.0.0.1:{shop.nodes()[0].get_connection_kwargs()['port']}/0",
                   check=f'"{check}"')  # fmt: skip
    shop.release(FIRST, cookies=500)
    done = shop.load(FIRST)
    told = "set hash-max-listpack-value 512 in the server's parameters" in done.stderr + caplog.text
    assert (done.returncode, told) == {"require": (1, True), "warn": (0, True), "off": (0, False)}[check], done.stderr
    assert shop.releases().live().release == (None if check == "require" else shop.name(FIRST))


def test_commands_that_were_renamed(
    start_server: Callable[..., Server], tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    renamed = [
        word for name in ("CONFIG", "INFO", "HELLO", "OBJECT") for word in ("--rename-command", name, f"my{name}")
    ]
    shop = Shop(tmp_path, start_server("--save", "", *renamed).url)
    shop.release(FIRST, cookies=500)
    done = shop.load(FIRST)
    assert done.returncode == 0, done.stderr
    assert "tells neither its settings (CONFIG GET) nor how it holds a hash" in caplog.text
    assert shop.larder("verify").returncode == 0
    done = shop.load(FIRST)
    assert done.returncode == 0, done.stderr


def test_another_database_under_the_documented_rights(start_server: Callable[..., Server], tmp_path: Path) -> None:
    rights = [*LEAST, "+info", "+config|get", "+config|set", "+select"]
    shop = managed(start_server, tmp_path, commands=rights)
    port = shop.nodes()[0].get_connection_kwargs()["port"]
    shop.configure(f"redis://larder:pa%2Fss%3Fword@127.0.0.1:{port}/3")
    shop.release(FIRST, cookies=500)
    done = shop.load(FIRST)
    assert done.returncode == 0, done.stderr
    with redis.Redis(port=port, db=3) as client:
        assert client.hget("larder:live", "release") == shop.name(FIRST).encode()
    with redis.Redis(port=port) as client:
        assert client.dbsize() == 0


def test_a_password_that_expires(start_server: Callable[..., Server], tmp_path: Path) -> None:
    """The file's, then the command's: both are asked again for each connection, and neither is ever printed."""
    shop = managed(start_server, tmp_path, f"--{LISTPACK_SETTING}", "512")
    shop.release(FIRST, cookies=500)
    [client] = shop.nodes()
    port = client.get_connection_kwargs()["port"]
    (tmp_path / "password").write_text(f"{PASSWORD}\n")
    url = f"redis://larder@127.0.0.1:{port}/0"
    shop.configure(url, password_file='"password"')
    done = shop.load(FIRST)
    assert done.returncode == 0, done.stderr
    client.acl_setuser("larder", reset_passwords=True, passwords=["+another"], enabled=True)
    refused = shop.larder("status")
    assert refused.returncode == 1
    assert PASSWORD not in refused.stderr
    (tmp_path / "password").write_text("another")
    assert shop.larder("status").returncode == 0
    script = tmp_path / "give.py"
    script.write_text("print('another')")
    shop.configure(url, password_command=f'"{sys.executable} {script}"')
    assert shop.larder("status").returncode == 0
    script.write_text("print('another'); raise SystemExit(3)")
    refused = shop.larder("status")
    assert "redis.password_command ended with exit code 3" in refused.stderr
    assert "another" not in refused.stderr
    shop.configure(url, password_file='"nowhere"')
    refused = shop.larder("status")
    assert refused.stderr.startswith("larder: redis.password_file "), refused.stderr
    assert "nowhere can't be read: No such file" in refused.stderr


@pytest.fixture
def sentinel(start_server: Callable[..., Server], tmp_path: Path) -> Iterator[tuple[Server, Server, int]]:
    """A primary, its replica, and the port of a sentinel that watches them."""
    primary = start_server("--save", "")
    replica = start_server("--save", "", "--replicaof", "127.0.0.1", str(primary.port))
    port = free_port()
    settings = tmp_path / "sentinel.conf"
    settings.write_text(
        f"port {port}\ndir {tmp_path}\nsentinel monitor shop 127.0.0.1 {primary.port} 1\n"
        "sentinel down-after-milliseconds shop 500\nsentinel failover-timeout shop 2000\n"
    )
    process = subprocess.Popen([server_binary(), str(settings), "--sentinel"], stdout=subprocess.DEVNULL)
    yield primary, replica, port
    process.kill()
    process.wait()


def test_the_primary_that_sentinel_names(sentinel: tuple[Server, Server, int], tmp_path: Path) -> None:
    primary, replica, port = sentinel
    (tmp_path / "shop").mkdir()
    shop = Shop(tmp_path / "shop", f"redis+sentinel://127.0.0.1:{free_port()},127.0.0.1:{port}/shop")
    for as_of in (FIRST, SECOND):
        shop.release(as_of, cookies=500)
    done = shop.load(FIRST)
    assert done.returncode == 0, done.stderr
    with redis.Redis(port=primary.port) as client:
        assert client.hget("larder:live", "release") == shop.name(FIRST).encode()
        client.wait(1, 5000)
    with redis.Redis(port=port) as watcher:
        end = time.monotonic() + 30
        while not watcher.sentinel_slaves("shop"):
            assert time.monotonic() < end
            time.sleep(0.1)
        primary.kill()
        while watcher.sentinel_get_master_addr_by_name("shop")[1] != replica.port:
            assert time.monotonic() < end
            time.sleep(0.1)
    done = shop.load(SECOND)
    assert done.returncode == 0, done.stderr
    with redis.Redis(port=replica.port) as client:
        assert client.hget("larder:live", "release") == shop.name(SECOND).encode()
