"""Writes one hour of impression logs of any size as Parquet: the input of the aggregation bench."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq

HOUR = "2026-11-20T08"
ROWS_A_FILE = 2_500_000
EVENTS_A_COOKIE = 20
PRODUCTS, LOCATIONS = 200_000, 211
DEVICES = ("desktop", "mobile", "tablet", "app")
TYPES, SHARES = ("impression", "view", "add_to_cart", "purchase"), (0.93, 0.05, 0.015, 0.005)
MICROSECONDS_AN_HOUR = 3_600_000_000


def write_hour(events: Path, rows: int, seed: int = 0) -> Path:
    """Writes `rows` events, in time order, under dt=/hr= in `events`; returns the hour's folder.

    A cookie has 20 events on average. Six in ten of them are with one of a dozen products that the cookie prefers.
    """
    date, hr = HOUR.split("T")
    folder = events / f"dt={date}" / f"hr={hr}"
    folder.mkdir(parents=True, exist_ok=True)
    random = np.random.default_rng(seed)
    for number, start in enumerate(range(0, rows, ROWS_A_FILE)):
        some = min(ROWS_A_FILE, rows - start)
        table = _events(random, some, cookies=max(1, rows // EVENTS_A_COOKIE), at=(start / rows, (start + some) / rows))
        pq.write_table(table, folder / f"part-{number:05d}.parquet", compression="zstd")
    return folder


def _events(random: np.random.Generator, rows: int, cookies: int, at: tuple[float, float]) -> pa.Table:
    cookie = random.integers(0, cookies, rows)
    reach = np.where(random.random(rows) < 0.6, 12, PRODUCTS)
    product = ((random.random(rows) ** 3 * reach).astype(np.int64) + cookie * 7919) % PRODUCTS
    span = np.array(at) * MICROSECONDS_AN_HOUR
    ts = np.sort(random.integers(int(span[0]), max(int(span[0]) + 1, int(span[1])), rows))
    origin = np.datetime64(f"{HOUR}:00:00", "us").astype(np.int64)
    kinds = pa.array(np.searchsorted(np.cumsum(SHARES)[:-1], random.random(rows)), pa.int32())
    return pa.table(
        {
            "ts": pa.array(origin + ts, pa.timestamp("us", "UTC")),
            "cookie_id": pa.array(_hexadecimal(cookie)),
            "product_id": pa.array(np.char.add("p", np.char.zfill(product.astype("U8"), 8))),
            "location": pa.array(np.char.add("loc", (cookie % LOCATIONS).astype("U3"))),
            "device": pa.DictionaryArray.from_arrays(pa.array(cookie % 4, pa.int32()), list(DEVICES)).cast("string"),
            "event_type": pa.DictionaryArray.from_arrays(kinds, list(TYPES)).cast("string"),
        }
    )


def _hexadecimal(cookie: np.ndarray) -> list[str]:
    """Returns 32 hexadecimal digits per cookie, like a UUID without its dashes."""
    mixed = (cookie.astype(np.uint64) + np.uint64(1)) * np.uint64(0x9E3779B97F4A7C15)
    text = mixed.astype(">u8").tobytes().hex()
    return [text[i : i + 16] * 2 for i in range(0, len(text), 16)]
