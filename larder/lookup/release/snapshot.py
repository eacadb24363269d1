"""The last good generic lists, masks and experiments on disk, for a start while Redis is unavailable.

They are stored by product id, not by ordinal, so that they need no dictionary and no record format. Files are replaced
atomically.
"""

from __future__ import annotations

import asyncio
import json
import os
import socket
from collections.abc import Iterable
from datetime import datetime, timezone
from pathlib import Path

import numpy as np

from larder.loaders.codec import MAX_ITEMS, CorruptRecordError, encode_lists
from larder.loaders.keys import KINDS, Keys
from larder.lookup.json_text import encode_text, to_json
from larder.lookup.release.generic_lists import GenericLists
from larder.lookup.release.record_decoding import PackedList
from larder.lookup.release.served_release import ReleaseMeta, ServedRelease

FORMAT = 1
LISTS, MASKS, EXPERIMENTS = "generic-lists.jsonl", "masks.json", "experiments.json"
# The number of lists written before the event loop gets its turn.
TURN = 20


class SnapshotError(ValueError):
    """A snapshot file cannot be used; the message names it."""


async def save_lists(release: ServedRelease, folder: Path) -> None:
    """Writes the cached generic lists of a release. Raises OSError."""
    unfinished = _unfinished(folder / LISTS)
    with open(unfinished, "wb") as file:
        head = {"format": FORMAT, "release": release.name, "as_of": release.as_of.decode(), "scores": release.scored}
        file.write(to_json(head) + b"\n")
        for number, (key, record) in enumerate(release.generic.records()):
            try:
                ranked = PackedList(record, len(release.names)).head(MAX_ITEMS)
            except CorruptRecordError:
                continue
            names = b",".join([release.names[ordinal] for ordinal in ranked.ordinals])
            file.write(b'["%016x",[%b],%b]\n' % (key, names, to_json(ranked.scores)))
            if number % TURN == TURN - 1:
                await asyncio.sleep(0)
    unfinished.replace(folder / LISTS)


def load_lists(folder: Path, keys: Keys) -> ServedRelease:
    """Returns a release that has generic lists only. Raises SnapshotError, FileNotFoundError."""
    path = folder / LISTS
    try:
        with open(path, "rb") as file:
            head = json.loads(file.readline())
            if head["format"] != FORMAT:
                raise SnapshotError(f"{path} has format {head['format']!r}; this endpoint reads {FORMAT}")
            rows = [json.loads(line) for line in file]
        return _release(head, rows, keys)
    except SnapshotError:
        raise
    except FileNotFoundError:
        raise
    except (OSError, ValueError, KeyError, TypeError, IndexError) as error:
        raise SnapshotError(f"{path} cannot be used: {error!r}; remove it") from None


def _release(head: dict[str, object], rows: list[list[object]], keys: Keys) -> ServedRelease:
    ordinals: dict[str, int] = {}
    items: list[int] = []
    scores: list[float] = []
    offsets = [0]
    for _, products, of_list in rows:
        assert isinstance(products, list)
        items += [ordinals.setdefault(str(product), len(ordinals)) for product in products]
        scores += of_list if isinstance(of_list, list) else []
        offsets.append(len(items))
    scored = np.array(scores) if head["scores"] else None
    data, ends = encode_lists(np.array(offsets), np.array(items, np.int64), scored)
    records = {
        int(str(row[0]), 16): data[start:end].tobytes() for row, start, end in zip(rows, ends, ends[1:], strict=False)
    }
    as_of = datetime.strptime(str(head["as_of"]), "%Y-%m-%dT%H:%M:%SZ").replace(tzinfo=timezone.utc)
    buckets = dict.fromkeys(KINDS, 1)
    meta = ReleaseMeta(
        release=str(head["release"]),
        as_of=as_of,
        buckets=buckets,
        generic_lists=len(rows),
        products=len(ordinals),
        chunk=1,
        base=str(head["release"]),
        changed_buckets=0,
        first_chunk=0,
        scored=bool(head["scores"]),
        records={},
        changed_records=0,
    )
    lists = GenericLists(records, len(ordinals), complete=True, bound=len(records) + 1)
    return ServedRelease(meta, keys, [encode_text(product) for product in ordinals], lists, is_snapshot=True)


def save_masks(names: Iterable[bytes], folder: Path) -> None:
    """Writes the masked products, which are given as JSON strings. Raises OSError."""
    unfinished = _unfinished(folder / MASKS)
    unfinished.write_bytes(b"[%b]" % b",\n".join(names))
    unfinished.replace(folder / MASKS)


def load_masks(folder: Path) -> frozenset[bytes]:
    """Returns the masked products as JSON strings; none if there is no file. Raises SnapshotError."""
    path = folder / MASKS
    try:
        return frozenset(encode_text(str(product)) for product in json.loads(path.read_bytes()))
    except FileNotFoundError:
        return frozenset()
    except (OSError, ValueError, TypeError) as error:
        raise SnapshotError(f"{path} cannot be used: {error!r}; remove it") from None


def save_experiments(raw: bytes, folder: Path) -> None:
    """Writes the value of Redis' key of experiments. Raises OSError."""
    unfinished = _unfinished(folder / EXPERIMENTS)
    unfinished.write_bytes(raw)
    unfinished.replace(folder / EXPERIMENTS)


def load_experiments(folder: Path) -> bytes | None:
    """Returns what `save_experiments` wrote; None if there is no file. Raises OSError."""
    try:
        return (folder / EXPERIMENTS).read_bytes()
    except FileNotFoundError:
        return None


def _unfinished(path: Path) -> Path:
    """Returns a temporary path that no other worker uses, on this machine or on another that shares the folder."""
    path.parent.mkdir(parents=True, exist_ok=True)
    return path.with_name(f"{path.name}.{socket.gethostname()}-{os.getpid()}.part")
