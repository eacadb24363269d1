"""Settings, tables and servers of the tests that publish whole releases."""

from __future__ import annotations

import subprocess
import sys
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest
import redis
from publishing_servers import Server, start_cluster, stop
from publishing_tables import write_delta, write_release
from repository import ROOT

from larder.jobs.publishing.whole_release import release_name
from larder.loaders.releases import Releases
from larder.loaders.servers import connect, nodes
from larder.models.tables import RELEASE
from larder.settings import load_settings
from larder.storage import Tables

ONE_SERVER, CLUSTER = "one server", "cluster of three"
FIRST, SECOND = "2026-11-20T00", "2026-11-21T00"


class Shop:
    """A shop's tables and settings, the server it publishes to, and `larder` on its command line."""

    def __init__(self, folder: Path, url: str) -> None:
        self.folder, self.url, self.tables = folder, url, folder / "tables"
        self.settings = folder / "larder.toml"
        self.configure()

    def configure(self, url: str = "", **redis_settings: object) -> None:
        values = {"url": f'"{url or self.url}"', "bucket_size": 16, "lease_seconds": 1.5, **redis_settings}
        lines = "\n".join(f"{name} = {value}" for name, value in values.items())
        self.settings.write_text(f'[storage]\ntables = "{self.tables}"\n[redis]\n{lines}\n')

    def release(self, as_of: str, cookies: int = 5_000, seed: int = 0, **more: int) -> dict[int, list[int]]:
        return write_release(self.tables, as_of, cookies, seed=seed, **more)

    def delta(self, end: str, lists: dict[int, list[str]], hours: int = 1) -> None:
        write_delta(self.tables, end, lists, hours)

    def name(self, as_of: str) -> str:
        """The name that the release of that instant has in the server."""
        manifest = Tables(str(self.tables)).get(RELEASE, f"as_of={as_of}", "write_release")
        return release_name(manifest, load_settings(self.settings).redis)

    def command(self, *arguments: str) -> list[str]:
        return [sys.executable, "-m", "larder", *arguments, "--settings", str(self.settings)]

    def larder(self, *arguments: str) -> subprocess.CompletedProcess[str]:
        return subprocess.run(self.command(*arguments), cwd=ROOT, capture_output=True, text=True, timeout=120)

    def load(self, as_of: str, *arguments: str) -> subprocess.CompletedProcess[str]:
        return self.larder("load-redis", "--without-spark", "--as-of", as_of, *arguments)

    def start_load(self, as_of: str, *arguments: str) -> subprocess.Popen[str]:
        command = self.command("load-redis", "--without-spark", "--as-of", as_of, *arguments)
        return subprocess.Popen(command, cwd=ROOT, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True)

    def releases(self) -> Releases:
        return Releases(connect(self.url), "larder")

    def nodes(self) -> list[redis.Redis]:
        """The servers that take writes, each by itself."""
        return nodes(connect(self.url))


@pytest.fixture
def start_server(tmp_path: Path) -> Iterator[Callable[..., Server]]:
    """Starts servers that are killed when the test ends."""
    started: list[Server] = []

    def start(*options: str, binary: str = "") -> Server:
        started.append(Server(tmp_path / f"server{len(started)}", *options, binary=binary).start())
        return started[-1]

    yield start
    stop(started)


@pytest.fixture(scope="session")
def cluster_url(tmp_path_factory: pytest.TempPathFactory) -> Iterator[str]:
    servers = start_cluster(tmp_path_factory.mktemp("cluster"))
    yield servers[0].url
    stop(servers)


@pytest.fixture(params=[ONE_SERVER, CLUSTER])
def shop(request: pytest.FixtureRequest, tmp_path: Path) -> Shop:
    """A shop before its first release, with one server and again with a cluster."""
    return shop_with(request.param, request, tmp_path)


@pytest.fixture(params=[ONE_SERVER, pytest.param(CLUSTER, marks=pytest.mark.slow)])
def faulty_shop(request: pytest.FixtureRequest, tmp_path: Path) -> Iterator[Shop]:
    """The same for tests that cause faults, by settings among others, which are undone."""
    made = shop_with(request.param, request, tmp_path)
    yield made
    for node in made.nodes():
        node.config_set("maxmemory", 0)


def shop_with(kind: str, request: pytest.FixtureRequest, folder: Path) -> Shop:
    if kind == ONE_SERVER:
        return Shop(folder, request.getfixturevalue("start_server")("--save", "").url)
    made = Shop(folder, request.getfixturevalue("cluster_url"))
    for node in made.nodes():
        node.flushall()
    return made


@pytest.fixture
def single_shop(start_server: Callable[..., Server], tmp_path: Path) -> Shop:
    return Shop(tmp_path, start_server("--save", "").url)
