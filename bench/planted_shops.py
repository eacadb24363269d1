"""Generates shops whose structure is known, lets `tune-lists` choose the order of lists, and measures it afterwards.

Each shop has what one order is made for: products that are popular for ever, products that are popular for some weeks,
users with tastes, users with habits, users of places. The order is chosen on two windows of four weeks and measured on
the next one, beside the best of the simple orders there: all but the learned one. No Spark: data as jobs read it.
"""

from __future__ import annotations

import argparse
from collections import Counter
from collections.abc import Callable
from dataclasses import dataclass

import numpy as np
import numpy.typing as npt
from threadpoolctl import threadpool_limits

from bench.outcome import outcome
from larder.jobs.evaluation.evaluation_data import EvaluationData
from larder.jobs.evaluation.evaluation_methods import ALL, NEW
from larder.jobs.evaluation.measured_orders import chosen_order, fitted_models, measured_window, measured_windows
from larder.jobs.lists.list_inputs import BLEND, LEARNED, POPULAR, RECENTLY_POPULAR, ProductAttributes
from larder.models.als.als_kernels import solve_users
from larder.models.encoding.category_paths import category_levels
from larder.models.evaluation.ranking_metrics import GroundTruth
from larder.models.interactions.item_statistics import MONTH_DAYS, WEEK_DAYS, ItemStatistics
from larder.models.interactions.purchase_history import PurchaseHistory, UserItems
from larder.settings import EvaluationSettings, ListsSettings, Settings

USERS, ITEMS, KINDS = 1000, 200, 10
DAYS, WINDOWS, BEFORE = 28, 4, 3  # of a window; windows, the last to measure the choice on; windows of history before
A_WINDOW = 5.0  # purchases of a user in a window, on average
RANK, ITERATIONS, REGULARISATION, HALF_LIFE = 16, 8, 5.0, 60.0
SETTINGS = Settings(lists=ListsSettings(candidates=60), evaluation=EvaluationSettings(bootstrap=0))
Floats = npt.NDArray[np.float64]
# By window: how likely each user is to buy each product next, up to a factor of the user, shape (USERS, ITEMS).
Chances = Callable[[int], Floats]


@dataclass(frozen=True)
class Purchases:
    """Purchases of a shop, by day: users (k,), items (k,) and days (k,)."""

    users: npt.NDArray[np.int64]
    items: npt.NDArray[np.int64]
    days: npt.NDArray[np.int64]


def popular(draw: np.random.Generator) -> Chances:
    """Returns chances that are the same for all users and windows."""
    chances = np.tile(_skewed(draw), (USERS, 1))
    return lambda window: chances


def seasonal(draw: np.random.Generator) -> Chances:
    """Returns chances that are the same for all users, and of which half is new in each window and lasts for two."""
    seasons = [_skewed(draw) for _ in range(1 + BEFORE + WINDOWS)]
    return lambda window: np.tile(seasons[window] + seasons[window + 1], (USERS, 1))


def tasteful(draw: np.random.Generator) -> Chances:
    """Returns chances with which nine of ten purchases of a user are of one of ten kinds of products."""
    tastes = draw.integers(0, KINDS, USERS)
    chances = np.where(tastes[:, None] == np.arange(ITEMS) % KINDS, 0.9 * KINDS, 0.1) * _skewed(draw) ** 0.5
    return lambda window: chances


def habitual(draw: np.random.Generator) -> Chances:
    """Returns chances with which seven of ten purchases of a user are of eight products of its own."""
    own = np.stack([draw.permutation(ITEMS) < 8 for _ in range(USERS)])
    chances = 0.7 * own / 8 + 0.3 * _skewed(draw)
    return lambda window: chances


def local(draw: np.random.Generator) -> Chances:
    """Returns chances that are the same for all users of one of five places."""
    places = np.stack([_skewed(draw) for _ in range(5)])
    chances = places[draw.integers(0, 5, USERS)]
    return lambda window: chances


def _skewed(draw: np.random.Generator) -> Floats:
    chances = 1 / (1 + draw.permutation(ITEMS)) ** 0.9
    return chances / chances.sum()


# Each shop, the orders that are made for it, and whether products are bought again. The learned order knows what each
# of the others knows.
SHOPS: dict[str, tuple[Callable[[np.random.Generator], Chances], set[str], bool]] = {
    "popular": (popular, {POPULAR}, False),
    "seasonal": (seasonal, {RECENTLY_POPULAR, LEARNED}, False),
    "tastes": (tasteful, {BLEND, LEARNED}, False),
    "habits": (habitual, {BLEND, LEARNED}, True),
    "places": (local, {BLEND, LEARNED}, False),
}


def purchases_of(chances: Chances, again: bool, draw: np.random.Generator) -> Purchases:
    """Returns the purchases of all windows; unless `again`, no user buys a product twice."""
    bought = np.zeros((USERS, ITEMS), bool)
    rows = []
    for window in range(BEFORE + WINDOWS):
        weights = chances(window)
        for user, count in enumerate(draw.poisson(A_WINDOW * draw.gamma(2, 0.5, USERS))):
            chance = np.where(bought[user] & (not again), 0, weights[user])
            count = min(count, np.count_nonzero(chance))
            items = draw.choice(ITEMS, count, again, chance / chance.sum()) if count else np.zeros(0, np.int64)
            bought[user, items] = True
            days = window * DAYS + draw.integers(0, DAYS, count)
            rows += [(user, item, day) for item, day in zip(items.tolist(), days.tolist(), strict=True)]
    return Purchases(*np.array(rows, np.int64).T)


