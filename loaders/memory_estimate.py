"""Estimates the memory that a release takes in the server, from a sample of its records.

The estimate is of `used_memory`, which counts the size classes of the server's allocator. Most servers are built with
jemalloc; the others use their libc's allocator, which is taken to be glibc's.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field

import numpy as np
import numpy.typing as npt

from larder.loaders.codec import field_width
from larder.loaders.servers import Client, info, nodes

LISTPACK_HEAD_AND_END = 7
# Bytes of a key beside its name and listpack: two object heads, the name's head, an entry of the keyspace.
KEY_OVERHEAD = 56
NAME_BYTES = 30
JEMALLOC = "jemalloc"
DICTIONARY_PART = "d"
LIBC_HEAD, LIBC_STEP, LIBC_LEAST = 8, 16, 24
SIMULATED_BUCKETS = 4000


@dataclass(frozen=True)
class ReleaseSizes:
    """The sizes of a release from which its memory is estimated.

    records: number of lists by kind. lengths: bytes of some records by kind, shape (any,). buckets: number of hashes by
    kind. dictionary_bytes: all product ids with their heads.
    """

    records: Mapping[str, int]
    lengths: Mapping[str, npt.NDArray[np.integer]]
    buckets: Mapping[str, int]
    dictionary_bytes: int
    chunks: int = 0


@dataclass(frozen=True)
class Estimate:
    """The bytes of `used_memory` that a release takes, by kind and for the dictionary (`d`)."""

    by_part: dict[str, int] = field(default_factory=dict)

    @property
    def total(self) -> int:
        return sum(self.by_part.values())


def estimate(sizes: ReleaseSizes, allocator: str = JEMALLOC) -> Estimate:
    """Returns the memory of a release. Each kind's hashes are simulated with records drawn from the sample."""
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
    """Returns the bytes of `buckets` hashes with `records` lists, whose lengths are distributed like `lengths`."""
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
    """Returns the bytes of strings in a listpack: each has a head of 1, 2 or 5 bytes and a tail of 1 to 3."""
    held = lengths + np.select([lengths < 1 << 6, lengths < 1 << 12], [1, 2], 5)
    return (held + np.select([held < 1 << 7, held < 1 << 14], [1, 2], 3)).astype(np.int64)


def size_class(sizes: npt.NDArray[np.number], allocator: str = JEMALLOC) -> npt.NDArray[np.float64]:
    """Returns the bytes that the allocator (`mem_allocator` of INFO) uses for these sizes.

    jemalloc has four size classes between two powers of two. glibc rounds size + 8 up to a multiple of 16, and uses at
    least 24 beside its own 8.
    """
    sizes = np.maximum(sizes.astype(np.float64), 8)
    if not allocator.startswith(JEMALLOC):
        return np.maximum(np.ceil((sizes + LIBC_HEAD) / LIBC_STEP) * LIBC_STEP - LIBC_HEAD, LIBC_LEAST)
    step = np.maximum(8, 2 ** (np.ceil(np.log2(sizes)) - 3))
    return np.ceil(sizes / step) * step


def allocator_of(client: Client) -> str:
    """Returns the name of the servers' allocator; jemalloc if they do not tell it."""
    return str(info(nodes(client)[0], "memory").get("mem_allocator", JEMALLOC))
