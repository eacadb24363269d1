"""The figures of an evaluation: of lists, by task and group of users, and of strengths."""

from __future__ import annotations

from typing import Any

import numpy as np

from larder.jobs.evaluation.evaluation_data import Evidence
from larder.jobs.evaluation.evaluation_methods import NEW, Method
from larder.models.evaluation.ranking_metrics import means, measured, strength_errors, variety
from larder.models.ranking.candidates import pair_dots
from larder.settings import Settings

COLD, WARM = "cold", "warm"


def scored_lists(method: Method, seen: Evidence, settings: Settings) -> list[dict[str, Any]]:
    """A row a task: means with intervals, what lists are like, and NDCG@10 of cold and warm users apart."""
    resamples, seed = settings.evaluation.bootstrap, settings.evaluation.seed
    owned = np.diff(seen.history.bought.offsets)
    groups = {COLD: owned < settings.evaluation.cold_products, WARM: owned >= settings.evaluation.cold_products}
    rows = []
    for task in method.tasks:
        lists = method.lists(task)
        truth = seen.never_bought if task == NEW else seen.truth
        row: dict[str, Any] = {"method": method.name, "task": task}
        row |= measured(lists, truth).means(resamples, seed)
        like = variety(lists[truth.sizes > 0], seen.goods.categories.levels, seen.figures.buyers, seen.cookies)
        row |= {name: value for name, value in means(like, 0, seed).items() if name != "users"}
        for group, some in groups.items():
            part = truth.of(some)
            if len(part.users):
                row[group] = means({"ndcg@10": measured(lists, part).ndcg}, resamples, seed)
        rows.append(row)
    return rows


def strengths(seen: Evidence, half_life: float, hours: int) -> dict[str, Any]:
    """Root mean squared errors, of each pair of user and product that was bought before or afterwards.

    Purchases expected in the test hours beside those made: who buys at a steady rate r has a decayed count of
    r x half_life / ln 2. And the factors' affinity beside 1 for what was bought, 0 for what was not.
    """
    owned, products = seen.history.bought, len(seen.item_factors)
    before = owned.users * products + owned.items
    after = seen.truth.users.astype(np.int64) * products + seen.truth.items
    pairs = np.union1d(before, after)
    expected, made = np.zeros(len(pairs)), np.zeros(len(pairs))
    expected[np.searchsorted(pairs, before)] = owned.strengths * (np.log(2) / half_life * hours)
    made[np.searchsorted(pairs, after)] = seen.amounts
    affinity = pair_dots(pairs // products, pairs % products, seen.factors, seen.item_factors)
    return {
        "pairs": len(pairs),
        "purchases, by the decayed rate": strength_errors(expected, made),
        "affinity of the factors": strength_errors(affinity, (made > 0).astype(np.float64)),
    }
