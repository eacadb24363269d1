"""Lists for products without a picture: best sellers of their category, then of its parent, up to the department.

A product has no list if nothing in its department sells: the best sellers of the whole shop are not used.
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
# Product numbers and their scores, best first.
ScoredItems = tuple[list[int], list[float]]
# From a category path to the products that sell best in it, and their popularity.
BestSellers = dict[str, tuple[list[int], list[float]]]


def best_sellers_by_path(
    numbers: npt.NDArray[np.integer], categories: Sequence[str | None], popularity: npt.NDArray[np.floating], keep: int
) -> BestSellers:
    """Returns the `keep` most popular products of each category path, its subcategories included.

    `numbers`, `categories` and `popularity` have shape (k,); numbers are unique. Products with popularity 0 are left
    out. Ties go to the lower number.
    """
    ranked: BestSellers = {}
    for place in np.lexsort((numbers, -popularity)).tolist():
        if popularity[place] <= 0:
            break
        for path in path_prefixes(categories[place]):
            items, values = ranked.setdefault(path, ([], []))
            if len(items) < keep:
                items.append(int(numbers[place]))
                values.append(float(popularity[place]))
    return ranked


def nearest_best_sellers(category: str | None, ranked: BestSellers, keep: int) -> ScoredItems:
    """Returns `keep` best sellers of a category, continued with those of its parent, and so on.

    Scores are in (0, 1]: each step up halves them, and within a step they fall with popularity from 1 to 1/2 of that.
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


def category_lists(products: DataFrame, ranked: BestSellers, n: int) -> DataFrame:
    """Returns PRODUCT_ID, ITEMS and SCORES: a list of at most `n` for each product whose department sells anything.

    Args: `products` has PRODUCT_ID, CATEGORY and PRODUCT_NUMBER (null if the product has none); `ranked` holds n + 1
    products a path, since a product is left out of its own list.
    """
    shared = products.sparkSession.sparkContext.broadcast(ranked)

    def rank(batches: Batches) -> Batches:
        ranked, known = shared.value, dict[str, ScoredItems]()
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


def _without(own: int | None, listed: ScoredItems, n: int) -> ScoredItems:
    kept = [place for place, item in enumerate(listed[0]) if item != own][:n]
    return [listed[0][place] for place in kept], [listed[1][place] for place in kept]


def _as_batch(lists: list[tuple[str, list[int], list[float]]]) -> pa.RecordBatch:
    ids, items, scores = zip(*lists, strict=True) if lists else ((), (), ())
    types = (pa.string(), pa.list_(pa.int32()), pa.list_(pa.float32()))
    arrays = [pa.array(values, type_) for values, type_ in zip((ids, items, scores), types, strict=True)]
    return pa.record_batch(arrays, names=[C.PRODUCT_ID, C.ITEMS, C.SCORES])
