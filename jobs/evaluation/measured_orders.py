"""Measures the orders of personal lists, from simple to rich, on past windows, and chooses one."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any, NamedTuple

import numpy as np
import numpy.typing as npt

from larder.jobs.evaluation.evaluation_data import EvaluationData
from larder.jobs.evaluation.evaluation_methods import ALL, NEW, personal_method
from larder.jobs.evaluation.evaluation_summary import NDCG
from larder.jobs.lists.list_inputs import has_repeats, rankers
from larder.models.evaluation.order_choice import OrderChoice, choose_order
from larder.models.evaluation.ranking_metrics import list_metrics
from larder.models.evaluation.windows import mean_of_windows
from larder.models.ranking.candidates import item_features
from larder.models.ranking.purchase_model import PurchaseModel
from larder.models.ranking.purchase_model_fit import NothingToLearnError, TrainingWindow, fit_purchase_model
from larder.models.ranking.rankers import ALWAYS, NEVER, ListRules
from larder.settings import Settings

Doubles = npt.NDArray[np.float64]


class MeasuredWindow(NamedTuple):
    """NDCG@10 in a window, by order and task, shape (users,), and whether lists hold what was bought before."""

    figures: dict[str, dict[str, Doubles]]
    repeats: bool


def fitted_models(data: Sequence[EvaluationData], candidates: int) -> list[PurchaseModel | None]:
    """Returns a purchase model for each window, the newest first, fitted to that window and all older ones.

    It is None where these windows teach nothing.
    """
    shown = [
        TrainingWindow(
            item_features(some.best, some.attributes.categories, some.statistics),
            some.factors,
            some.history,
            some.truth,
        )
        for some in data
    ]
    return [_fitted(shown[place:], candidates) for place in range(len(shown))]


def _fitted(windows: Sequence[TrainingWindow], candidates: int) -> PurchaseModel | None:
    try:
        return fit_purchase_model(windows, candidates)
    except NothingToLearnError:
        return None


def measured_windows(
    data: Sequence[EvaluationData], models: Sequence[PurchaseModel | None], settings: Settings
) -> list[MeasuredWindow]:
    """Returns NDCG@10 of all orders in each window but the oldest, the newest first.

    `models` are the `fitted_models` of the same windows: each window is measured with the model of the older ones.
    """
    return [measured_window(some, older, settings) for some, older in zip(data[:-1], models[1:], strict=True)]


def measured_window(data: EvaluationData, model: PurchaseModel | None, settings: Settings) -> MeasuredWindow:
    """Returns NDCG@10 of all orders in one window; without a model there is no learned order."""
    lists, repeats = settings.lists, has_repeats(settings, lambda: data.statistics.repeat_purchases)
    rules = ListRules(lists.personal, NEVER if repeats else ALWAYS)
    truths = {NEW: data.truth_of_new, ALL: data.truth}
    figures = {}
    for order, ranker in rankers(settings, data.statistics, data.attributes.categories, model).items():
        method = personal_method(order, data, ranker, rules)
        figures[order] = {task: list_metrics(method.lists(task), truth).ndcg for task, truth in truths.items()}
    return MeasuredWindow(figures, repeats)


def chosen_order(measured: Sequence[MeasuredWindow], settings: Settings) -> tuple[OrderChoice, dict[str, Any]]:
    """Returns the choice, by the products that lists hold, and what the file of weights says of it.

    Args: `measured` are windows, the newest first. Where only some have a learned order, only these count.
    """
    most = max(len(window.figures) for window in measured)
    windows = [window for window in measured if len(window.figures) == most]
    by_task = {
        task: {order: [window.figures[order][task] for window in windows] for order in windows[0].figures}
        for task in (NEW, ALL)
    }
    decides = ALL if measured[0].repeats else NEW
    choice = choose_order(by_task[decides])
    resamples, seed = settings.evaluation.bootstrap, settings.evaluation.seed
    ndcg = {
        order: {task: mean_of_windows(NDCG, by_task[task][order], resamples, seed) for task in by_task}
        for order in windows[0].figures
    }
    told = {"measured_on": len(windows), "by": decides, "ndcg": ndcg, "best": choice.best}
    return choice, {**told, "behind": _short(choice.behind), "error": _short(choice.error)}


def _short(figure: float) -> float:
    return float(f"{figure:.4g}")
