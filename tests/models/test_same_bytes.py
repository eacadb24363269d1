"""The same rows give the same bytes, in whatever order and in batches of whatever size they come."""

from __future__ import annotations

from collections.abc import Callable, Iterator

import numpy as np
import pytest
from numpy.typing import NDArray
from pyspark.sql import DataFrame, SparkSession

from larder.models import columns as C
from larder.models.als.fold_in import FoldIn, fold_in_users
from larder.models.encoding.category_paths import CategoryLevels
from larder.models.interactions.item_statistics import ItemStatistics
from larder.models.interactions.purchase_history import PurchaseHistory, UserItems
from larder.models.lists.similar_items import neighbour_search, similar_lists
from larder.models.lists.top_n_lists import personal_lists
from larder.models.ranking.candidates import FEATURES, OF_NEW
from larder.models.ranking.purchase_model import PurchaseModel, PurchaseRegression
from larder.models.ranking.rankers import ALWAYS, BlendRanker, LearnedRanker, ListRules, Ranker
from larder.models.search.constraints import NeighbourConstraints, ProductVectors, nearest_allowed, product_traits
from larder.models.search.exact import unit_length
from larder.models.search.ivf import build_inverted_file, nearest_allowed_in_cells
from larder.models.search.mips import InnerProductIndex

USERS, ITEMS, RANK, N = 700, 900, 37, 12
Arrays = tuple[NDArray[np.generic], ...]


