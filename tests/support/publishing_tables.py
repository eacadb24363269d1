"""Releases of any size as precompute writes them, without the models behind; and what a reader ought to find."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq

from larder.models.hours import as_text, hour
from larder.models.tables import (
    DELTA,
    DELTA_COOKIES,
    DELTA_DICTIONARY,
    DELTA_START,
    RELEASE,
    RELEASE_CONTEXTS,
    RELEASE_COOKIES,
    RELEASE_DICTIONARY,
    RELEASE_PRODUCTS,
)
from larder.storage import Tables
from larder.storage.manifests import DataFile, Manifest, fingerprint

FILES, ITEMS = 4, 10


def write_release(
    tables: Path, as_of: str, cookies: int, products: int = 500, seed: int = 0, items: int = ITEMS, files: int = FILES
) -> dict[int, list[int]]:
    """Writes the tables of a release; returns its lists of ordinals by cookie key (a thousand of them)."""
    random = np.random.default_rng(seed)
    drawn = np.random.default_rng(7).integers(-(2**63), 2**63, cookies)  # a larger release has the same ones and more
    keys = np.sort(drawn)
    ordinals = skewed(random, (cookies, items), products)
    run = fingerprint([as_of, cookies, products, seed, items])
    columns = {"cookie_key": pa.array(keys), **_lists(ordinals)}
    counts = {RELEASE_COOKIES: cookies}
    _write(tables, as_of, run, RELEASE_COOKIES, pa.table(columns), files)
    names = [f"p{number:07d}" for number in range(products)]
    some = min(products, 200)
    similar = pa.table({"product_id": names[:some], **_lists(skewed(random, (some, items), products))})
    _write(tables, as_of, run, RELEASE_PRODUCTS, similar, 1)
    contexts = {"location": ["l1", ""], "device": ["app", ""], **_lists(skewed(random, (2, items), products))}
    _write(tables, as_of, run, RELEASE_CONTEXTS, pa.table(contexts), 1)
    dictionary = pa.table({"ordinal": pa.array(range(products), pa.int32()), "product_id": names})
    _write(tables, as_of, run, RELEASE_DICTIONARY, dictionary, 1)
    Tables(str(tables)).publish(Manifest(RELEASE, f"as_of={as_of}", run, counts=counts))
    return {int(key) % 2**64: ordinals[np.searchsorted(keys, key)].tolist() for key in drawn[:1000]}


def write_delta(tables: Path, end: str, lists: dict[int, list[str]], hours: int = 1) -> None:
    """Writes what precompute_cookies would make of the hours before `end`: lists of product ids by cookie key."""
    ids = sorted({id_ for items in lists.values() for id_ in items})
    ordinal_of = {id_: ordinal for ordinal, id_ in enumerate(ids)}
    start = as_text(hour(end) - hours)
    run = fingerprint([end, start, sorted(lists.items())])
    keys = sorted(lists, key=lambda key: np.uint64(key).view(np.int64))
    scores = [[1 - place / 100 for place in range(len(lists[key]))] for key in keys]
    columns = {
        "cookie_key": pa.array(np.array(keys, np.uint64).view(np.int64)),
        "items": pa.array([[ordinal_of[id_] for id_ in lists[key]] for key in keys], pa.list_(pa.int32())),
        "scores": pa.array(scores, pa.list_(pa.float32())),
    }
    _write(tables, end, run, DELTA_COOKIES, pa.table(columns), 2)
    dictionary = pa.table({"ordinal": pa.array(range(len(ids)), pa.int32()), "product_id": pa.array(ids, pa.string())})
    _write(tables, end, run, DELTA_DICTIONARY, dictionary, 1)
    counts = {DELTA_COOKIES: len(keys), DELTA_DICTIONARY: len(ids)}
    Tables(str(tables)).publish(Manifest(DELTA, f"as_of={end}", run, counts=counts, parameters={DELTA_START: start}))


def skewed(random: np.random.Generator, shape: tuple[int, int], products: int) -> np.ndarray:
    """Ordinals with a density that falls like 1 / (ordinal + 1): Zipf's law."""
    return np.minimum(products ** random.random(shape) - 1, products - 1).astype(np.int32)


def _lists(ordinals: np.ndarray) -> dict[str, pa.Array]:
    offsets = pa.array(np.arange(len(ordinals) + 1) * ordinals.shape[1], pa.int32())
    scores = np.tile(np.linspace(1, 0.1, ordinals.shape[1], dtype=np.float32), len(ordinals))
    return {
        "items": pa.ListArray.from_arrays(offsets, ordinals.reshape(-1)),
        "scores": pa.ListArray.from_arrays(offsets, scores),
    }


def _write(tables: Path, as_of: str, run: str, name: str, table: pa.Table, files: int) -> None:
    manifest = Manifest(name, f"as_of={as_of}", run)
    folder = Path(Tables(str(tables)).run_folder(manifest).path)
    folder.mkdir(parents=True, exist_ok=True)
    written = []
    for number in range(files):
        start, end = (table.num_rows * at // files for at in (number, number + 1))
        path = folder / f"part-{number:05d}.parquet"
        pq.write_table(table.slice(start, end - start), path)
        written.append(DataFile(path.name, end - start, path.stat().st_size))
    Tables(str(tables)).publish(Manifest(name, f"as_of={as_of}", run, tuple(written)))
