"""The vision model: pictures in, unit-length embeddings out, trained to name every level of the category path.

Keras is imported where it is used: the import takes seconds, and most of what imports this module needs only labels.
"""

from __future__ import annotations

import os
from collections import Counter
from collections.abc import Iterable, Mapping, Sequence
from typing import TYPE_CHECKING

import numpy as np
import numpy.typing as npt

if TYPE_CHECKING:
    import keras

# TensorFlow reads this once, on import, and otherwise writes about its build to the log of every worker.
os.environ.setdefault("TF_CPP_MIN_LOG_LEVEL", "3")

EMBEDDING_LAYER = "embedding"
SEPARATOR = "/"
FILTERS = (24, 48, 96, 128)
# Logits of a unit vector against a weight vector are small; this lets the sigmoids leave the middle.
SHARPNESS = 12.0
RARE = 1e-3


def ancestors(category: str | None) -> list[str]:
    """`Grocery/Dairy/Milk` as ["Grocery", "Grocery/Dairy", "Grocery/Dairy/Milk"]; [] for none."""
    names = [name for name in (category or "").split(SEPARATOR) if name]
    return [SEPARATOR.join(names[: depth + 1]) for depth in range(len(names))]


def label_list(products_of: Mapping[str | None, int], min_count: int) -> list[str]:
    """Every path prefix that at least `min_count` products have, sorted. `products_of` counts products by category.

    An ancestor has at least as many products as its descendants, so a label's ancestors are labels.
    """
    counts: Counter[str] = Counter()
    for category, products in products_of.items():
        for prefix in ancestors(category):
            counts[prefix] += products
    return sorted(prefix for prefix, count in counts.items() if count >= min_count)


def label_matrix(categories: Iterable[str | None], labels: Sequence[str]) -> npt.NDArray[np.uint8]:
    """(products, labels) of 0 and 1: a product has the label of its category and of every ancestor of it."""
    column = {label: index for index, label in enumerate(labels)}
    known = [[column[prefix] for prefix in ancestors(c) if prefix in column] for c in categories]
    matrix = np.zeros((len(known), len(labels)), np.uint8)
    for row, columns in enumerate(known):
        matrix[row, columns] = 1
    return matrix


def label_shares(
    products_of: Mapping[str | None, int], labels: Sequence[str]
) -> npt.NDArray[np.float32]:
    """The share of products that have each label, (labels,)."""
    categories = list(products_of)
    counts = np.array([products_of[c] for c in categories], np.float64)
    return np.asarray(counts @ label_matrix(categories, labels) / max(counts.sum(), 1), np.float32)
