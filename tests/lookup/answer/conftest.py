"""The requests of these tests are answered by `larder serve` and by the ASGI application, with the same results."""

from __future__ import annotations

from collections.abc import Iterator

import pytest
from lookup_servers import SERVE, SERVE_BY_UVICORN, Endpoint, RedisServer


@pytest.fixture(scope="session", params=[SERVE, SERVE_BY_UVICORN], ids=["larder serve", "asgi"])
def endpoint(redis_server: RedisServer, request: pytest.FixtureRequest) -> Iterator[Endpoint]:
    """Serves release r1."""
    served = Endpoint(redis_server.url, script=request.param, max_batch=5, max_products=3, max_body_bytes=4096)
    served.wait_ready("r1")
    yield served
    served.stop()
