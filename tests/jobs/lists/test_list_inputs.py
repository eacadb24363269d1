"""What lists are made with beside the tables, as the catalogue and the settings say it."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
import pytest
from pyspark.sql import SparkSession
from repository import ROOT
from test_precompute import settings_in

from larder.jobs import ingest_images
from larder.jobs.lists.catalogue import CatalogueError
from larder.jobs.lists.list_inputs import ProductAttributes, has_repeats, product_attributes, ranker_of, rules_of
from larder.models.encoding.category_paths import category_levels
from larder.models.interactions.item_statistics import ItemStatistics
from larder.models.interactions.repeat_purchases import RepeatPurchases
from larder.models.ranking.rankers import ALWAYS, NEVER, BlendRanker, LearnedRanker, PopularityRanker, Ranker
from larder.settings import ListsSettings, Settings, SettingsError, load_settings
from larder.storage.manifests import plan_run

pytestmark = pytest.mark.end_to_end

DEMO = ROOT / "demo"


def test_ids_of_a_catalogue_may_be_numbers_and_stand_there_twice(spark: SparkSession, tmp_path: Path) -> None:
    rows = [(1, "Food", 1), (2, "Food", 0), (3, "Fuel", 1), (3, None, 0), (None, "Food", 0)]
    ids, paths, stock = zip(*rows, strict=True)
    table = pa.table({"product_id": pa.array(ids, pa.int64()), "category": paths, "in_stock": stock})
    pq.write_table(table, tmp_path / "catalogue.parquet")
    found = product_attributes(spark, settings_in(tmp_path), ["1", "2", "3", "4"])
    assert found.allowed.tolist() == [True, False, True, True]
    assert found.categories.whole.tolist() == [0, 0, 1, -1]


@pytest.mark.parametrize(
    ("data", "told"),
    [
        (None, r"no file in .*\(storage.catalogue\)"),
        (b"", "is no whole Parquet file"),
        (b"product_id,title\n1,Milk\n", "is no whole Parquet file"),
        (
            b"PAR1" + b"\xff" * 20 + b"\x14\0\0\0PAR1",
            r"catalogue.parquet \(.*no whole Parquet file",
        ),
        (pa.table({"sku": ["1"], "title": ["Milk"]}), "has no column product_id; there are sku, title"),
    ],
)
def test_a_catalogue_that_can_not_be_read_is_named(
    spark: SparkSession, tmp_path: Path, data: bytes | pa.Table | None, told: str
) -> None:
    place = tmp_path / "catalogue.parquet"
    if data is None:
        place.mkdir()
    elif isinstance(data, bytes):
        place.write_bytes(data)
    else:
        pq.write_table(data, place)
    with pytest.raises(CatalogueError, match=told):
        product_attributes(spark, settings_in(tmp_path), ["1"])


def test_a_catalogue_is_needed_for_pictures(spark: SparkSession, tmp_path: Path) -> None:
    with pytest.raises(CatalogueError, match=r"no catalogue at .*catalogue\.parquet \(storage\.catalogue\)"):
        ingest_images.read_catalogue(spark, settings_in(tmp_path))


def test_diversity_is_by_the_levels_that_the_settings_name() -> None:
    """Also where lists have none, and an evaluation tries some."""
    settings, paths = (
        Settings(lists=ListsSettings(category_levels=1)),
        category_levels(["Food/Milk", "Food/Tea", "Fuel"]),
    )
    assert rules_of(settings, paths).categories is None
    tried = rules_of(settings, paths, diversity=0.5)
    assert tried.penalty == 0.5
    assert tried.categories is not None
    assert tried.categories.tolist() == [0, 0, 1]


def demo_ranker(settings: Settings, **als: Any) -> Ranker:
    """As if the demo's jobs had run with `settings`, and its training with these parameters."""
    nothing, one = np.zeros(1, np.float32), np.ones(1, bool)
    figures, attributes = (
        ItemStatistics(nothing, nothing, nothing, nothing),
        ProductAttributes(one, ~one, category_levels([None])),
    )
    half_life = settings.roll_up.interactions_half_life_days * 24
    interactions = plan_run("interactions", "as_of=2017-12-04T00", {}, {"half_life": half_life})
    factors = plan_run("item_factors", "as_of=2017-12-04T00", {}, {**settings.als.model_dump(), **als})
    return ranker_of(settings, figures, attributes, interactions, factors)


