"""The inputs of lists besides the tables: catalogue attributes, excluded products, weights, list rules."""

from __future__ import annotations

import json
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

import numpy as np
import numpy.typing as npt
from pyspark.sql import DataFrame, SparkSession

from larder.jobs.lists.catalogue import catalogue_of, column_of, one_row_a_product
from larder.models import columns as C
from larder.models.encoding.category_paths import LEVELS, CategoryLevels, category_levels
from larder.models.interactions.item_statistics import ItemStatistics, item_statistics
from larder.models.interactions.repeat_purchases import RepeatPurchases
from larder.models.lists.context_popularity import CategoryCap
from larder.models.ranking.purchase_model import PurchaseModel, WeightsError
from larder.models.ranking.rankers import ALWAYS, BlendRanker, LearnedRanker, ListRules, PopularityRanker, Ranker
from larder.settings import Settings, SettingsError
from larder.storage import Manifest, StoragePath

COLUMNS = {C.CATEGORY: "string", C.IN_STOCK: "boolean"}
HALF_LIFE = "half_life"  # a parameter in the manifest of interactions, in hours
ORDER = (
    "order"  # in a file of weights: which of the orders of personal lists was chosen; the learned one if it is not said
)
TUNED = "tuned"  # in a file of weights: the windows of the fit, and the figures measured then
# The orders of personal lists, from simple to rich.
POPULAR, RECENTLY_POPULAR = "popularity and own purchases", "popularity of 28 days and own purchases"
BLEND, LEARNED = "ALS and own purchases", "learned"
ORDERS = (POPULAR, RECENTLY_POPULAR, BLEND, LEARNED)
# The parameters of a training that affinities depend on. Those that cut it into tasks and steps are left out.
FACTOR_PARAMETERS = ("rank", "iterations", "regularisation", "scaling", "alpha")


@dataclass(frozen=True)
class ProductAttributes:
    """The attributes of each product, by product number.

    in_stock, shape (products,): false only if the catalogue says so. excluded, shape (products,): in no list, whatever
    the stock. categories: the levels of the category path.
    """

    in_stock: npt.NDArray[np.bool_]
    excluded: npt.NDArray[np.bool_]
    categories: CategoryLevels

    @property
    def allowed(self) -> npt.NDArray[np.bool_]:
        """Which products may be listed, shape (products,)."""
        return self.in_stock & ~self.excluded


def product_attributes(spark: SparkSession, settings: Settings, ids: list[str]) -> ProductAttributes:
    """Returns the attributes of the products with these ids. Raises SettingsError and CatalogueError."""
    catalogue, rows = catalogue_of(spark, settings), dict[str, tuple[str | None, bool | None]]()
    if catalogue is not None:
        columns = {name: column_of(catalogue, name, kind) for name, kind in COLUMNS.items()}
        rows = {id_: (path, here) for id_, path, here in one_row_a_product(catalogue, columns).collect()}
    known = [rows.get(id_, (None, None)) for id_ in ids]
    excluded = excluded_ids(settings)
    return ProductAttributes(
        in_stock=np.array([here is not False for _, here in known], bool),
        excluded=np.array([id_ in excluded for id_ in ids], bool),
        categories=category_levels([path for path, _ in known]),
    )


def excluded_ids(settings: Settings) -> set[str]:
    """Returns `lists.exclude` and the lines of `lists.exclude_file`. Raises SettingsError if there is no such file."""
    lines = _text(settings.lists.exclude_file, "lists.exclude_file").splitlines()
    return {*settings.lists.exclude, *(line.strip() for line in lines)} - {""}


def state_of(settings: Settings) -> dict[str, Any]:
    """Returns what a release depends on besides tables and settings: catalogue files, excluded products, weights."""
    files = StoragePath(settings.storage.catalogue).files()
    return {
        "catalogue": [f"{info.base_name}:{info.size}:{info.mtime_ns}" for info in files],
        "excluded": sorted(excluded_ids(settings)),
        "weights": read_weights(settings),
    }


def read_weights(settings: Settings) -> dict[str, Any]:
    """Returns the content of the file `lists.weights`, empty if the setting is. Raises SettingsError."""
    if not settings.lists.weights:
        return {}
    where, made_by = f"lists.weights: {settings.lists.weights}", "make it with `larder tune-lists`"
    text = _text(settings.lists.weights, "lists.weights")
    try:
        weights = json.loads(text)
    except ValueError as error:
        raise SettingsError(f"{where} is not JSON: {error}; {made_by}") from None
    if not weights or not isinstance(weights, dict):
        raise SettingsError(f"{where} holds no weights; {made_by}")
    return weights


def conditions_of(settings: Settings, interactions: Manifest, factors: Manifest) -> dict[str, Any]:
    """Returns the parameters that weights were fitted under. With any other they must be fitted anew."""
    return {
        HALF_LIFE: interactions.parameters.get(HALF_LIFE),
        "candidates": settings.lists.candidates,
        "factors": {name: value for name, value in factors.parameters.items() if name in FACTOR_PARAMETERS},
    }


