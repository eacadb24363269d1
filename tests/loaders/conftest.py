"""A real server for the tests that publish, and a namespace in it for each of them."""

from __future__ import annotations

import itertools
from collections.abc import Iterator

import pytest
import redis

from larder.loaders.embedded import embedded_server
from larder.loaders.releases import Releases

_numbers = itertools.count()


@pytest.fixture(scope="session")
def client(tmp_path_factory: pytest.TempPathFactory) -> Iterator[redis.Redis]:
    with embedded_server(tmp_path_factory.mktemp("redis")) as url, redis.Redis.from_url(url) as connected:
        yield connected


@pytest.fixture
def releases(client: redis.Redis) -> Releases:
    """The releases, none as yet, of a namespace that no other test uses."""
    return Releases(client, f"test{next(_numbers)}")