def test_the_demos_weights_fit_its_settings() -> None:
    settings = load_settings(DEMO / "larder.toml")
    assert isinstance(demo_ranker(settings, blocks=3, seed=1), LearnedRanker)


@pytest.mark.parametrize(
    ("section", "name", "value", "said"),
    [
        (
            "roll_up",
            "interactions_half_life_days",
            30.0,
            r"half_life = 1440.0, and for as_of=2017-12-04T00 it is 720.0",
        ),
        ("lists", "candidates", 50, "candidates = 100, .* it is 50"),
        ("als", "rank", 64, r"factors = .*'rank': 128.* it is .*'rank': 64.*"),
    ],
)
def test_weights_are_refused_where_they_do_not_hold(section: str, name: str, value: float, said: str) -> None:
    settings = load_settings(DEMO / "larder.toml")
    changed = getattr(settings, section).model_copy(update={name: value})
    settings = settings.model_copy(update={section: changed})
    with pytest.raises(SettingsError, match=f"weights.json was tuned with {said}; run `larder tune-lists` again"):
        demo_ranker(settings)


def test_weights_that_do_not_say_all_are_taken(tmp_path: Path) -> None:
    """As those before conditions were written."""
    settings = load_settings(DEMO / "larder.toml")
    weights = json.loads((DEMO / "weights.json").read_text())
    for condition in ("candidates", "factors"):
        del weights[condition]
    (tmp_path / "weights.json").write_text(json.dumps(weights))
    lists = settings.lists.model_copy(update={"weights": str(tmp_path / "weights.json"), "candidates": 50})
    assert isinstance(demo_ranker(settings.model_copy(update={"lists": lists})), LearnedRanker)


def with_order(folder: Path, order: str, **changes: Any) -> Settings:
    """The demo's settings with a file of weights that chose an order, and nothing else."""
    (folder / "weights.json").write_text(json.dumps({"order": order, "half_life": 1.0}))
    settings = load_settings(DEMO / "larder.toml")
    lists = settings.lists.model_copy(update={"weights": str(folder / "weights.json"), **changes})
    return settings.model_copy(update={"lists": lists})


@pytest.mark.parametrize(
    ("order", "kind"),
    [
        ("popularity and own purchases", PopularityRanker),
        ("popularity of 28 days and own purchases", PopularityRanker),
        ("ALS and own purchases", BlendRanker),
    ],
)
def test_a_simple_order_that_was_chosen_needs_no_weights_and_no_conditions(
    tmp_path: Path, order: str, kind: type
) -> None:
    ranker = demo_ranker(with_order(tmp_path, order, rebuy_weight=0.4))
    assert isinstance(ranker, kind)
    assert ranker.weight == 0.4  # type: ignore[attr-defined]


def test_an_order_that_is_not_known_is_named(tmp_path: Path) -> None:
    said = "names the order 'best'; there are: popularity and own purchases; .*; learned$"
    with pytest.raises(SettingsError, match=said):
        demo_ranker(with_order(tmp_path, "best"))


@pytest.mark.parametrize(
    ("setting", "found", "masked"),
    [
        ("auto", RepeatPurchases(1000, 50), NEVER),
        ("auto", RepeatPurchases(1000, 49), ALWAYS),
        ("auto", RepeatPurchases(999, 0), NEVER),  # too few to tell
        ("yes", RepeatPurchases(1000, 0), NEVER),
        ("no", RepeatPurchases(1000, 1000), ALWAYS),
    ],
)
def test_a_shop_without_repeats_masks_what_was_bought(setting: str, found: RepeatPurchases, masked: float) -> None:
    settings = Settings(lists=ListsSettings.model_validate({"repeats": setting}))
    repeats = has_repeats(settings, lambda: found)
    assert rules_of(settings, category_levels([None]), repeats).masked_days == masked
