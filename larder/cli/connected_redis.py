"""The Redis that the settings name, for as long as a verb needs it."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager

from larder.loaders.embedded import redis_server
from larder.loaders.servers import Client, connect
from larder.settings import Settings


@contextmanager
def connected(settings: Settings) -> Iterator[Client]:
    """A client of `[redis] url`, or of the embedded server where there is none."""
    with redis_server(settings.redis.url, settings.redis.directory) as url:
        client = connect(url)
        try:
            yield client
        finally:
            client.close()
