"""Measures lists of 30 by learned weights beside lists by factors alone: users per second on one core.

Factors are random, with lengths that fall as those of trained factors do; histories have 33 products. It measures
arithmetic, not quality.
"""

from __future__ import annotations

import argparse
import time

import numpy as np
from threadpoolctl import threadpool_limits

from bench.outcome import outcome
from larder.models.encoding.category_paths import CategoryLevels
from larder.models.interactions.item_statistics import ItemStatistics
from larder.models.interactions.purchase_history import PurchaseHistory, UserItems
from larder.models.ranking.candidates import OF_NEW, OF_OWNED
from larder.models.ranking.purchase_model import PurchaseModel, PurchaseRegression
from larder.models.ranking.rankers import ALWAYS, NEVER, BlendRanker, LearnedRanker, ListRules, Ranker
from larder.models.search.mips import InnerProductIndex

RANK, TOP, BOUGHT, CATEGORIES, RUNS = 64, 30, 33, 2000, 3


def main() -> None:
    parser = argparse.ArgumentParser(prog="python -m bench.learned_order", description=__doc__)
    parser.add_argument("--users", type=float, default=20e3)
    parser.add_argument("--items", type=float, default=50e3)
    parser.add_argument("--candidates", type=int, default=100)
    arguments = parser.parse_args()
    users, items, draw = int(arguments.users), int(arguments.items), np.random.default_rng(0)
    lengths = (1 + np.arange(items)) ** -0.5
    best = InnerProductIndex((draw.normal(size=(items, RANK)) * lengths[:, None]).astype(np.float32))
    factors = draw.normal(size=(users, RANK)).astype(np.float32)
    bought = np.sort((items * draw.random((users, BOUGHT)) ** 3).astype(np.int32), axis=1).reshape(-1)
    facts = draw.uniform(1, 9, (3, len(bought))).astype(np.float32)
    history = PurchaseHistory(UserItems(np.arange(users + 1) * BOUGHT, bought, facts[0]), facts[1], facts[2])
    figures = ItemStatistics(*(lengths * 1000).astype(np.float32).reshape(1, -1).repeat(4, axis=0))
    paths = draw.integers(0, CATEGORIES, items).astype(np.int32)
    categories = CategoryLevels(np.stack([paths // 100, paths // 10, paths], axis=1))
    ranking = PurchaseModel(_regression(OF_OWNED, draw), _regression(OF_NEW, draw))
    learned = LearnedRanker(ranking, figures, categories, arguments.candidates)
    with threadpool_limits(1, "blas"):
        rates = {
            "learned": _rate(learned, best, factors, history, ListRules(TOP, NEVER)),
            "factors alone": _rate(BlendRanker(0.7), best, factors, history, ListRules(TOP, ALWAYS)),
        }
    print(outcome("learned_order", "users/s of a core", rates.pop("learned"), rates, candidates=arguments.candidates))


def _rate(
    ranker: Ranker, best: InnerProductIndex, factors: np.ndarray, history: PurchaseHistory, rules: ListRules
) -> float:
    order, seconds = ranker.bound_to(best), []
    for _ in range(RUNS):  # the first compiles
        begun = time.perf_counter()
        order.lists(factors, history, rules)
        seconds.append(time.perf_counter() - begun)
    return len(factors) / min(seconds)


def _regression(names: tuple[str, ...], draw: np.random.Generator) -> PurchaseRegression:
    count = len(names)
    return PurchaseRegression(
        names, np.zeros(count), np.ones(count), 0.0, draw.normal(size=count), np.triu(draw.normal(size=(count, count)))
    )


if __name__ == "__main__":
    main()
