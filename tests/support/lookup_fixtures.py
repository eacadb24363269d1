"""One Valkey and one endpoint for the tests that only ask, and makers for those that break something."""

from __future__ import annotations

from collections.abc import Callable, Iterator

import pytest
from lookup_servers import Endpoint, RedisServer, publish_usual


@pytest.fixture(scope="session")
def redis_server(tmp_path_factory: pytest.TempPathFactory) -> Iterator[RedisServer]:
    """Holds release r1 and is never changed."""
    server = RedisServer(tmp_path_factory.mktemp("redis"))
    publish_usual(server.client())
    yield server
    server.kill()


@pytest.fixture(scope="session")
def endpoint(redis_server: RedisServer) -> Iterator[Endpoint]:
    """Serves release r1."""
    served = Endpoint(redis_server.url, max_batch=5, max_products=3, max_body_bytes=4096)
    served.wait_ready("r1")
    yield served
    assert served.stop() == 0


@pytest.fixture
def own_redis(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Callable[..., RedisServer]]:
    """Makes empty servers that a test may break."""
    made: list[RedisServer] = []

    def make(*options: str) -> RedisServer:
        made.append(RedisServer(tmp_path_factory.mktemp("redis"), *options))
        return made[-1]

    yield make
    for server in made:
        server.kill()


@pytest.fixture
def own_endpoint() -> Iterator[Callable[..., Endpoint]]:
    """Makes endpoints for a test of its own."""
    made: list[Endpoint] = []

    def make(redis_url: str, **settings: object) -> Endpoint:
        made.append(Endpoint(redis_url, **settings))
        return made[-1]

    yield make
    for served in made:
        served.stop()
