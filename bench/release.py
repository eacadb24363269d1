"""Writes releases of any size as Parquet, with lists of a realistic skew: the input of the loading bench."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq

from larder.models.tables import RELEASE, RELEASE_CONTEXTS, RELEASE_COOKIES, RELEASE_DICTIONARY, RELEASE_PRODUCTS
from larder.storage import Manifest, Tables
from larder.storage.manifests import DataFile, fingerprint

AS_OF = "2026-11-20T00"
ITEMS = 30
ROWS_A_FILE = 1_000_000


def write_release(tables: Path, cookies: int, products: int, seed: int = 0) -> list[Path]:
    """Writes the tables of a release of `cookies` lists of 30 of `products`; returns the files of the lists.

    How often a product is listed falls like 1 / its rank (Zipf's law with exponent 1).
    """
    run = fingerprint([cookies, products, seed])
    tables_of_bench = Tables(str(tables))
    files = _write(tables_of_bench, run, RELEASE_COOKIES, _cookie_lists(cookies, products, seed))
    similar = {"product_id": pa.array([], pa.string()), **_lists(np.zeros((0, ITEMS), np.int32))}
    contexts = {"location": pa.array([""]), "device": pa.array([""]), **_lists(_zipf(seed, 1, products))}
    ids = pa.array([f"p{number:08d}" for number in range(products)])
    dictionary = {"ordinal": pa.array(np.arange(products, dtype=np.int32)), "product_id": ids}
    for name, columns in ((RELEASE_PRODUCTS, similar), (RELEASE_CONTEXTS, contexts), (RELEASE_DICTIONARY, dictionary)):
        _write(tables_of_bench, run, name, [pa.table(columns)])
    tables_of_bench.publish(Manifest(RELEASE, f"as_of={AS_OF}", run))
    return files


def _cookie_lists(cookies: int, products: int, seed: int) -> Iterator[pa.Table]:
    files = max(2, -(-cookies // ROWS_A_FILE))
    for number in range(files):
        rows = cookies * (number + 1) // files - cookies * number // files
        random = np.random.default_rng([seed, number])
        keys = np.sort(random.integers(-(2**63), 2**63, rows))
        yield pa.table({"cookie_key": keys, **_lists(_zipf(seed + number, rows, products))})


def _zipf(seed: int, rows: int, products: int) -> np.ndarray:
    """Returns ordinals, shape (rows, ITEMS): uniform numbers through the inverse of the integrated density."""
    uniform = np.random.default_rng(seed).random((rows, ITEMS), np.float32)
    return np.minimum(np.float32(products) ** uniform - 1, products - 1).astype(np.int32)


def _lists(ordinals: np.ndarray) -> dict[str, pa.Array]:
    offsets = pa.array(np.arange(len(ordinals) + 1, dtype=np.int32) * ITEMS)
    scores = np.tile(np.linspace(1, 0.1, ITEMS, dtype=np.float32), len(ordinals))
    return {
        "items": pa.ListArray.from_arrays(offsets, ordinals.reshape(-1)),
        "scores": pa.ListArray.from_arrays(offsets, scores),
    }


def _write(tables: Tables, run: str, name: str, parts: Iterator[pa.Table] | list[pa.Table]) -> list[Path]:
    manifest = Manifest(name, f"as_of={AS_OF}", run)
    folder = Path(tables.run_folder(manifest).path)
    folder.mkdir(parents=True, exist_ok=True)
    paths, files = [], []
    for number, table in enumerate(parts):
        path = folder / f"part-{number:05d}.parquet"
        pq.write_table(table, path, compression="zstd")
        paths.append(path)
        files.append(DataFile(path.name, table.num_rows, path.stat().st_size))
    tables.publish(Manifest(name, f"as_of={AS_OF}", run, tuple(files)))
    return paths
