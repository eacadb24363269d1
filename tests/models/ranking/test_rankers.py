"""Personal lists by either order, against brute force in plain Python."""

from __future__ import annotations

import tracemalloc
from math import exp, log

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from larder.models.encoding.category_paths import CategoryLevels
from larder.models.interactions.item_statistics import ItemStatistics
from larder.models.interactions.purchase_history import PurchaseHistory, UserItems
from larder.models.ranking import candidates, rankers
from larder.models.ranking.candidates import (
    FEATURES,
    OF_ITEMS,
    OF_NEW,
    OF_OWNED,
    Candidates,
    ItemFeatures,
    candidate_features,
)
from larder.models.ranking.purchase_model import PurchaseModel, PurchaseRegression
from larder.models.ranking.rankers import ALWAYS, BlendRanker, LearnedRanker, ListRules, PopularityRanker
from larder.models.search.mips import InnerProductIndex

PRODUCTS, RANK = 6, 2
CATEGORIES = np.array([0, 0, 1, 1, -1, 0], np.int32)
BROADER = np.array([0, 0, 0, 0, -1, 0], np.int32)
FIGURES = ItemStatistics(
    buyers=np.array([9, 4, 4, 2, 1, 7], np.float32),
    again=np.array([3, 0, 4, 1, 0, 2], np.float32),
    month=np.array([5, 1, 2, 0, 1, 6], np.float32),
    week=np.array([1, 0, 2, 0, 0, 3], np.float32),
)
VECTORS = np.array([[1, 0], [2, 1], [0, 3], [1, 1], [2, 2], [3, 0]], np.float32)


def paths_of(categories: np.ndarray, broader: np.ndarray | None = None) -> CategoryLevels:
    """Category paths of one name, or of a broader category's and a category's."""
    above = categories if broader is None else broader
    return CategoryLevels(np.stack([above, above, categories], axis=1))


PATHS = paths_of(CATEGORIES, BROADER)
Bought = dict[int, tuple[float, int, float]]  # item: strength, purchases, days since


def random_regression(names: tuple[str, ...], seed: int) -> PurchaseRegression:
    draw = np.random.default_rng(seed)
    count = len(names)
    quadratic = np.triu(draw.normal(size=(count, count))) * 0.1
    return PurchaseRegression(
        names, draw.normal(size=count), np.full(count, 2.0), -1.0, draw.normal(size=count), quadratic
    )


RANKING = PurchaseModel(random_regression(FEATURES, 1), random_regression(OF_NEW, 2))
# As in files of weights that an earlier build wrote.
OF_FEWER = PurchaseModel(random_regression(OF_OWNED, 3), random_regression(("affinity", "category", *OF_ITEMS), 4))


def as_history(bought: list[Bought]) -> PurchaseHistory:
    facts = [of for some in bought for of in some.values()]
    strengths, purchases, days = np.array(facts, np.float32).reshape(-1, 3).T
    items = np.array([item for some in bought for item in some], np.int32)
    return PurchaseHistory(UserItems(np.cumsum([0, *map(len, bought)]), items, strengths), purchases, days)


def log_odds(regression: PurchaseRegression, facts: dict[str, float]) -> float:
    z = [
        (facts[name] - mean) / scale
        for name, mean, scale in zip(regression.features, regression.means, regression.scales, strict=True)
    ]
    pairs = sum(regression.quadratic[i, j] * z[i] * z[j] for i in range(len(z)) for j in range(i, len(z)))
    return regression.constant + sum(w * x for w, x in zip(regression.linear, z, strict=True)) + pairs


def facts_of(user: np.ndarray, bought: Bought, item: int) -> dict[str, float]:
    total = sum(strength for strength, _, _ in bought.values())

    def share(codes: np.ndarray) -> float:
        same = sum(of[0] for other, of in bought.items() if codes[other] == codes[item] >= 0)
        return log(same / total + 1e-4 if total else 1e-4)

    strength, purchases, days = bought.get(item, (0.99, 0, 0.0))
    return {
        "affinity": float(user @ VECTORS[item]),
        "log affinity": log(max(float(user @ VECTORS[item]), 1e-4)),
        "category": share(CATEGORIES),
        "broader category": share(BROADER),
        "breadth": log(1 + len(bought)),
        "month": log(1 + FIGURES.month[item]),
        "week": log(1 + FIGURES.week[item]),
        "buyers": log(1 + FIGURES.buyers[item]),
        "repeat": log((FIGURES.again[item] + 1) / (FIGURES.buyers[item] + 5)),
        "strength": log(strength + 0.01),
        "purchases": log(1 + purchases),
        "days": log(1 + days),
    }