def near_ties(random: np.random.Generator, count: int, rank: int) -> NDArray[np.float32]:
    """Vectors of which many are alike but for their last bits, so that rounding would decide about their order."""
    few = random.normal(size=(count // 8, rank)).astype(np.float32)
    vectors = few[random.integers(0, len(few), count)]
    last_bits = random.integers(-1, 2, vectors.shape) * np.float32(2**-23)
    return (vectors * (1 + last_bits)).astype(np.float32)


def batches(random: np.random.Generator, count: int) -> Iterator[NDArray[np.int64]]:
    """All rows, shuffled, in batches of random sizes, single rows among them."""
    rows, at = random.permutation(count), 0
    while at < count:
        size = int(random.choice([1, 2, 3, 5, 17, 64, 255, 256, 257, 300]))
        yield rows[at : at + size]
        at += size


def assert_same(answer: Callable[[NDArray[np.int64]], Arrays], count: int) -> None:
    """Whatever rows are asked for together, each row's answer has the bytes that it has among all."""
    random = np.random.default_rng(5)
    whole = answer(np.arange(count))
    for _ in range(2):
        for rows in batches(random, count):
            for found, expected in zip(answer(rows), whole, strict=True):
                assert found.tobytes() == np.ascontiguousarray(expected[rows]).tobytes()


@pytest.fixture(scope="module")
def shop() -> tuple[NDArray[np.float32], NDArray[np.float32], PurchaseHistory]:
    random = np.random.default_rng(3)
    offsets = np.cumsum([0, *random.integers(0, 20, USERS)])
    items = np.concatenate([np.sort(random.permutation(ITEMS)[:size]) for size in np.diff(offsets)]).astype(np.int32)
    strengths, purchases, days = random.uniform(0.1, 9, (3, len(items))).astype(np.float32)
    history = PurchaseHistory(UserItems(offsets, items, strengths), purchases, days)
    return near_ties(random, USERS, RANK), near_ties(random, ITEMS, RANK), history


def of_users(history: PurchaseHistory, rows: NDArray[np.int64]) -> PurchaseHistory:
    """The history of some users, in that order."""
    some = [history.rows(int(row), int(row) + 1) for row in rows]
    offsets = np.cumsum([0, *(len(one.purchases) for one in some)])
    bought = [np.concatenate([getattr(one.bought, name) for one in some]) for name in ("items", "strengths")]
    facts = [np.concatenate([getattr(one, name) for one in some]) for name in ("purchases", "days")]
    return PurchaseHistory(UserItems(offsets, *bought), *facts)


def learned_ranker() -> LearnedRanker:
    random = np.random.default_rng(4)

    def regression(names: tuple[str, ...]) -> PurchaseRegression:
        linear, quadratic = random.normal(size=len(names)), random.normal(size=(len(names), len(names)))
        return PurchaseRegression(names, linear * 0, linear * 0 + 2, -1.0, linear, np.triu(quadratic) * 0.1)

    statistics = ItemStatistics(*random.uniform(0, 9, (4, ITEMS)).astype(np.float32))
    categories = CategoryLevels(random.integers(-1, 6, (ITEMS, 3)).astype(np.int32))
    return LearnedRanker(PurchaseModel(regression(FEATURES), regression(OF_NEW)), statistics, categories, 40)


CATEGORIES = np.random.default_rng(9).integers(-1, 5, ITEMS).astype(np.int32)


@pytest.mark.parametrize(
    "rules",
    [
        ListRules(N),
        ListRules(N, ALWAYS),
        ListRules(N, 4.0),
        ListRules(N, ALWAYS, CATEGORIES, 3),
        ListRules(N, 4.0, CATEGORIES, 0, 0.1),
    ],
    ids=["with bought", "new only", "masked", "few of a category", "penalty"],
)
@pytest.mark.parametrize("ranker", [BlendRanker(0.3), learned_ranker()], ids=["blend", "learned"])
def test_personal_lists(
    shop: tuple[NDArray[np.float32], NDArray[np.float32], PurchaseHistory], ranker: Ranker, rules: ListRules
) -> None:
    users, items, history = shop
    bound = ranker.bound_to(InnerProductIndex(items, np.arange(ITEMS) % 7 > 0))
    assert_same(lambda rows: bound.lists(users[rows], of_users(history, rows), rules), USERS)


def test_folded_in_users(shop: tuple[NDArray[np.float32], NDArray[np.float32], PurchaseHistory]) -> None:
    _, items, history = shop
    solver = FoldIn(items, 0.1, 8.0)

    def solve(rows: NDArray[np.int64]) -> Arrays:
        bought = of_users(history, rows).bought
        return (solver.users(bought.offsets, bought.items, bought.strengths),)

    assert_same(solve, USERS)


@pytest.mark.parametrize("cells", [False, True], ids=["exact", "cells"])
@pytest.mark.parametrize(
    "constraints",
    [
        NeighbourConstraints(),
        NeighbourConstraints(department="same", price_ratio=3),
        NeighbourConstraints(fold_above=0.9, other_sizes=False),
    ],
    ids=["all", "constrained", "folded"],
)
def test_similar_items(cells: bool, constraints: NeighbourConstraints) -> None:
    random = np.random.default_rng(7)
    vectors = unit_length(near_ties(random, 2000, RANK))
    traits = product_traits(
        [f"D{number}/x" for number in random.integers(0, 3, 2000)],
        random.uniform(1, 9, 2000).tolist(),
        [f"{number}" for number in random.integers(0, 800, 2000)],
    )
    products = ProductVectors(vectors, traits)
    if not cells:
        assert_same(lambda rows: nearest_allowed(products.of(rows), rows, products, N, constraints), 2000)
        return
    filed = build_inverted_file(vectors, 9, seed=1)
    listed, places = products.of(filed.order), np.argsort(filed.order)
    assert_same(
        lambda rows: nearest_allowed_in_cells(products.of(rows), places[rows], listed, N, constraints, filed), 2000
    )


@pytest.mark.end_to_end
def test_on_spark_with_other_partitions_and_batches(
    spark: SparkSession, shop: tuple[NDArray[np.float32], NDArray[np.float32], PurchaseHistory]
) -> None:
    """The frames of a release's lists, made of shuffled rows in few large and in many small batches."""
    users, items, history = shop
    factors = f"{C.PRODUCT_NUMBER} int, {C.FACTORS} array<float>"
    numbered = spark.createDataFrame([(number, row.tolist()) for number, row in enumerate(items)], factors)
    columns = f"{C.HISTORY_ITEMS} array<int>, {C.HISTORY_STRENGTHS} array<float>, {C.HISTORY_DAYS} array<float>"
    rows = []
    for user in range(USERS):
        own = history.rows(user, user + 1)
        rows.append((user, users[user].tolist(), own.bought.items.tolist(), own.bought.strengths.tolist()))
    asked = spark.createDataFrame(
        [(*row, [1.0] * len(row[2])) for row in rows], f"{C.COOKIE_KEY} long, {C.FACTORS} array<float>, {columns}"
    ).cache()
    pictures = unit_length(items).astype("<f2")
    embedded = spark.createDataFrame(
        [(f"p{number}", number, row.tobytes(), "D/x", 1.0, None) for number, row in enumerate(pictures)],
        f"{C.PRODUCT_ID} string, {C.PRODUCT_NUMBER} int, {C.EMBEDDING} binary, {C.CATEGORY} string, "
        f"{C.PRICE} double, {C.SAME_PRODUCT} string",
    ).cache()
    allowed = np.ones(ITEMS, bool)
    search = neighbour_search(embedded, allowed, exact_up_to=100, probes=6, seed=1)
    made = {}
    for partitions, size in ((1, 10_000), (7, 3)):
        spark.conf.set("spark.sql.execution.arrow.maxRecordsPerBatch", size)

        def shuffled(frame: DataFrame, key: str, parts: int = partitions) -> DataFrame:
            return frame.repartition(parts, key).sortWithinPartitions(frame[key] % (2 + parts), key)

        made[partitions] = [
            sorted(map(tuple, frame.collect()))
            for frame in (
                personal_lists(shuffled(asked, C.COOKIE_KEY), numbered, allowed, BlendRanker(0.3), ListRules(N)),
                fold_in_users(shuffled(asked, C.COOKIE_KEY), numbered, ITEMS, 0.1, 5.0),
                similar_lists(shuffled(embedded, C.PRODUCT_NUMBER), search, N, NeighbourConstraints(fold_above=0.95)),
            )
        ]
    spark.conf.unset("spark.sql.execution.arrow.maxRecordsPerBatch")
    assert made[1] == made[7]
