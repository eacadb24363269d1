"""Figures by hand."""

from __future__ import annotations

from math import log, log2, sqrt

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from larder.models.evaluation.ranking_metrics import (
    HIT_AT,
    NDCG_AT,
    RECALL_AT,
    GroundTruth,
    ListMetrics,
    diversity_and_novelty,
    list_metrics,
    strength_errors,
)

ITEMS = 100
WIDTH = 40


def lists(*some: list[int]) -> np.ndarray:
    """Padded to WIDTH with none."""
    return np.array([items + [-1] * (WIDTH - len(items)) for items in some], np.int32)


def truth(*bought: list[int]) -> GroundTruth:
    pairs = [(user, item) for user, items in enumerate(bought) for item in items]
    users, items = zip(*pairs, strict=True)
    return GroundTruth(np.array(users), np.array(items), len(bought), ITEMS)


def gain(rank: int) -> float:
    return 1 / log2(rank + 1)


def test_figures_of_one_user() -> None:
    found = list_metrics(lists([7, 1, 8, 2]), truth([1, 2, 3]))
    assert found.ndcg.tolist() == pytest.approx([(gain(2) + gain(4)) / (gain(1) + gain(2) + gain(3))])
    assert found.recall.tolist() == pytest.approx([2 / 3])
    assert found.hit.tolist() == [1]
    assert found.coverage == 4 / ITEMS


def test_each_user_is_measured_alone() -> None:
    found = list_metrics(lists([1], [2], [1]), truth([1], [1], [5]))
    assert found.ndcg.tolist() == [1, 0, 0]
    assert found.hit.tolist() == [1, 0, 0]
    assert found.coverage == 2 / ITEMS


def test_a_user_who_bought_nothing_is_not_measured_but_his_list_is_covered() -> None:
    found = list_metrics(lists([1], [2], [3]), truth([1], [], [4]))
    assert len(found.ndcg) == len(found.recall) == len(found.hit) == 2
    assert found.coverage == 3 / ITEMS


def test_places_beyond_those_measured_do_not_count() -> None:
    late = [*range(50, 50 + HIT_AT), 1]
    found = list_metrics(lists(late), truth([1]))
    assert (found.ndcg.tolist(), found.hit.tolist(), found.recall.tolist()) == ([0], [0], [1])
    later = [*range(50, 50 + RECALL_AT), 1]
    found = list_metrics(lists(later), truth([1]))
    assert found.recall.tolist() == [0]
    assert found.coverage == RECALL_AT / ITEMS


def test_who_bought_more_than_can_be_listed_can_still_be_served_perfectly() -> None:
    found = list_metrics(lists(list(range(WIDTH))), truth(list(range(60))))
    assert found.ndcg.tolist() == pytest.approx([1])
    assert found.recall.tolist() == [1]


def test_no_item_is_never_bought() -> None:
    assert not truth([0], [0]).hits(np.array([[-1], [-1]])).any()
    # -1 in the row of user 1 would be the last item of user 0.
    assert not truth([ITEMS - 1], [5]).hits(np.array([[-1], [-1]])).any()


@given(
    st.lists(st.lists(st.integers(0, ITEMS - 1), max_size=WIDTH, unique=True), min_size=1, max_size=5),
    st.data(),
)
def test_figures_are_those_of_the_formulas(shown: list[list[int]], data: st.DataObject) -> None:
    some = st.lists(st.integers(0, ITEMS - 1), min_size=1, max_size=20, unique=True)
    bought = [data.draw(some) for _ in shown]
    found = list_metrics(lists(*shown), truth(*bought))
    for user, (items, wanted) in enumerate(zip(shown, bought, strict=True)):
        dcg = sum(gain(rank) for rank, item in enumerate(items[:NDCG_AT], 1) if item in wanted)
        ideal = sum(gain(rank) for rank in range(1, min(len(wanted), NDCG_AT) + 1))
        assert found.ndcg[user] == pytest.approx(dcg / ideal)
        assert found.recall[user] == pytest.approx(
            len(set(items[:RECALL_AT]) & set(wanted)) / min(len(wanted), RECALL_AT)
        )
        assert found.hit[user] == bool(set(items[:HIT_AT]) & set(wanted))


def test_figures_are_those_of_another_package() -> None:
    """Expected: the means of nDCG@10, R@30 and Success@10 of ir-measures 0.4.3 over the same lists."""
    users, items = 50, 61
    shown = (np.arange(users)[:, None] * 7 + np.arange(RECALL_AT) * 11) % items
    bought = [(user, (user * user + 5 * n) % items) for user in range(users) for n in range(1 + user % 17)]
    found = list_metrics(shown, GroundTruth(*np.array(bought).T, users, items))
    assert found.ndcg.mean() == pytest.approx(0.19434988678038376)
    assert found.recall.mean() == pytest.approx(0.576623912035677)
    assert found.hit.mean() == 0.82


FIGURES = ListMetrics(np.array([0.0, 1.0] * 50), np.full(100, 0.5), np.ones(100), 0.25)


def test_means_without_resamples() -> None:
    assert FIGURES.means(0, seed=1) == {
        "ndcg@10": 0.5,
        "recall@30": 0.5,
        "hit@10": 1.0,
        "coverage@30": 0.25,
        "users": 100,
    }


def test_intervals_hold_the_mean_and_come_again_with_the_seed() -> None:
    means = FIGURES.means(500, seed=1)
    low, high = means["ndcg@10 interval"]  # type: ignore[misc]
    # 1.96 standard errors of a mean of 100 draws of 0 or 1.
    assert (low, high) == pytest.approx((0.5 - 1.96 * 0.05, 0.5 + 1.96 * 0.05), abs=0.03)
    assert means["hit@10 interval"] == [1, 1]
    assert FIGURES.means(500, seed=1) == means
    assert FIGURES.means(500, seed=2) != means


def test_variety_by_hand() -> None:
    # Of three levels: 0 and 1 share two, 0 and 2 share one, 3 has no category.
    levels = np.array([[0, 0, 0], [0, 0, 1], [0, 1, 2], [-1, -1, -1]])
    found = diversity_and_novelty(lists([0, 1, 2], [0, 3], [1]), levels, np.array([8, 4, 1, 0]), users=8)
    likeness = [(2 / 3 + 1 / 3 + 1 / 3) / 3, 0, 0]
    assert found["diversity@10"].tolist() == pytest.approx([1 - value for value in likeness])
    surprise = [(0 + 1 + 3) / 3, (0 + 3) / 2, 1]  # what nobody bought is as rare as what one did
    assert found["novelty@10"].tolist() == pytest.approx(surprise)


def test_errors_of_strengths_by_hand() -> None:
    found = strength_errors(np.array([1.0, 0.0, 3.0]), np.array([1.0, 2.0, 0.0]))
    assert found["rmse"] == pytest.approx(sqrt((0 + 4 + 9) / 3))
    assert found["rmsle"] == pytest.approx(sqrt((0 + log(3) ** 2 + log(4) ** 2) / 3))


def test_a_part_of_the_truth() -> None:
    whole = truth([1, 2], [3], [4])
    left = whole.without(np.array([0, 2]), np.array([2, 3]))
    assert (left.users.tolist(), left.items.tolist()) == ([0, 1, 2], [1, 3, 4])
    some = whole.of_users(np.array([False, True, True]))
    assert (some.users.tolist(), some.items.tolist(), some.sizes.tolist()) == ([1, 2], [3, 4], [0, 1, 1])
