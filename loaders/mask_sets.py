"""Products that are not shown, whatever the release holds: to anybody, or to one visitor."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

from larder.loaders.keys import Keys, key64
from larder.loaders.mask_changes import next_version
from larder.loaders.servers import Client

# A field of the hash that is no product: a new value tells readers that something changed.
VERSION = b""
# Writes or removes masks together with the next version, unless somebody else has changed the masks meanwhile. In one
# command, so that no reader sees the one without the other.
CHANGE = """
if (redis.call('HGET', KEYS[1], '') or '') ~= ARGV[1] then return false end
local changed = 0
for place = 4, #ARGV do
  if ARGV[3] == '' then changed = changed + redis.call('HDEL', KEYS[1], ARGV[place])
  else changed = changed + redis.call('HSET', KEYS[1], ARGV[place], ARGV[3]) end
end
redis.call('HSET', KEYS[1], '', ARGV[2])
return changed
"""


class NoProductError(ValueError):
    """A call names no product, or an empty id."""


class MaskSets:
    """The masked products of one namespace."""

    def __init__(self, client: Client, namespace: str) -> None:
        self._client = client
        self._keys = Keys(namespace)

    def add(self, products: Sequence[str], reason: str) -> None:
        """Hides these products from every visitor; `reason` is for people."""
        self._change(_named(products), reason or "masked")

    def remove(self, products: Sequence[str]) -> int:
        """Shows these products again; returns how many of them were masked."""
        return self._change(_named(products), "")

    def _change(self, products: Sequence[str], reason: str) -> int:
        """Masks the products, or unmasks them if there is no reason; returns how many were new, or removed."""
        client: Any = self._client
        while True:
            version = client.hget(self._keys.masks, VERSION)
            values = (version or b"", next_version(version, products), reason)
            changed = client.eval(CHANGE, 1, self._keys.masks, *values, *(product.encode() for product in products))
            if changed is not None:
                return int(changed)

    def all(self) -> Mapping[str, str]:
        """Returns the reason by product, in the order of ids."""
        fields: Any = self._client.hgetall(self._keys.masks)
        found = {field.decode(errors="replace"): value for field, value in fields.items() if field}
        return {product: found[product].decode(errors="replace") for product in sorted(found)}

    def add_for(self, cookie: str, products: Sequence[str], seconds: int) -> None:
        """Masks products for one visitor. All of the visitor's masks end `seconds` after the last call."""
        key = self._keys.seen(key64(cookie))
        self._client.sadd(key, *(product.encode() for product in _named(products)))
        self._client.expire(key, seconds)

    def remove_for(self, cookie: str, products: Sequence[str]) -> int:
        """Shows products to the visitor again. Returns how many of them were masked."""
        key = self._keys.seen(key64(cookie))
        return int(self._client.srem(key, *(product.encode() for product in _named(products))))

    def all_for(self, cookie: str) -> tuple[list[str], int]:
        """Returns the visitor's masked products in the order of ids, and the seconds until they end, or 0."""
        key = self._keys.seen(key64(cookie))
        found: Any = self._client.smembers(key)
        return sorted(product.decode(errors="replace") for product in found), max(0, int(self._client.ttl(key)))


def _named(products: Sequence[str]) -> Sequence[str]:
    if not products or not all(products):
        raise NoProductError("name at least one product; an id may not be empty")
    return products
