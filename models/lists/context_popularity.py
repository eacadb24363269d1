"""Generic lists: the most popular products of a location on a device, backed off to wider contexts.

The contexts, from narrow to wide: location and device; location; device; all. A list of one context that is too short
continues with the products of the next.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass

import numpy as np
import numpy.typing as npt
import pandas as pd
from pyspark.sql import DataFrame, Window
from pyspark.sql import functions as F

from larder.models import columns as C

ANY = ""
RANK, SCORE = "_rank", "_score"
Entry = tuple[int, float]
Ints = npt.NDArray[np.int32]
LISTS = f"{C.LOCATION} string, {C.DEVICE} string, {C.ITEMS} array<int>, {C.SCORES} array<float>"


@dataclass(frozen=True)
class CategoryCap:
    """At most `most` products of a category stand in a list.

    `categories`, shape (products,), is the category of each product number, negative for none.
    """

    categories: Ints
    most: int


def filter_capped(ladder: DataFrame, cap: CategoryCap) -> DataFrame:
    """Keeps the `cap.most` best products of each category in each list; ties go to the lower number."""
    has_one = np.flatnonzero(cap.categories >= 0)
    pairs = list(zip(has_one.tolist(), cap.categories[has_one].tolist(), strict=True))
    known = ladder.sparkSession.createDataFrame(pairs, f"{C.PRODUCT_NUMBER} int, _category int")
    alike = Window.partitionBy(C.LOCATION, C.DEVICE, "_category").orderBy(F.desc(SCORE), C.PRODUCT_NUMBER)
    ranked = ladder.join(F.broadcast(known), C.PRODUCT_NUMBER, "left").withColumn("_place", F.row_number().over(alike))
    left = ranked.where((F.col("_place") <= cap.most) | F.col("_category").isNull())
    return left.select(*ladder.columns)


def as_ladder(popularity: DataFrame) -> DataFrame:
    """Returns SCORE by context (LOCATION, DEVICE; ANY stands for all) and PRODUCT_NUMBER."""
    steps = [(C.LOCATION, C.DEVICE), (C.LOCATION,), (C.DEVICE,), ()]
    frames = [_summed(popularity, kept) for kept in steps]
    ladder = frames[0]
    for frame in frames[1:]:
        ladder = ladder.unionByName(frame)
    # Events without a location are counted under ANY already: summing again keeps each step unique.
    return ladder.groupBy(C.LOCATION, C.DEVICE, C.PRODUCT_NUMBER).agg(F.max(SCORE).alias(SCORE))


def _summed(popularity: DataFrame, kept: tuple[str, ...]) -> DataFrame:
    wide = [F.col(name) if name in kept else F.lit(ANY).alias(name) for name in (C.LOCATION, C.DEVICE)]
    return popularity.groupBy(*wide, C.PRODUCT_NUMBER).agg(F.sum(SCORE).alias(SCORE))


def filter_popular(ladder: DataFrame, min_support: float, min_products: int, n: int) -> DataFrame:
    """Keeps the n best products of each context that have a score of at least `min_support`, and adds RANK, from 1.

    Contexts with fewer than `min_products` of them are left out, but never the context of all. Ties go to the lower
    number.
    """
    best = Window.partitionBy(C.LOCATION, C.DEVICE).orderBy(F.desc(SCORE), C.PRODUCT_NUMBER)
    whole = Window.partitionBy(C.LOCATION, C.DEVICE)
    ranked = ladder.where(F.col(SCORE) >= min_support).withColumn(RANK, F.row_number().over(best))
    ranked = ranked.where(F.col(RANK) <= n).withColumn("_size", F.count("*").over(whole))
    is_root = (F.col(C.LOCATION) == ANY) & (F.col(C.DEVICE) == ANY)
    return ranked.where((F.col("_size") >= min(min_products, n)) | is_root).drop("_size")


def as_filled_lists(popular: DataFrame, n: int, cap: CategoryCap | None = None) -> DataFrame:
    """Returns rows of LISTS: the list of each context, filled up from the wider ones, within the cap.

    Contexts without a location are few (one a device) and are collected; locations are filled in parallel.
    """
    anywhere = _lists_of(popular.where(F.col(C.LOCATION) == ANY).toPandas())
    fill = _fill_location(anywhere, n, cap)
    wide = popular.sparkSession.createDataFrame(_rows(anywhere, anywhere, n, cap), LISTS)
    located = popular.where(F.col(C.LOCATION) != ANY).groupBy(C.LOCATION).applyInPandas(fill, LISTS)
    return wide.unionByName(located)


def _fill_location(
    anywhere: Mapping[tuple[str, str], list[Entry]], n: int, cap: CategoryCap | None
) -> Callable[[pd.DataFrame], pd.DataFrame]:
    def fill(rows: pd.DataFrame) -> pd.DataFrame:
        here = _lists_of(rows)
        names = [C.LOCATION, C.DEVICE, C.ITEMS, C.SCORES]
        return pd.DataFrame(list(_rows(here, {**anywhere, **here}, n, cap)), columns=names)

    return fill


def _lists_of(rows: pd.DataFrame) -> dict[tuple[str, str], list[Entry]]:
    ordered = rows.sort_values([C.LOCATION, C.DEVICE, RANK])
    return {
        (str(location), str(device)): list(zip(group[C.PRODUCT_NUMBER], group[SCORE], strict=True))
        for (location, device), group in ordered.groupby([C.LOCATION, C.DEVICE])
    }


def _rows(
    wanted: Mapping[tuple[str, str], list[Entry]],
    known: Mapping[tuple[str, str], list[Entry]],
    n: int,
    cap: CategoryCap | None,
) -> Iterator[tuple[str, str, list[int], list[float]]]:
    for location, device in wanted:
        steps = dict.fromkeys([(location, device), (location, ANY), (ANY, device), (ANY, ANY)])
        items, scores = filled([known.get(step, []) for step in steps], n, cap)
        yield location, device, items, scores


def filled(steps: list[list[Entry]], n: int, cap: CategoryCap | None = None) -> tuple[list[int], list[float]]:
    """Returns one list of up to `n` from several, each product once.

    A score is the product's share of the best score of its step, scaled so that scores fall along the list.
    """
    items: dict[int, float] = {}
    counts: Counter[int] = Counter()
    ceiling = 1.0
    for step in steps:
        top = step[0][1] if step else 1.0
        for item, score in step:
            category = int(cap.categories[item]) if cap else -1
            if len(items) < n and item not in items and not (cap and counts[category] >= cap.most):
                counts[category] += category >= 0
                items[item] = ceiling * (score / top)  # in this order never above the ceiling
        ceiling = min(items.values(), default=1.0)
    return list(items), list(items.values())
