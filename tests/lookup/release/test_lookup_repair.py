"""Every loss of a release that the loader wrote: the endpoint notices it, and goes on after `larder repair-release`."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

import pytest
import redis
from lookup_servers import Endpoint, RedisServer, wait_until
from publishing_shop import FIRST, Shop

pytestmark = pytest.mark.end_to_end
Loss = Callable[[redis.Redis, str], object]

LOSSES: dict[str, tuple[str, Loss]] = {
    "a bucket of cookies": ("cookies", lambda client, name: client.delete(f"larder:{name}:c:3")),
    "one list": (
        "cookies",
        lambda client, name: client.hdel(f"larder:{name}:c:3", client.hkeys(f"larder:{name}:c:3")[0]),
    ),
    "the dictionary": ("dictionary", lambda client, name: client.delete(*client.keys(f"larder:{name}:d:*"))),
    "the registry": ("registry", lambda client, name: client.delete("larder:releases")),
    "the meta": ("meta", lambda client, name: client.delete(f"larder:{name}:meta")),
    "all generic lists": ("generic", lambda client, name: client.delete(*client.keys(f"larder:{name}:g:*"))),
    "the pointer": ("pointer", lambda client, name: client.delete("larder:live")),
    "a bucket of another type": (
        "cookies",
        lambda client, name: (client.delete(f"larder:{name}:c:3"), client.rpush(f"larder:{name}:c:3", "x")),
    ),
    "everything": ("pointer", lambda client, name: client.flushall()),
}


def test_one_command_is_enough_for_the_endpoint(
    own_redis: Callable[..., RedisServer], own_endpoint: Callable[..., Endpoint], tmp_path: Path
) -> None:
    server = own_redis()
    shop = Shop(tmp_path, server.url)
    shop.release(FIRST, cookies=500)
    shop.load_here(FIRST)
    name = shop.name(FIRST)
    served = own_endpoint(server.url)
    served.wait_ready(name)
    wait_until(lambda: served.readiness()["losses"] == {} and served.readiness()["problem"] is None)
    for what, (part, lose) in LOSSES.items():
        lose(server.client(), name)
        wait_until(lambda part=part: served.readiness()["losses"].get(part))
        assert served.readiness()["problem"], what
        shop.repair_here(name)
        wait_until(lambda: served.readiness()["losses"] == {} and served.readiness()["problem"] is None)
        assert served.client.get("/health/ready").status_code == 200
