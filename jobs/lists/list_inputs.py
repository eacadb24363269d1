"""What lists are made with beside the tables: catalogue, excluded products, weights of the ranking, rules."""

from __future__ import annotations

import json
from dataclasses import dataclass
from typing import Any

import numpy as np
import numpy.typing as npt
from pyspark.sql import DataFrame, SparkSession

from larder.jobs.lists.catalogue import catalogue_of, column_of, one_row_a_product
from larder.models import columns as C
from larder.models.encoding.category_paths import LEVELS, CategoryLevels, category_levels
from larder.models.interactions.item_statistics import ItemStatistics, item_statistics
from larder.models.lists.popularity import CategoryCap
from larder.models.ranking.purchase_model import PurchaseModel, WeightsError
from larder.models.ranking.rankers import ALWAYS, BlendRanker, LearnedRanker, ListRules, Ranker
from larder.settings import Settings, SettingsError
from larder.storage import Manifest, StoragePath

COLUMNS = {C.CATEGORY: "string", C.IN_STOCK: "boolean"}
HALF_LIFE = "half_life"  # of interactions, in hours, as their manifest has it
TUNED = "tuned"  # of weights: when, and how good they were
# What affinities depend on; how a training is cut into tasks and steps moves them little.
OF_FACTORS = ("rank", "iterations", "regularisation", "scaling", "alpha")


@dataclass(frozen=True)
class ProductAttributes:
    """By product number: `in_stock` (products,), all that the catalogue does not say are out of stock; `excluded`
    (products,), which stand in no list whatever the stock; and `categories`."""

    in_stock: npt.NDArray[np.bool_]
    excluded: npt.NDArray[np.bool_]
    categories: CategoryLevels

    @property
    def allowed(self) -> npt.NDArray[np.bool_]:
        """What may be listed, shape (products,)."""
        return self.in_stock & ~self.excluded


def product_attributes(spark: SparkSession, settings: Settings, ids: list[str]) -> ProductAttributes:
    """Of products with these ids, by number. Raises SettingsError."""
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
    """`lists.exclude` and the lines of `lists.exclude_file`. Raises SettingsError where that is not there."""
    lines = _text(settings.lists.exclude_file, "lists.exclude_file").splitlines()
    return {*settings.lists.exclude, *(line.strip() for line in lines)} - {""}


def state_of(settings: Settings) -> dict[str, Any]:
    """What a release depends on beside its tables and [lists]: the catalogue's files, what is excluded, the weights."""
    files = StoragePath(settings.storage.catalogue).files()
    return {
        "catalogue": [f"{info.base_name}:{info.size}:{info.mtime_ns}" for info in files],
        "excluded": sorted(excluded_ids(settings)),
        "weights": read_weights(settings),
    }


def read_weights(settings: Settings) -> dict[str, Any]:
    """The file of `lists.weights`, as `larder tune-lists` wrote it; empty where none is set. Raises SettingsError."""
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
    """What weights hold for: they are written with it, and are no good with anything else."""
    return {
        HALF_LIFE: interactions.parameters.get(HALF_LIFE),
        "candidates": settings.lists.candidates,
        "factors": {name: value for name, value in factors.parameters.items() if name in OF_FACTORS},
    }


def ranker_of(
    settings: Settings,
    figures: ItemStatistics | None,
    attributes: ProductAttributes,
    interactions: Manifest,
    factors: Manifest,
) -> Ranker:
    """How personal lists are ordered. Raises SettingsError for weights that do not fit.

    `interactions`: their `figures` are needed where `lists.weights` are set; `factors`: of items.
    """
    lists, weights = settings.lists, read_weights(settings)
    if not weights or figures is None:
        return BlendRanker(lists.rebuy_weight)
    where = f"lists.weights: {settings.lists.weights}"
    try:
        ranking = PurchaseModel.from_json(weights)
    except WeightsError as error:
        raise SettingsError(f"{where}: {error}; make it with `larder tune-lists`") from None
    for name, here in conditions_of(settings, interactions, factors).items():
        if name in weights and weights[name] != here:  # older files do not say all
            raise SettingsError(
                f"{where} was tuned with {name} = {weights[name]}, and for {interactions.partition} it is {here}; "
                f"run `larder tune-lists` again"
            )
    return LearnedRanker(ranking, figures, attributes.categories.whole, lists.candidates)


def statistics_for_ranker(
    settings: Settings, interactions: DataFrame, numbers: DataFrame, products: int, as_of: int
) -> ItemStatistics | None:
    """What ranker_of needs: nothing, and no pass over INTERACTIONS, where no weights are set."""
    return item_statistics(interactions, numbers, products, as_of) if settings.lists.weights else None


def rules_of(settings: Settings, categories: CategoryLevels, diversity: float | None = None) -> ListRules:
    """How long personal lists are, and what they may hold; with this diversity in place of lists.diversity."""
    lists = settings.lists
    masked = ALWAYS if lists.rebuy == "mask" else lists.rebuy_after_days
    penalty = lists.diversity if diversity is None else diversity
    varied = lists.most_of_category > 0 or penalty > 0
    return ListRules(
        n=lists.personal + lists.over_fetch,
        masked_days=masked,
        categories=_kinds(settings, categories) if varied else None,
        most=lists.most_of_category,
        penalty=penalty,
    )


def category_cap(settings: Settings, categories: CategoryLevels) -> CategoryCap | None:
    """What generic lists may hold."""
    most = settings.lists.most_of_category
    return CategoryCap(_kinds(settings, categories), most) if most else None


def _kinds(settings: Settings, categories: CategoryLevels) -> npt.NDArray[np.int32]:
    return categories.levels[:, (settings.lists.category_levels or LEVELS) - 1]


def _text(path: str, setting: str) -> str:
    """What a file holds; nothing where no path is set."""
    if not path:
        return ""
    try:
        return StoragePath(path).read().decode()
    except FileNotFoundError:
        raise SettingsError(f"{setting}: there is no file {path}") from None
    except UnicodeDecodeError as error:
        raise SettingsError(f"{setting}: {path} is not UTF-8: {error}") from None
