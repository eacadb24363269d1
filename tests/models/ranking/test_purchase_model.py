"""The learned order: its formula, its file, and that fitting finds what was planted."""

from __future__ import annotations

from math import log
from typing import Any

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from larder.models.ranking.candidates import FEATURES, OF_NEW
from larder.models.ranking.purchase_model import PurchaseModel, PurchaseRegression, WeightsError, probability
from larder.models.ranking.purchase_model_fit import NothingToLearnError, constant_regression, fit_regression

NAMES = ("affinity", "month")


def regression(names: tuple[str, ...] = NAMES, constant: float = -1.0) -> PurchaseRegression:
    count = len(names)
    return PurchaseRegression(
        names,
        np.arange(count, dtype=float),
        np.arange(1, count + 1, dtype=float),
        constant,
        np.full(count, 0.5),
        np.triu(np.full((count, count), 0.25)),
    )


def test_log_odds_by_hand() -> None:
    found = regression().log_odds(np.array([[2.0, 5.0], [0.0, 1.0]]))
    z = [2.0, (5.0 - 1) / 2]
    assert found.tolist() == pytest.approx([-1 + 0.5 * sum(z) + 0.25 * (z[0] ** 2 + z[0] * z[1] + z[1] ** 2), -1])
    assert probability(np.array([-log(3), 0, 1e9])).tolist() == pytest.approx([1 / 4, 1 / 2, 1])


RANKING = PurchaseModel(regression(FEATURES), regression(OF_NEW, 2.0))


def test_the_file_gives_the_same_order() -> None:
    again = PurchaseModel.from_json(RANKING.as_json())
    for before, after in ((RANKING.owned, again.owned), (RANKING.fresh, again.fresh)):
        rows = np.random.default_rng(1).normal(size=(9, len(before.features)))
        assert after.features == before.features
        assert after.log_odds(rows) == pytest.approx(before.log_odds(rows), rel=1e-4)


def broken(change: str) -> dict[str, Any]:
    written = RANKING.as_json()
    if change == "owned":
        del written["owned"]
    elif change == "colour":
        written["new"]["features"]["colour"] = {"mean": 0, "scale": 1}
    elif change == "strength":  # of what was never bought there is none
        written["new"] = written["owned"]
    elif change == "taste":
        written["new"]["weights"]["taste"] = 1.0
    else:
        del written["owned"]["weights"]["month"]
    return written


@pytest.mark.parametrize("change", ["owned", "colour", "strength", "taste", "month"])
def test_a_file_that_does_not_fit_is_refused_by_name(change: str) -> None:
    with pytest.raises(WeightsError, match=change):
        PurchaseModel.from_json(broken(change))


def test_fitting_finds_the_weights_that_were_planted() -> None:
    draw = np.random.default_rng(5)
    features = draw.normal(size=(60_000, 2))
    odds = -1 + 0.8 * features[:, 0] - 0.6 * features[:, 1] + 0.5 * features[:, 0] * features[:, 1]
    found = fit_regression(NAMES, features, draw.random(len(odds)) < 1 / (1 + np.exp(-odds)))
    assert np.abs(found.log_odds(features) - odds).max() < 0.8
    assert np.abs(found.log_odds(features) - odds).mean() < 0.05
    again = fit_regression(NAMES, features, draw.random(len(odds)) < 1 / (1 + np.exp(-odds)))
    assert again.constant == pytest.approx(found.constant, abs=0.05)


@given(st.integers(0, 2**32 - 1), st.floats(0.01, 100), st.floats(-50, 50))
def test_fitting_does_not_care_for_units(seed: int, scale: float, shift: float) -> None:
    draw = np.random.default_rng(seed)
    features, bought = draw.normal(size=(40, 2)), draw.random(40) < 0.5
    bought[:2] = True, False
    here = fit_regression(NAMES, features, bought).log_odds(features)
    there = fit_regression(NAMES, features * scale + shift, bought).log_odds(features * scale + shift)
    assert there == pytest.approx(here, abs=0.02)


def test_a_feature_that_never_varies_weighs_nothing() -> None:
    features = np.array([[0.0, 7.0], [1.0, 7.0], [1.0, 7.0], [0.0, 7.0]])
    found = fit_regression(NAMES, features, np.array([False, True, False, False]))
    assert np.isfinite(found.log_odds(features)).all()
    assert found.linear[1] == 0


def test_nothing_to_learn_is_said() -> None:
    for bought in (np.zeros(3, bool), np.ones(3, bool)):
        with pytest.raises(NothingToLearnError, match="nothing to learn: of the candidates"):
            fit_regression(NAMES, np.ones((3, 2)), bought)


@pytest.mark.parametrize(("bought", "of"), [(0, 9), (9, 9), (0, 0)])
def test_a_constant_is_the_share_that_was_bought(bought: int, of: int) -> None:
    flags = np.arange(of) < bought
    constant = constant_regression(FEATURES, flags)
    again = PurchaseModel.from_json(PurchaseModel(constant, regression(OF_NEW)).as_json()).owned
    expected = np.log((bought + 0.5) / (of - bought + 0.5))
    features = np.random.default_rng(0).normal(size=(5, len(FEATURES)))
    assert again.log_odds(features) == pytest.approx(np.full(5, expected), abs=1e-4)
