"""Dictionary-encoded columns of texts: their dictionaries cut to what is used, or put in order."""

from __future__ import annotations

import numpy as np
import pyarrow as pa

from larder.models.encoding.hashing import xxh64

NARROW = 1 << 15


def with_used_texts(codes: np.ndarray, texts: pa.StringArray) -> pa.DictionaryArray:
    """Returns codes, integers (n,), as a dictionary array whose dictionary holds only the `texts` that are used."""
    used = np.zeros(len(texts), bool)
    used[codes] = True
    new = np.cumsum(used, dtype=np.int32) - np.int32(1)
    kept = texts if used.all() else texts.take(pa.array(np.flatnonzero(used)))
    indices = new[codes]
    narrow = indices.astype(np.int16) if len(kept) <= NARROW else indices
    return pa.DictionaryArray.from_arrays(pa.array(narrow), kept)


def by_hash(codes: np.ndarray, texts: pa.StringArray) -> tuple[np.ndarray, pa.StringArray]:
    """Returns codes and texts with the texts in the order of their hashes.

    That order follows from the texts alone, as the alphabetical one does, and is cheaper to find.
    """
    order = np.argsort(xxh64(texts))
    return _inverse(order)[codes], texts.take(pa.array(order))


def by_text(codes: np.ndarray, texts: pa.StringArray) -> tuple[np.ndarray, pa.StringArray]:
    """Returns codes and texts with the texts in alphabetical order, by code points."""
    order = np.argsort(np.array(texts.to_pylist(), object)) if len(texts) else np.zeros(0, np.int64)
    return _inverse(order)[codes], texts.take(pa.array(order, pa.int64()))


def _inverse(order: np.ndarray) -> np.ndarray:
    ranks = np.empty(len(order), np.int32)
    ranks[order] = np.arange(len(order), dtype=np.int32)
    return ranks