histories = st.dictionaries(
    st.integers(0, PRODUCTS - 1),
    st.tuples(st.sampled_from([0.5, 1.0, 4.0]), st.integers(1, 5), st.sampled_from([0.5, 3.0, 40.0])),
    max_size=PRODUCTS,
)
users = st.lists(st.integers(-2, 2), min_size=RANK, max_size=RANK)


@given(
    st.lists(st.tuples(users, histories), max_size=4),
    st.sampled_from([0.0, 5.0, ALWAYS]),
    st.integers(1, 7),
    st.sampled_from([RANKING, OF_FEWER]),
)
def test_the_learned_order_is_that_of_brute_force(
    shop: list[tuple[list[int], Bought]], masked_days: float, n: int, ranking: PurchaseModel
) -> None:
    allowed = np.array([True, True, True, True, True, False])
    factors = np.array([user for user, _ in shop], np.float32).reshape(-1, RANK)
    order = LearnedRanker(ranking, FIGURES, PATHS, PRODUCTS).bound_to(InnerProductIndex(VECTORS, allowed))
    found, scores = order.lists(factors, as_history([bought for _, bought in shop]), ListRules(n, masked_days))
    assert found.shape == scores.shape == (len(shop), min(n, PRODUCTS))
    for row, (user, bought) in enumerate(shop):
        odds = {}
        for item in np.flatnonzero(allowed).tolist():
            if item in bought and bought[item][2] < masked_days:
                continue
            regression = ranking.owned if item in bought else ranking.fresh
            odds[item] = log_odds(regression, facts_of(np.array(user), bought, item))
        best = sorted(odds, key=lambda item: (-odds[item], item))[:n]
        listed = [item for item in found[row].tolist() if item >= 0]
        assert [odds[item] for item in listed] == pytest.approx([odds[item] for item in best], abs=1e-4)
        expected = [1 / (1 + exp(-odds[item])) for item in listed]
        assert scores[row, : len(listed)].tolist() == pytest.approx(expected, abs=1e-5)
        assert (scores[row, len(listed) :] == 0).all()


def test_only_so_many_products_are_looked_at_beside_what_was_bought() -> None:
    order = LearnedRanker(RANKING, FIGURES, PATHS, 2).bound_to(InnerProductIndex(VECTORS))
    found, _ = order.lists(np.array([[1, 0]], np.float32), as_history([{5: (1.0, 1, 1.0)}]), ListRules(6))
    assert set(found[0].tolist()) == {5, 1, 4, -1}  # affinities: 5 has 3, 1 and 4 have 2


def test_many_users_are_ranked_in_parts(monkeypatch: pytest.MonkeyPatch) -> None:
    draw = np.random.default_rng(4)
    factors = draw.normal(size=(9, RANK)).astype(np.float32)
    history = as_history([{int(item): (1.0, 1, 2.0) for item in draw.choice(PRODUCTS, 2, False)} for _ in range(9)])
    order = LearnedRanker(RANKING, FIGURES, PATHS, 4).bound_to(InnerProductIndex(VECTORS))
    whole = order.lists(factors, history, ListRules(4))
    monkeypatch.setattr(rankers, "USERS", 2)
    parts = order.lists(factors, history, ListRules(4))
    assert np.array_equal(whole[0], parts[0])
    assert np.array_equal(whole[1], parts[1])


def test_shares_of_many_categories_take_no_more_memory_for_more_users() -> None:
    users, kinds = 16 * candidates.USERS, 5000
    history = as_history([{user % kinds: (2.0, 1, 1.0), (user + 1) % kinds: (6.0, 1, 1.0)} for user in range(users)])
    of_each = np.repeat(np.arange(users), 2)
    pairs = Candidates(of_each, (of_each + np.tile([0, 2], users)) % kinds, np.full(2 * users, -1))
    known = ItemFeatures(
        InnerProductIndex(np.ones((kinds, 1), np.float32)), paths_of(np.arange(kinds, dtype=np.int32)), {}
    )
    tracemalloc.start()
    found = candidate_features(known, np.ones((users, 1), np.float32), history, pairs, ["category"])
    peak = tracemalloc.get_traced_memory()[1]
    tracemalloc.stop()
    assert peak < 4 * candidates.USERS * kinds * 8
    assert np.exp(found[:, 0]).tolist() == pytest.approx(np.tile([0.25 + 1e-4, 1e-4], users).tolist())


