"""Servers of the tests that publish whole releases."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from pathlib import Path

import pytest
from publishing_servers import Server, start_cluster, stop
from publishing_shop import CLUSTER, ONE_SERVER, Shop


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
