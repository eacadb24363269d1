"""The Redis server that the settings name, for as long as a job or a verb needs it."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager

from larder.loaders.embedded import redis_server
from larder.loaders.redis_password import PasswordSource
from larder.loaders.servers import RedisServer
from larder.settings import RedisSettings


@contextmanager
def redis_of(settings: RedisSettings) -> Iterator[RedisServer]:
    """Yields how to reach the server of `redis.url`, or an embedded one that runs meanwhile if no URL is set."""
    with redis_server(settings.url.get_secret_value(), settings.directory) as url:
        if settings.url.get_secret_value():
            yield RedisServer(url, PasswordSource(settings.password_file, settings.password_command))
        else:
            yield RedisServer(url)
