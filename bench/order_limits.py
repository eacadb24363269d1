"""Measures how much better a household's own products could be ranked if the model knew what nobody can know.

It uses The Complete Journey, one process, and products that a household bought before. The learned weights (decision
14), fitted to the eight weeks before an instant, rank for the four weeks after it. Then the same model gets one more
feature, taken from those four weeks themselves: the gain of a perfect forecast of it.
"""

from __future__ import annotations

import argparse
import functools
import json
from collections.abc import Callable
from dataclasses import dataclass

import numpy as np
import numpy.typing as npt
import pandas as pd
from threadpoolctl import threadpool_limits

from demo.complete_journey import source_folder
from larder.jobs.evaluation.evaluation_methods import IMPLICIT_ALS
from larder.models.encoding.category_paths import CategoryLevels
from larder.models.evaluation.ranking_metrics import GroundTruth, list_metrics, means
from larder.models.interactions.item_statistics import MONTH_DAYS, WEEK_DAYS, ItemStatistics
from larder.models.interactions.purchase_history import PurchaseHistory, UserItems
from larder.models.ranking.candidates import OF_OWNED, Candidates, ItemFeatures, candidate_features, item_features
from larder.models.ranking.purchase_model_fit import fit_regression
from larder.models.ranking.rankers import top_candidates
from larder.models.search.mips import InnerProductIndex

INSTANTS = ("2017-09-11", "2017-10-09", "2017-11-06", "2017-12-04")
WINDOW_DAYS, WINDOWS, HALF_LIFE_DAYS = 28, 2, 60.0  # days per window; windows fitted on; the demo's half-life
SHOWN, RESAMPLES, SEED = 30, 1000, 0
A_DAY = np.timedelta64(1, "D")

Floats = npt.NDArray[np.float64]
Flags = npt.NDArray[np.bool_]


@dataclass(frozen=True)
class Log:
    """Purchases (k,): household, product and instant; and the category of each product (products,)."""

    households: npt.NDArray[np.int64]
    products: npt.NDArray[np.int64]
    times: npt.NDArray[np.datetime64]
    categories: npt.NDArray[np.int32]


@dataclass(frozen=True)
class Seen:
    """Pairs of household and product bought before an instant, their features, and which were bought again."""

    pairs: Candidates
    features: Floats
    bought: Flags
    truth: GroundTruth
    categories: npt.NDArray[np.int32]


def read_log() -> Log:
    rows = pd.read_parquet(source_folder() / "transactions.parquet").query("quantity > 0")
    goods = pd.read_parquet(source_folder() / "products.parquet").set_index("product_id")
    ids, products = np.unique(rows.product_id, return_inverse=True)
    _, households = np.unique(rows.household_id, return_inverse=True)
    path = goods.reindex(ids)[["department", "product_category", "product_type"]].fillna("").agg("/".join, axis=1)
    return Log(households, products, rows.transaction_timestamp.to_numpy(), pd.factorize(path)[0].astype(np.int32))


