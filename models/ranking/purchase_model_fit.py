"""Fits a purchase model to what users bought afterwards, by Newton's method; deterministic."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
import numpy.typing as npt

from larder.models.evaluation.ranking_metrics import GroundTruth
from larder.models.interactions.purchase_history import PurchaseHistory
from larder.models.ranking.candidates import (
    OF_NEW,
    OF_OWNED,
    Candidates,
    ItemFeatures,
    candidate_features,
    generate_candidates,
)
from larder.models.ranking.purchase_model import PurchaseModel, PurchaseRegression

Floats = npt.NDArray[np.float32]
Doubles = npt.NDArray[np.float64]
Flags = npt.NDArray[np.bool_]

PENALTY, STEPS, ENOUGH, LEAST_STEP = 1e-5, 25, 1e-8, 1e-4
MOST_PAIRS = 3_000_000  # a few thousand users teach as much as all
ROWS = 65_536  # of terms in memory at a time


class NothingToLearnError(ValueError):
    """All candidates were bought afterwards, or none, so that nothing tells them apart."""


@dataclass(frozen=True)
class TrainingWindow:
    """Users as they were known at an instant, with factors (m, d) and history, and what they bought afterwards."""

    items: ItemFeatures
    factors: Floats
    history: PurchaseHistory
    truth: GroundTruth


def fit_purchase_model(windows: Sequence[TrainingWindow], candidates: int) -> PurchaseModel:
    """Returns the purchase model fitted to what users bought after these windows' instants.

    It has a regression for products that users bought before, and one for `candidates` products new to each user. In a
    shop where nothing is bought twice the first has nothing to learn: it becomes a constant, and the other learns
    alone; likewise the other way round. Raises NothingToLearnError if neither has anything to learn.
    """
    parts = [_pairs(window, candidates, MOST_PAIRS // len(windows)) for window in windows]

    def regression(names: tuple[str, ...], is_owned: bool) -> PurchaseRegression:
        features, bought = [], []
        for window, (pairs, came) in zip(windows, parts, strict=True):
            some = pairs.is_owned == is_owned
            features.append(candidate_features(window.items, window.factors, window.history, pairs.where(some), names))
            bought.append(came[some])
        came_true = np.concatenate(bought)
        if came_true.all() or not came_true.any():
            constant.append(is_owned)
            return constant_regression(names, came_true)
        which = "bought before" if is_owned else "new to their users"
        return fit_regression(names, np.concatenate(features), came_true, f"products {which}")

    constant: list[bool] = []
    model = PurchaseModel(regression(OF_OWNED, True), regression(OF_NEW, False))
    if len(constant) == 2:
        raise NothingToLearnError(
            "nothing to learn: of the products bought before all were bought afterwards, or none, and likewise of the "
            "products new to their users"
        )
    return model


def _pairs(window: TrainingWindow, candidates: int, most: int) -> tuple[Candidates, Flags]:
    """Returns candidates of the first users, at most `most` pairs, and which of them were bought afterwards."""
    sizes = np.diff(window.history.bought.offsets) + candidates
    users = max(1, int(np.searchsorted(np.cumsum(sizes), most, "right")))
    history, truth = window.history.rows(0, min(users, len(sizes))), window.truth
    pairs = generate_candidates(window.items, window.factors[:users], history, candidates)
    wanted = truth.users.astype(np.int64) * truth.n_items + truth.items
    return pairs, np.isin(pairs.users * truth.n_items + pairs.items, wanted)


def constant_regression(names: tuple[str, ...], bought: Flags) -> PurchaseRegression:
    """Returns the regression that gives all candidates the same log-odds: of their share that was `bought`, (c,).

    Half a purchase is added on either side (the Jeffreys prior), so that it is finite.
    """
    nothing = np.zeros(len(names))
    log_odds = np.log((bought.sum() + 0.5) / ((~bought).sum() + 0.5))
    quadratic = np.zeros((len(names), len(names)))
    return PurchaseRegression(names, nothing, np.ones(len(names)), float(log_odds), nothing, quadratic)


def fit_regression(
    names: tuple[str, ...], features: Doubles, bought: Flags, what: str = "candidates"
) -> PurchaseRegression:
    """Returns the regression of `bought` (c,) on features (c, k); `what` names the candidates in messages.

    Features that never vary get no weight. Raises NothingToLearnError if all candidates were bought, or none.
    """
    if bought.all() or not bought.any():
        raise NothingToLearnError(f"nothing to learn: of the {what} all were bought afterwards, or none")
    means, scales = features.mean(axis=0), features.std(axis=0)
    scales = np.where(scales > 1e-9, scales, 1.0)
    solved = _newton((features - means) / scales, bought.astype(np.float64))
    count = features.shape[1]
    quadratic = np.zeros((count, count))
    quadratic[np.triu_indices(count)] = solved[1 + count :]
    return PurchaseRegression(names, means, scales, float(solved[0]), solved[1 : 1 + count], quadratic)


def _newton(z: Doubles, bought: Doubles) -> Doubles:
    """Returns the weights that maximise the penalised mean log-likelihood; the constant is hardly penalised."""
    penalty = np.full(_terms(z[:1]).shape[1], PENALTY)
    penalty[0] = 1e-12
    share = float(bought.mean())
    solved = np.zeros(len(penalty))
    solved[0] = np.log(share / (1 - share))
    value, slope, curve = _likelihood(z, bought, solved, penalty)
    for _ in range(STEPS):
        direction, step = np.linalg.solve(curve, slope), 1.0
        after = _likelihood(z, bought, solved + direction, penalty)
        while after[0] < value and step > LEAST_STEP:
            step /= 2
            after = _likelihood(z, bought, solved + step * direction, penalty)
        gained = after[0] - value
        if gained <= 0:
            break
        solved, (value, slope, curve) = solved + step * direction, after
        if gained < ENOUGH:
            break
    return solved


def _likelihood(z: Doubles, bought: Doubles, weights: Doubles, penalty: Doubles) -> tuple[float, Doubles, Doubles]:
    """Returns the penalised mean log-likelihood, its gradient (t,) and its negative Hessian (t, t)."""
    value, slope, curve = 0.0, np.zeros(len(weights)), np.zeros((len(weights), len(weights)))
    for start in range(0, len(z), ROWS):
        terms, came = _terms(z[start : start + ROWS]), bought[start : start + ROWS]
        odds = terms @ weights
        chance = 1 / (1 + np.exp(-np.clip(odds, -60, 60)))
        value += float((came * odds - np.logaddexp(0, odds)).sum())
        slope += terms.T @ (came - chance)
        curve += (terms * (chance * (1 - chance))[:, None]).T @ terms
    penalised = value / len(z) - float((penalty * weights * weights).sum()) / 2
    return penalised, slope / len(z) - penalty * weights, curve / len(z) + np.diag(penalty)


def _terms(z: Doubles) -> Doubles:
    """Returns the terms of the regression: 1, each feature, and the product of every two, squares included."""
    left, right = np.triu_indices(z.shape[1])
    return np.hstack([np.ones((len(z), 1)), z, z[:, left] * z[:, right]])
