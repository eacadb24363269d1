"""For a product without a picture: what sells in its category, then in the one above it, and so on.

The whole shop is no category: where nothing of a product's department sells, there is no list.
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence

import numpy as np
import numpy.typing as npt
import pyarrow as pa
from pyspark.sql import DataFrame

from larder.models import columns as C
from larder.models.encoding.category_paths import path_prefixes
from larder.models.lists.similar_items import LISTS_DDL

Batches = Iterable[pa.RecordBatch]
# Product numbers and scores, best first.
Listed = tuple[list[int], list[float]]
# A category path, and all above it, to its most popular products and their popularity.
Ranked = dict[str, tuple[list[int], list[float]]]


def best_sellers_by_path(
    numbers: npt.NDArray[np.integer], categories: Sequence[str | None], popularity: npt.NDArray[np.floating], keep: int
) -> Ranked:
    """The `keep` most popular products of each category path, those of the paths below it among them.

    `numbers`, `categories` and `popularity` of k products, one number once; who has no popularity is left out.
    """
    ranked: Ranked = {}
    for place in np.lexsort((numbers, -popularity)).tolist():
        if popularity[place] <= 0:
            break
        for path in path_prefixes(categories[place]):
            items, values = ranked.setdefault(path, ([], []))
            if len(items) < keep:
                items.append(int(numbers[place]))
                values.append(float(popularity[place]))
    return ranked


def nearest_best_sellers(category: str | None, ranked: Ranked, keep: int) -> Listed:
    """The nearest `keep` products of a category: its own, then those of the path above it that are not there yet.

    A score is halved with each step up, and within a step falls with popularity from 1 to 1/2 of that: (0, 1].
    """
    items: list[int] = []
    scores: list[float] = []
    for steps, path in enumerate(reversed(path_prefixes(category))):
        found, values = ranked.get(path, ([], []))
        there = set(items)
        for item, value in zip(found, values, strict=True):
            if item not in there and len(items) < keep:
                items.append(item)
                scores.append(0.5**steps * (1 + value / values[0]) / 2)
    return items, scores


def category_lists(products: DataFrame, ranked: Ranked, n: int) -> DataFrame:
    """A list a product that its category has something for: PRODUCT_ID, ITEMS, SCORES.

    Args: `products` of PRODUCT_ID, CATEGORY and PRODUCT_NUMBER, null where it has none; `ranked` with n + 1 a path.
    """
    shared = products.sparkSession.sparkContext.broadcast(ranked)

    def rank(batches: Batches) -> Batches:
        ranked, known = shared.value, dict[str, Listed]()
        for batch in batches:
            ids, columns = batch.column(C.PRODUCT_ID).to_pylist(), (C.CATEGORY, C.PRODUCT_NUMBER)
            rows = zip(ids, *(batch.column(name).to_pylist() for name in columns), strict=True)
            lists = []
            for id_, category, own in rows:
                if category not in known:
                    known[category] = nearest_best_sellers(category, ranked, n + 1)
                items, scores = _without(own, known[category], n)
                if items:
                    lists.append((id_, items, scores))
            yield _as_batch(lists)

    return products.mapInArrow(rank, LISTS_DDL)


def _without(own: int | None, listed: Listed, n: int) -> Listed:
    kept = [place for place, item in enumerate(listed[0]) if item != own][:n]
    return [listed[0][place] for place in kept], [listed[1][place] for place in kept]


def _as_batch(lists: list[tuple[str, list[int], list[float]]]) -> pa.RecordBatch:
    ids, items, scores = zip(*lists, strict=True) if lists else ((), (), ())
    types = (pa.string(), pa.list_(pa.int32()), pa.list_(pa.float32()))
    arrays = [pa.array(values, type_) for values, type_ in zip((ids, items, scores), types, strict=True)]
    return pa.record_batch(arrays, names=[C.PRODUCT_ID, C.ITEMS, C.SCORES])
