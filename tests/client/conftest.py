"""The servers of the client's tests, as fixtures."""

from lookup_fixtures import endpoint, own_endpoint, redis_server

__all__ = ["endpoint", "own_endpoint", "redis_server"]
