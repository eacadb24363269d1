"""The figures of an evaluation: metrics of lists by task and group of users, and errors of strengths."""

from __future__ import annotations

from typing import Any

import numpy as np

from larder.jobs.evaluation.evaluation_data import EvaluationData
from larder.jobs.evaluation.evaluation_methods import NEW, Method
from larder.models.evaluation.ranking_metrics import diversity_and_novelty, list_metrics, means, strength_errors
from larder.models.ranking.candidates import pair_dots
from larder.settings import Settings

COLD, WARM = "cold", "warm"


def scored_lists(method: Method, data: EvaluationData, settings: Settings) -> list[dict[str, Any]]:
    """Returns a row a task: mean metrics with intervals, diversity, novelty, and NDCG@10 of cold and warm users."""
    resamples, seed = settings.evaluation.bootstrap, settings.evaluation.seed
    owned = np.diff(data.history.bought.offsets)
    groups = {COLD: owned < settings.evaluation.cold_products, WARM: owned >= settings.evaluation.cold_products}
    rows = []
    for task in method.tasks:
        lists = method.lists(task)
        truth = data.truth_of_new if task == NEW else data.truth
        row: dict[str, Any] = {"method": method.name, "task": task}
        row |= list_metrics(lists, truth).means(resamples, seed)
        like = diversity_and_novelty(
            lists[truth.sizes > 0], data.attributes.categories.levels, data.statistics.buyers, data.cookies
        )
        row |= {name: value for name, value in means(like, 0, seed).items() if name != "users"}
        for group, some in groups.items():
            part = truth.of_users(some)
            if len(part.users):
                row[group] = means({"ndcg@10": list_metrics(lists, part).ndcg}, resamples, seed)
        rows.append(row)
    return rows


def strengths(data: EvaluationData, half_life: float, hours: int) -> dict[str, Any]:
    """Returns root mean squared errors over the pairs of user and product that were bought before or afterwards.

    The expected number of purchases in the test hours is compared with the observed one: a user who buys at a steady
    rate r has a decayed count of r x half_life / ln 2. The affinity of the factors is compared with 1 for bought pairs
    and 0 for others.
    """
    owned, products = data.history.bought, len(data.item_factors)
    before = owned.users * products + owned.items
    after = data.truth.users.astype(np.int64) * products + data.truth.items
    pairs = np.union1d(before, after)
    expected, made = np.zeros(len(pairs)), np.zeros(len(pairs))
    expected[np.searchsorted(pairs, before)] = owned.strengths * (np.log(2) / half_life * hours)
    made[np.searchsorted(pairs, after)] = data.truth_counts
    affinity = pair_dots(pairs // products, pairs % products, data.factors, data.item_factors)
    return {
        "pairs": len(pairs),
        "purchases, by the decayed rate": strength_errors(expected, made),
        "affinity of the factors": strength_errors(affinity, (made > 0).astype(np.float64)),
    }