ONE_USER = np.array([[1.0, 0.0]], np.float32)
# Affinities 1 2 0 1 2 3; product 0 was bought today, and adds 0.5; 2 forty days ago, and adds 0.25.
TWO_BOUGHT = as_history([{0: (4.0, 2, 0.5), 2: (2.0, 1, 40.0)}])


@pytest.mark.parametrize(
    ("masked_days", "expected"),
    [(0.0, [5, 0, 1, 4, 3, 2]), (7.0, [5, 1, 4, 3, 2, -1]), (ALWAYS, [5, 1, 4, 3, -1, -1])],
)
def test_what_was_bought_is_masked_never_for_a_while_or_always(masked_days: float, expected: list[int]) -> None:
    order = BlendRanker(0.5).bound_to(InnerProductIndex(VECTORS))
    found, scores = order.lists(ONE_USER, TWO_BOUGHT, ListRules(6, masked_days))
    assert found.tolist() == [expected]
    assert scores[0, 0] == (3 if masked_days == ALWAYS else 0.5 * 3)


@pytest.mark.parametrize(
    ("masked_days", "expected"),
    [(0.0, [0, 2, 5, 1, 3, 4]), (7.0, [2, 5, 1, 3, 4, -1]), (ALWAYS, [5, 1, 3, 4, -1, -1])],
)
def test_popular_items_follow_what_the_user_bought(masked_days: float, expected: list[int]) -> None:
    """Buyers are 9 4 4 2 1 7; the user bought 0, and 2 half as much. Ties go to the lower number."""
    order = PopularityRanker(FIGURES.buyers, 0.7).bound_to(InnerProductIndex(VECTORS))
    found, scores = order.lists(ONE_USER, TWO_BOUGHT, ListRules(6, masked_days))
    assert found.tolist() == [expected]
    # Where nothing that was bought is listed, scores are shares of the largest count.
    first = {0.0: 0.7 + 0.3, 7.0: 0.7 / 2 + 0.3 * 4 / 9, ALWAYS: 7 / 9}[masked_days]
    assert scores[0, 0] == pytest.approx(first)


def test_popular_items_that_may_not_be_listed_are_not() -> None:
    allowed = np.array([False, True, True, True, True, False])
    order = PopularityRanker(FIGURES.buyers, 0.7).bound_to(InnerProductIndex(VECTORS, allowed))
    assert order.lists(ONE_USER, as_history([{}]), ListRules(6))[0].tolist() == [[1, 2, 3, 4, -1, -1]]


def test_few_of_a_category_in_either_order() -> None:
    best = InnerProductIndex(VECTORS)
    nothing = as_history([{}])
    # 5, 1 and 0 are of one category; 4 has none.
    rules = ListRules(4, categories=CATEGORIES, most=1)
    assert BlendRanker(0.0).bound_to(best).lists(ONE_USER, nothing, rules)[0].tolist() == [[5, 4, 3, -1]]
    learned = LearnedRanker(RANKING, FIGURES, PATHS, PRODUCTS).bound_to(best)
    found, scores = learned.lists(ONE_USER, nothing, rules)
    kinds = [CATEGORIES[item] for item in found[0] if item >= 0 and CATEGORIES[item] >= 0]
    assert len(set(kinds)) == len(kinds)
    assert (np.diff(scores[0]) <= 0).all()


def test_a_penalty_moves_the_second_of_a_category_down() -> None:
    order = BlendRanker(0.0).bound_to(InnerProductIndex(VECTORS))
    found, scores = order.lists(ONE_USER, as_history([{}]), ListRules(3, categories=CATEGORIES, penalty=1.5))
    assert found.tolist() == [[5, 4, 3]]  # 1 has affinity 2, less 1.5 for 5, which is of its kind
    assert scores.tolist() == [[3, 2, 1]]


@pytest.mark.parametrize("penalty", [0.0, 2.5])
def test_a_list_that_reaches_products_with_negative_scores_keeps_their_order_and_says_0(penalty: float) -> None:
    """The record format has no negative scores: a release with one could not be loaded."""
    order = BlendRanker(0.0).bound_to(InnerProductIndex(VECTORS))
    user = np.array([[-1.0, 0.0]], np.float32)  # affinities -1 -2 0 -1 -2 -3
    found, scores = order.lists(user, as_history([{}]), ListRules(6, categories=CATEGORIES, penalty=penalty))
    assert sorted(found[0].tolist()) == list(range(6))
    assert found[0, 0] == 2
    assert scores.tolist() == [[0.0] * 6]