def ranker_of(
    settings: Settings,
    statistics: ItemStatistics | None,
    attributes: ProductAttributes,
    interactions: Manifest,
    factors: Manifest,
) -> Ranker:
    """Returns the ranker of personal lists: of the order in the file `lists.weights` if that is set, else a blend.

    Args: `statistics` are needed only if `lists.weights` is set; `interactions` and `factors` are the manifests of
    interactions and item factors. Raises SettingsError if the weights were fitted under other parameters.
    """
    lists, weights = settings.lists, read_weights(settings)
    if not weights or statistics is None:
        return BlendRanker(lists.rebuy_weight)
    order = weights.get(ORDER, LEARNED)
    if order not in ORDERS:
        raise SettingsError(f"lists.weights: {lists.weights} names the order {order!r}; there are: {'; '.join(ORDERS)}")
    model = _purchase_model(settings, weights, interactions, factors) if order == LEARNED else None
    return rankers(settings, statistics, attributes.categories, model)[order]


def _purchase_model(
    settings: Settings, weights: dict[str, Any], interactions: Manifest, factors: Manifest
) -> PurchaseModel:
    where = f"lists.weights: {settings.lists.weights}"
    try:
        model = PurchaseModel.from_json(weights)
    except WeightsError as error:
        raise SettingsError(f"{where}: {error}; make it with `larder tune-lists`") from None
    for name, here in conditions_of(settings, interactions, factors).items():
        if name in weights and weights[name] != here:  # older files do not say all
            raise SettingsError(
                f"{where} was tuned with {name} = {weights[name]}, and for {interactions.partition} it is {here}; "
                f"run `larder tune-lists` again"
            )
    return model


def rankers(
    settings: Settings, statistics: ItemStatistics, categories: CategoryLevels, model: PurchaseModel | None
) -> dict[str, Ranker]:
    """Returns the rankers by order, from simple to rich; without a purchase model there is no learned order."""
    lists = settings.lists
    found: dict[str, Ranker] = {
        POPULAR: PopularityRanker(statistics.buyers, lists.rebuy_weight),
        RECENTLY_POPULAR: PopularityRanker(statistics.month, lists.rebuy_weight),
        BLEND: BlendRanker(lists.rebuy_weight),
    }
    return (
        found if model is None else {**found, LEARNED: LearnedRanker(model, statistics, categories, lists.candidates)}
    )


def statistics_for_ranker(
    settings: Settings, interactions: DataFrame, numbers: DataFrame, products: int, as_of: int
) -> ItemStatistics | None:
    """Returns the item statistics that ranker_of needs, or None, without a pass over INTERACTIONS, if it needs none."""
    return item_statistics(interactions, numbers, products, as_of) if settings.lists.weights else None


def has_repeats(settings: Settings, found: Callable[[], RepeatPurchases]) -> bool:
    """Returns whether lists may hold what was bought: by the settings, or by `found` if `lists.repeats` is auto."""
    if settings.lists.rebuy == "mask":
        return False
    return found().are_usual if settings.lists.repeats == "auto" else settings.lists.repeats == "yes"


def rules_of(
    settings: Settings, categories: CategoryLevels, repeats: bool = True, diversity: float | None = None
) -> ListRules:
    """Returns the rules of personal lists. In a shop without `repeats` what a cookie has bought is masked.

    `diversity`, if given, replaces `lists.diversity`.
    """
    lists = settings.lists
    masked = ALWAYS if lists.rebuy == "mask" or not repeats else lists.rebuy_after_days
    penalty = lists.diversity if diversity is None else diversity
    varied = lists.most_of_category > 0 or penalty > 0
    return ListRules(
        n=lists.personal + lists.over_fetch,
        masked_days=masked,
        categories=_categories(settings, categories) if varied else None,
        most=lists.most_of_category,
        penalty=penalty,
    )


def category_cap(settings: Settings, categories: CategoryLevels) -> CategoryCap | None:
    """Returns the cap on categories in generic lists, or None if `lists.most_of_category` is 0."""
    most = settings.lists.most_of_category
    return CategoryCap(_categories(settings, categories), most) if most else None


def _categories(settings: Settings, categories: CategoryLevels) -> npt.NDArray[np.int32]:
    return categories.levels[:, (settings.lists.category_levels or LEVELS) - 1]


def _text(path: str, setting: str) -> str:
    """Returns the text of a file, or "" if the setting is empty."""
    if not path:
        return ""
    try:
        return StoragePath(path).read().decode()
    except FileNotFoundError:
        raise SettingsError(f"{setting}: there is no file {path}") from None
    except UnicodeDecodeError as error:
        raise SettingsError(f"{setting}: {path} is not UTF-8: {error}") from None