def seen_at(log: Log, instant: np.datetime64) -> Seen:
    """Returns what the model knows at an instant, and which known products were bought in the four weeks after it."""
    users, items = int(log.households.max()) + 1, len(log.categories)
    before = log.times < instant
    keys, entries = np.unique(log.households[before] * items + log.products[before], return_inverse=True)
    ages = (instant - log.times[before]) / A_DAY
    days = np.full(len(keys), np.inf)
    np.minimum.at(days, entries, ages)
    purchases, strengths = np.bincount(entries), np.bincount(entries, 2 ** (-ages / HALF_LIFE_DAYS))
    rows, bought = keys // items, keys % items
    offsets = np.searchsorted(rows, np.arange(users + 1))
    owned = UserItems(offsets, bought.astype(np.int32), strengths.astype(np.float32))
    history = PurchaseHistory(owned, purchases.astype(np.float32), days.astype(np.float32))
    pairs = Candidates(rows, bought, np.arange(len(keys)))
    factors, known = _factors(log, rows, bought, strengths, _figures(bought, purchases, days, items))
    later = ~before & (log.times < instant + WINDOW_DAYS * A_DAY)
    after = np.unique(log.households[later] * items + log.products[later])
    after = after[np.isin(after % items, bought) & np.isin(after // items, rows)]
    truth = GroundTruth(after // items, after % items, users, items)
    features = candidate_features(known, factors, history, pairs, OF_OWNED)
    return Seen(pairs, features, np.isin(keys, after), truth, log.categories)


def _figures(
    bought: npt.NDArray[np.int64], purchases: npt.NDArray[np.int64], days: Floats, items: int
) -> ItemStatistics:
    conditions = (purchases > 0, purchases > 1, days <= MONTH_DAYS, days <= WEEK_DAYS)
    return ItemStatistics(*(np.bincount(bought[some], minlength=items).astype(np.float32) for some in conditions))


def _factors(
    log: Log,
    rows: npt.NDArray[np.int64],
    bought: npt.NDArray[np.int64],
    strengths: npt.NDArray[np.number],
    figures: ItemStatistics,
) -> tuple[npt.NDArray[np.float32], ItemFeatures]:
    from implicit.als import AlternatingLeastSquares
    from scipy.sparse import csr_matrix

    shape = (int(log.households.max()) + 1, len(log.categories))
    matrix = csr_matrix(((1 + strengths).astype(np.float32), (rows, bought)), shape)
    with threadpool_limits(1, "blas"):
        model = AlternatingLeastSquares(**IMPLICIT_ALS)
        model.fit(matrix, show_progress=False)
    paths = CategoryLevels(np.stack([log.categories] * 3, axis=1))
    return model.user_factors, item_features(InnerProductIndex(model.item_factors), paths, figures)


def nothing(seen: Seen) -> Floats:
    return np.zeros(len(seen.bought))


def other_buyers(seen: Seen) -> Floats:
    """Returns for each pair how many other households buy the product in the four weeks, as log(1 + n)."""
    buyers = np.bincount(seen.truth.items, minlength=seen.truth.n_items)
    return np.log1p(buyers[seen.pairs.items] - seen.bought)


def other_buyers_of_category(seen: Seen) -> Floats:
    """Returns for each pair how many other households buy from the product's category, as log(1 + n)."""
    buyers = np.bincount(seen.categories[seen.truth.items], minlength=int(seen.categories.max()) + 1)
    return np.log1p(buyers[seen.categories[seen.pairs.items]] - seen.bought)


def category_needed(seen: Seen) -> Floats:
    """Returns for each pair whether the household buys any product of the category in the four weeks."""
    count = int(seen.categories.max()) + 1
    needed = seen.truth.users * count + seen.categories[seen.truth.items]
    return np.isin(seen.pairs.users * count + seen.categories[seen.pairs.items], needed).astype(np.float64)


NOTHING = "nothing"
KNOWN: dict[str, Callable[[Seen], Floats]] = {
    NOTHING: nothing,
    "how many others will buy the product": other_buyers,
    "how many others will buy of its category": other_buyers_of_category,
    "which categories the household will buy of": category_needed,
}


def ndcg(seen: Seen, older: list[Seen], known: Callable[[Seen], Floats]) -> Floats:
    """Returns NDCG@10 on all products for each household, of a model fitted to older windows that knows `known`."""
    names = (*OF_OWNED, "known")
    learned = fit_regression(
        names, np.concatenate([_with(some, known) for some in older]), np.concatenate([some.bought for some in older])
    )
    lists, _ = top_candidates(seen.pairs, learned.log_odds(_with(seen, known)), seen.truth.n_users, SHOWN)
    return list_metrics(lists, seen.truth).ndcg


def _with(seen: Seen, known: Callable[[Seen], Floats]) -> Floats:
    return np.column_stack([seen.features, known(seen)])


def main() -> None:
    parser = argparse.ArgumentParser(prog="python -m bench.order_limits", description=__doc__)
    parser.add_argument("--instants", nargs="+", default=INSTANTS, metavar="DATE", help="(default: %(default)s)")
    arguments = parser.parse_args()
    log = read_log()
    found: dict[str, dict[str, object]] = {}
    window = functools.cache(functools.partial(seen_at, log))
    for date in arguments.instants:
        instant = np.datetime64(date)
        seen, *older = (window(instant - n * WINDOW_DAYS * A_DAY) for n in range(WINDOWS + 1))
        figures = {name: ndcg(seen, older, known) for name, known in KNOWN.items()}
        base = figures.pop(NOTHING)
        print(f"from {date}: {base.mean():.4f} as it is", flush=True)
        found[date] = {"as it is": float(base.mean())}
        for name, values in figures.items():
            gained = means({"ndcg": values - base}, RESAMPLES, SEED)
            low, high = np.array(gained["ndcg interval"])
            print(f"  had it known {name}: {gained['ndcg']:+.4f} [{low:+.4f}, {high:+.4f}]", flush=True)
            found[date][name] = gained
    print(json.dumps({"bench": "order_limits", "unit": "NDCG@10, all products", "windows": found}))


if __name__ == "__main__":
    main()
