"""The servers of the endpoint's tests, as fixtures."""

from lookup_fixtures import endpoint, own_endpoint, own_redis, redis_server

__all__ = ["endpoint", "own_endpoint", "own_redis", "redis_server"]