def data_as_of(shop: Purchases, day: int) -> EvaluationData:
    """Returns what jobs read: the purchases before a day as histories, statistics and factors, and those after it."""
    before, after = shop.days < day, (shop.days >= day) & (shop.days < day + DAYS)
    shape = (USERS, ITEMS)
    counts, strengths, last = np.zeros(shape), np.zeros(shape), np.full(shape, -np.inf)
    pairs = shop.users[before], shop.items[before]
    np.add.at(counts, pairs, 1)
    np.add.at(strengths, pairs, 2.0 ** ((shop.days[before] - day) / HALF_LIFE))
    np.maximum.at(last, pairs, shop.days[before])
    some = counts.any(axis=1)  # as in a shop, only users who bought before are measured
    counts, strengths, last = counts[some], strengths[some], last[some]
    users, items = np.nonzero(counts)
    owned = UserItems(
        np.searchsorted(users, np.arange(len(counts) + 1)),
        items.astype(np.int32),
        strengths[users, items].astype(np.float32),
    )
    ago = (day - last[users, items]).astype(np.float32)
    factors, item_factors = _trained(owned)
    row_of = np.cumsum(some) - 1
    bought = np.unique(np.stack([row_of[shop.users], shop.items])[:, after & some[shop.users]], axis=1)
    return EvaluationData(
        factors=factors,
        history=PurchaseHistory(owned, counts[users, items].astype(np.float32), ago),
        item_factors=item_factors,
        attributes=ProductAttributes(np.ones(ITEMS, bool), np.zeros(ITEMS, bool), category_levels([None] * ITEMS)),
        statistics=ItemStatistics(
            *(
                which.sum(axis=0).astype(np.float32)
                for which in (counts > 0, counts > 1, day - last <= MONTH_DAYS, day - last <= WEEK_DAYS)
            )
        ),
        truth=GroundTruth(bought[0], bought[1], len(counts), ITEMS),
        truth_counts=np.ones(bought.shape[1], np.float32),
        cookies=len(counts),
    )


def _trained(owned: UserItems) -> tuple[npt.NDArray[np.float32], npt.NDArray[np.float32]]:
    """Returns ALS factors of users and items, both sides solved by the kernel that solves users."""
    by_item = np.argsort(owned.items, kind="stable")
    item_offsets = np.searchsorted(owned.items[by_item], np.arange(ITEMS + 1))
    of_users = owned.offsets.astype(np.int64), owned.items, owned.strengths
    of_items = item_offsets.astype(np.int64), owned.users[by_item].astype(np.int32), owned.strengths[by_item]
    users = np.zeros((len(owned.offsets) - 1, RANK), np.float32)
    items = np.random.default_rng(1).normal(0, 0.1, (ITEMS, RANK)).astype(np.float32)
    for _ in range(ITERATIONS):
        solve_users(*of_users, items.T @ items, items, users, REGULARISATION, 0.0, 5)
        solve_users(*of_items, users.T @ users, users, items, REGULARISATION, 0.0, 5)
    return users, items


@dataclass(frozen=True)
class Outcome:
    """The order that was chosen, and its NDCG@10 in the window after, divided by that of the best simple order."""

    chosen: str
    to_best_simple: float


def tried(name: str, seed: int) -> Outcome:
    """Generates one of the SHOPS, chooses an order on all windows but the last, and returns its outcome on that one."""
    chances, _, again = SHOPS[name]
    draw = np.random.default_rng(seed)
    shop = purchases_of(chances(draw), again, draw)
    *tuned, last = [data_as_of(shop, (BEFORE + number) * DAYS) for number in range(WINDOWS)]
    newest_first = tuned[::-1]
    models = fitted_models(newest_first, SETTINGS.lists.candidates)
    chosen = chosen_order(measured_windows(newest_first, models, SETTINGS), SETTINGS)[0].chosen
    afterwards = measured_window(last, models[0], SETTINGS)
    ndcg = {order: by[ALL if afterwards.repeats else NEW].mean() for order, by in afterwards.figures.items()}
    return Outcome(chosen, ndcg[chosen] / max(value for order, value in ndcg.items() if order != LEARNED))


def main() -> None:
    parser = argparse.ArgumentParser(prog="python -m bench.planted_shops", description=__doc__)
    parser.add_argument("shops", nargs="*", metavar="SHOP", help=f"of {', '.join(SHOPS)} (default: all)")
    parser.add_argument("--seeds", type=int, default=50)
    arguments = parser.parse_args()
    right, least = 0, []
    threadpool_limits(1, "blas")
    for name in arguments.shops or SHOPS:
        found = [tried(name, seed) for seed in range(arguments.seeds)]
        orders = Counter(each.chosen for each in found)
        ratios = [each.to_best_simple for each in found]
        right += sum(orders[order] for order in SHOPS[name][1])
        least.append(min(ratios))
        told = ", ".join(f"{order} {count}" for order, count in orders.most_common())
        print(
            f"{name:<10} {np.mean(ratios):.3f} of the best simple order ({min(ratios):.3f} at least): {told}",
            flush=True,
        )
    shops = len(arguments.shops or SHOPS) * arguments.seeds
    print(outcome("planted_shops", "shops", right, {"all": shops}, least=round(min(least), 3)))


if __name__ == "__main__":
    main()
