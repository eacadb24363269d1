"""How much memory a release takes in the server, reckoned from a sample of its records, and whether it is there.

What is reckoned is `used_memory`: what the server's allocator hands out, whose sizes come in classes. Servers are
mostly built with jemalloc; those built without have that of their libc, taken to be glibc's.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field

import numpy as np
import numpy.typing as npt

from larder.loaders.codec import field_width
from larder.loaders.servers import Client, info, nodes

LISTPACK_HEAD_AND_END = 7
# Of a key with a hash in it, beside name and listpack: two objects' heads, a name's head, a place in the keyspace.
KEY_OVERHEAD = 56
NAME_BYTES = 30
JEMALLOC = "jemalloc"
DICTIONARY_PART = "d"
LIBC_HEAD, LIBC_STEP, LIBC_LEAST = 8, 16, 24
SIMULATED_BUCKETS = 4000


@dataclass(frozen=True)
class ReleaseSizes:
    """Enough of a release to reckon its memory.

    records: kind -> number of lists; lengths: kind -> bytes of some records, shape (any,); buckets: kind -> hashes.
    dictionary_bytes: product ids with their heads, all of them.
    """

    records: Mapping[str, int]
    lengths: Mapping[str, npt.NDArray[np.integer]]
    buckets: Mapping[str, int]
    dictionary_bytes: int
    chunks: int = 0


@dataclass(frozen=True)
class Estimate:
    """Bytes of `used_memory` that a release takes, by kind and for the dictionary (`d`)."""

    by_part: dict[str, int] = field(default_factory=dict)

    @property
    def total(self) -> int:
        return sum(self.by_part.values())


def estimate(sizes: ReleaseSizes, allocator: str = JEMALLOC) -> Estimate:
    """The memory of a release; each kind's hashes are simulated with records drawn from the sample."""
    parts = {
        kind: kind_bytes(count, sizes.lengths[kind], sizes.buckets[kind], allocator)
        for kind, count in sizes.records.items()
        if count
    }
    chunk = sizes.dictionary_bytes / sizes.chunks if sizes.chunks else 0
    parts[DICTIONARY_PART] = int(
        sizes.chunks * (size_class(np.array([chunk]), allocator)[0] + KEY_OVERHEAD + NAME_BYTES)
    )
    return Estimate(parts)


def kind_bytes(records: int, lengths: npt.NDArray[np.integer], buckets: int, allocator: str = JEMALLOC) -> int:
    """Bytes of `buckets` hashes that hold `records` lists whose lengths are distributed like `lengths`."""
    random = np.random.default_rng(0)
    many = min(buckets, SIMULATED_BUCKETS)
    fill = random.binomial(records, 1 / buckets, many)
    entries = entry_bytes(np.array([field_width(buckets)]))[0] + entry_bytes(lengths)
    drawn = np.concatenate(([0], np.cumsum(random.choice(entries, int(fill.sum())))))
    ends = np.cumsum(fill)
    listpacks = LISTPACK_HEAD_AND_END + drawn[ends] - drawn[ends - fill]
    filled = buckets * (1 - (1 - 1 / buckets) ** records)  # an empty hash is no key
    mean = float(size_class(listpacks[fill > 0], allocator).mean()) if (fill > 0).any() else 0.0
    return int(filled * (mean + KEY_OVERHEAD + NAME_BYTES))


def entry_bytes(lengths: npt.NDArray[np.integer]) -> npt.NDArray[np.int64]:
    """Bytes of strings of these lengths in a listpack: a head of 1, 2 or 5 and, behind, how far it is to go back."""
    held = lengths + np.select([lengths < 1 << 6, lengths < 1 << 12], [1, 2], 5)
    return (held + np.select([held < 1 << 7, held < 1 << 14], [1, 2], 3)).astype(np.int64)


def size_class(sizes: npt.NDArray[np.number], allocator: str = JEMALLOC) -> npt.NDArray[np.float64]:
    """What the allocator (`mem_allocator` of INFO) hands out for these sizes.

    jemalloc has four classes between a power of two and the next; glibc rounds up to 16 bytes, less its own 8, and 24
    at least.
    """
    sizes = np.maximum(sizes.astype(np.float64), 8)
    if not allocator.startswith(JEMALLOC):
        return np.maximum(np.ceil((sizes + LIBC_HEAD) / LIBC_STEP) * LIBC_STEP - LIBC_HEAD, LIBC_LEAST)
    step = np.maximum(8, 2 ** (np.ceil(np.log2(sizes)) - 3))
    return np.ceil(sizes / step) * step


def allocator_of(client: Client) -> str:
    """What the servers' memory is handed out by."""
    return str(info(nodes(client)[0], "memory").get("mem_allocator", JEMALLOC))
