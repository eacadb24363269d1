"""Writes a release into Redis by its documented format, and the same lists again as the peers would store them."""

from __future__ import annotations

import json
from collections.abc import Sequence
from itertools import product

import numpy as np
import redis

from larder.loaders.codec import DICTIONARY_CHUNK, bucket_and_field, encode_dictionary, encode_lists
from larder.loaders.keys import CONTEXTS, COOKIES, FORMAT, PRODUCTS, Keys, context_key64, key64

AS_OF = "2026-11-20T00"
RELEASE = "bench"
ITEMS = 30
BUCKET_SIZE = 48
PIPELINED = 2000
LOCATIONS = [f"store-{number}" for number in range(50)]
DEVICES = ["web", "app", "till"]


def cookie_id(number: int) -> str:
    return f"c{number:08d}"


def product_id(number: int) -> str:
    return f"p{number:06d}"


def write_lookup_release(
    client: redis.Redis, cookies: int, products: int, seed: int = 0, space: str = "larder", release: str = RELEASE
) -> None:
    """`cookies` lists of 30 products by Zipf's law, a similar list a product, and a generic one a location and device.

    `space` is the namespace, in which the release is made live. For the peers a key `rec:COOKIE` holds the 30 ordinals
    as unsigned 32-bit integers.
    """
    names = Keys(space)
    client.config_set("hash-max-listpack-value", 512)
    random = np.random.default_rng(seed)
    contexts = [context_key64(*context) for context in product(["", *LOCATIONS], ["", *DEVICES])]
    keys = {
        COOKIES: [key64(cookie_id(number)) for number in range(cookies)],
        PRODUCTS: [key64(product_id(number)) for number in range(products)],
        CONTEXTS: contexts,
    }
    for kind, of_kind in keys.items():
        ordinals = _zipf(random, len(of_kind), products)
        _write_lists(client, names, release, kind, of_kind, ordinals)
        if kind == COOKIES and release == RELEASE:
            _write_for_peers(client, ordinals)
    for number, chunk in enumerate(encode_dictionary([product_id(number) for number in range(products)])):
        client.set(names.dictionary(release, number), chunk)
    meta = {
        "format": FORMAT, "release": release, "as_of": AS_OF, "products": products, "chunk": DICTIONARY_CHUNK,
        "scores": True, "records": {kind: len(of_kind) for kind, of_kind in keys.items()},
        "buckets": {kind: _buckets(len(of_kind)) for kind, of_kind in keys.items()},
    }  # fmt: skip
    client.set(names.meta(release), json.dumps(meta))
    client.hset(names.live, mapping={"release": release})


def _buckets(records: int) -> int:
    return max(1, records // BUCKET_SIZE)


def _write_lists(
    client: redis.Redis, names: Keys, release: str, kind: str, keys: Sequence[int], ordinals: np.ndarray
) -> None:
    scores = np.tile(np.linspace(1, 0.1, ITEMS, dtype=np.float32), len(keys))
    offsets = np.arange(len(keys) + 1) * ITEMS
    data, ends = encode_lists(offsets, ordinals.reshape(-1), scores)
    whole, buckets = data.tobytes(), _buckets(len(keys))
    for start in range(0, len(keys), PIPELINED):
        pipeline = client.pipeline(transaction=False)
        for row in range(start, min(start + PIPELINED, len(keys))):
            bucket, field = bucket_and_field(keys[row], buckets)
            pipeline.hset(names.bucket(release, kind, bucket), field, whole[ends[row] : ends[row + 1]])
        pipeline.execute()


def _write_for_peers(client: redis.Redis, ordinals: np.ndarray) -> None:
    packed = ordinals.astype("<u4")
    for start in range(0, len(packed), PIPELINED):
        rows = range(start, min(start + PIPELINED, len(packed)))
        client.mset({f"rec:{cookie_id(row)}": packed[row].tobytes() for row in rows})


def _zipf(random: np.random.Generator, rows: int, products: int) -> np.ndarray:
    """Returns nearly distinct ordinals, shape (rows, ITEMS): uniform numbers through the inverse of the integrated
    density."""
    return np.minimum(np.float32(products) ** random.random((rows, ITEMS), np.float32) - 1, products - 1).astype(
        np.int64
    )
