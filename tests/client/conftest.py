"""The servers of the client's tests, as fixtures."""

from lookup_fixtures import endpoint, redis_server

__all__ = ["endpoint", "redis_server"]
