"""Names of Redis keys, and 64-bit keys of ids. The contract is docs/redis_format.md."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Final

import xxhash

SEED = 42
FORMAT = 1
DELTA_FORMAT = 2  # a delta: some lists; its base, a whole release, has the others
CONTEXT_SEPARATOR = "\x1f"

COOKIES: Final = "c"
PRODUCTS: Final = "p"
CONTEXTS: Final = "g"
KINDS = (COOKIES, PRODUCTS, CONTEXTS)  # every whole release has these
BY_CATEGORY: Final = "s"  # lists of products without a picture; not every release has them
ALL_KINDS = (*KINDS, BY_CATEGORY)
KIND_NAMES = {COOKIES: "cookies", PRODUCTS: "products", CONTEXTS: "contexts", BY_CATEGORY: "products by category"}


def key64(text: str) -> int:
    """Returns XXH64 with seed 42 of the UTF-8 bytes, unsigned. Spark's xxhash64 is the same number, signed."""
    return xxhash.xxh64_intdigest(text.encode("utf-8", "surrogatepass"), SEED)


def context_key64(location: str, device: str) -> int:
    """Returns the key of a generic list; an empty location or device means any."""
    return key64(f"{location}{CONTEXT_SEPARATOR}{device}")


@dataclass(frozen=True)
class Keys:
    """The keys of one namespace."""

    namespace: str

    @property
    def live(self) -> bytes:
        """Hash, the pointer: `release` is live, `previous` was live before it. One HSET flips it."""
        return f"{self.namespace}:live".encode()

    @property
    def releases(self) -> bytes:
        """Hash, the registry: release -> JSON of its entry."""
        return f"{self.namespace}:releases".encode()

    @property
    def lock(self) -> bytes:
        """String with a time to live: JSON that says who is loading."""
        return f"{self.namespace}:lock".encode()

    @property
    def masks(self) -> bytes:
        """Hash: product id -> why it is not shown to anybody. The empty field gets a new value with each change."""
        return f"{self.namespace}:masks".encode()

    @property
    def experiments(self) -> bytes:
        """String: JSON with all experiments in force."""
        return f"{self.namespace}:experiments".encode()

    def seen(self, cookie_key: int) -> bytes:
        """Set with a time to live: product ids that are not shown to this visitor."""
        return f"{self.namespace}:seen:{cookie_key:016x}".encode()

    def probe(self, token: str) -> bytes:
        """Hash, for a moment: whether the server keeps hashes compact."""
        return f"{self.namespace}:probe:{token}".encode()

    def load(self, release: str) -> bytes:
        """Hash, during a load: file -> rows that the server has confirmed."""
        return f"{self.namespace}:{release}:load".encode()

    def meta(self, release: str) -> bytes:
        """String: JSON with what a reader needs to know of the release."""
        return f"{self.namespace}:{release}:meta".encode()

    def bucket(self, release: str, kind: str, bucket: int) -> bytes:
        """Hash: field -> record, an encoded list."""
        return f"{self.namespace}:{release}:{kind}:{bucket:x}".encode()

    def buckets(self, release: str, kind: str, numbers: range) -> list[bytes]:
        """The names that `bucket` gives for many buckets."""
        prefix = f"{self.namespace}:{release}:{kind}:".encode()
        return [b"%s%x" % (prefix, number) for number in numbers]

    def dictionary(self, release: str, chunk: int) -> bytes:
        """String: one chunk of the dictionary, product ids by ordinal."""
        return f"{self.namespace}:{release}:d:{chunk:x}".encode()
