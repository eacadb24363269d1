"""A client of the Redis server that the settings name, for as long as a verb needs it."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager

from larder.jobs.publishing.redis_access import redis_of
from larder.loaders.servers import Client, connect
from larder.settings import Settings


@contextmanager
def connected(settings: Settings) -> Iterator[Client]:
    """Yields a client of `redis.url`, or of the embedded server if no URL is set."""
    with redis_of(settings.redis) as server:
        client = connect(server)
        try:
            yield client
        finally:
            client.close()
