"""Factors, embeddings and contexts to the lists of a release."""

from __future__ import annotations

import argparse
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
import pytest
from event_folders import visible
from pyspark.sql import SparkSession
from written_tables import read_table, write_table

from larder.jobs import precompute
from larder.jobs.lists.list_inputs import product_attributes
from larder.jobs.lists.product_lists import lists_by_category
from larder.jobs.runtime.stage_report import StageReport
from larder.models import columns as C
from larder.models.hours import as_of_partition
from larder.models.interactions.decay import UNIT, Decay
from larder.models.tables import (
    CATALOGUE,
    CONTEXTS,
    EMBEDDINGS,
    INTERACTIONS,
    ITEM_FACTORS,
    PRODUCT_NUMBERS,
    USER_FACTORS,
)
from larder.models.vision.embeddings import packed
from larder.settings import ListsSettings, Settings, SettingsError, SimilarSettings, SparkSettings, StorageSettings
from larder.storage import MissingPartitionError, Tables
from larder.storage.manifests import plan_run

pytestmark = pytest.mark.end_to_end

AS_OF = 420_096
PARTITION = as_of_partition(AS_OF)
# A landmark at the instant itself: a strength is a count.
DECAY = {"half_life": 240.0, "landmark": float(AS_OF)}
REBUY = 0.7
AFFINITIES = {"p0": 5.0, "p1": 4.0, "p2": 3.0, "p3": 2.0, "gone": 9.0}
LISTS = ListsSettings(personal=3, similar=3, generic=3, min_support=5.0, min_products=2, rebuy_weight=REBUY)


def write_sources(tables: Tables, embeddings: bool = True) -> None:
    def write(table: str, schema: Any, rows: list[Any], parameters: dict[str, Any], partition: str = PARTITION) -> None:
        write_table(tables, plan_run(table, partition, {}, parameters), schema, rows)

    interactions = [(1, "p3", 2 * UNIT, 2, AS_OF, AS_OF), (1, "p0", UNIT, 0, AS_OF, None)]
    write("interactions", INTERACTIONS.schema, interactions, DECAY)
    contexts = [
        ("north", "phone", "p1", 9 * UNIT),
        ("north", "phone", "p5", 8 * UNIT),
        ("north", "phone", "gone", 99 * UNIT),
        ("north", "till", "p1", 6 * UNIT),
        ("south", "till", "p2", 7 * UNIT),
        ("south", "till", "p3", 4 * UNIT),
    ]
    write("contexts", CONTEXTS.schema, contexts, DECAY)
    write("user_factors", USER_FACTORS.schema, [(1, [1.0]), (2, [1.0])], {"rank": 1})
    write("item_factors", ITEM_FACTORS.schema, [(id_, [value]) for id_, value in AFFINITIES.items()], {"rank": 1})
    if embeddings:
        vectors = {"p0": [1.0, 0.0], "p1": [0.8, 0.6], "p2": [0.0, 1.0], "gone": [1.0, 0.0]}
        stored = packed(np.array(list(vectors.values()))).to_pylist()
        write(EMBEDDINGS, EMBEDDINGS.schema, list(zip(vectors, stored, strict=True)), {}, CATALOGUE)


def settings_in(folder: Path, **lists: Any) -> Settings:
    storage = StorageSettings(tables=str(folder / "tables"), catalogue=str(folder / "catalogue.parquet"))
    return Settings(storage=storage, lists=LISTS.model_copy(update=lists), spark=SparkSettings(shuffle_partitions=2))


def write_catalogue(folder: Path) -> None:
    stock = {"p0": True, "p1": True, "p2": None, "gone": False, "p5": True, "new": True, "odd": True}
    category = ["A/B", "A/B", "A/C", "A/B", "A/C", "A/B/D", "Z"]  # of the last two nothing is known but this
    table = pa.table(
        {"product_id": list(stock), "in_stock": pa.array(stock.values(), pa.bool_()), "category": category}
    )
    pq.write_table(table, folder / "catalogue.parquet")


def run(spark: SparkSession, settings: Settings) -> StageReport:
    return precompute.run(spark, argparse.Namespace(settings=settings, as_of=AS_OF))


def lists_of(settings: Settings, table: str) -> dict[Any, tuple[list[str], list[float]]]:
    """Items as ids, and scores, by key."""
    tables = Tables(settings.storage.tables)
    dictionary = dict(read_table(tables, tables.get("release_dictionary", PARTITION, "")))
    rows = read_table(tables, tables.get(table, PARTITION, ""))
    return {row[0] if len(row) == 3 else row[:2]: ([dictionary[item] for item in row[-2]], row[-1]) for row in rows}


@pytest.fixture(scope="module")
def made(spark: SparkSession, tmp_path_factory: pytest.TempPathFactory) -> tuple[Settings, StageReport]:
    folder = tmp_path_factory.mktemp("precompute")
    settings = settings_in(folder)
    write_sources(Tables(settings.storage.tables))
    write_catalogue(folder)
    return settings, run(spark, settings)


Made = tuple[Settings, StageReport]


def test_personal_lists_weigh_what_was_bought_before(made: Made) -> None:
    found = lists_of(made[0], "release_cookies")
    affinity = {id_: (1 - REBUY) * value for id_, value in AFFINITIES.items()}
    assert {key: items for key, (items, _) in found.items()} == {1: ["p0", "p3", "p1"], 2: ["p0", "p1", "p2"]}
    assert found[1][1] == pytest.approx([affinity["p0"], affinity["p3"] + REBUY, affinity["p1"]])
    assert found[2][1] == pytest.approx([affinity["p0"], affinity["p1"], affinity["p2"]])


def test_similar_lists_are_by_picture_and_leave_out_the_product_itself(made: Made) -> None:
    found = lists_of(made[0], "release_products")
    assert {key: items for key, (items, _) in found.items()} == {
        "p0": ["p1", "p2"],
        "p1": ["p0", "p2"],
        "p2": ["p1", "p0"],
        "gone": ["p0", "p1", "p2"],
    }
    assert found["gone"][1] == pytest.approx([1.0, 0.8, 0.0], abs=1e-3)  # a half float has eleven bits


def test_what_has_no_picture_is_given_what_sells_in_its_category(made: Made) -> None:
    found = lists_of(made[0], "release_category_lists")
    assert {key: items for key, (items, _) in found.items()} == {"p5": ["p2", "p1"], "new": ["p1", "p5", "p2"]}
    assert found["new"][1] == pytest.approx([1 / 2, (1 + 8 / 15) / 8, (1 + 7 / 15) / 8])


def test_a_product_that_nobody_ever_saw_is_similar_to_others(spark: SparkSession, tmp_path: Path) -> None:
    """Looked for by cells, too: one a product finds nothing, and more are looked into until all is found."""
    by_cells = SimilarSettings(exact_up_to=1, probes=1, least_recall=1)
    settings = settings_in(tmp_path).model_copy(update={"similar": by_cells})
    tables = Tables(settings.storage.tables)
    write_sources(tables)
    vectors = {"p0": [1.0, 0.0], "unseen": [0.9, 0.1], "p2": [0.0, 1.0]}
    stored = packed(np.array(list(vectors.values()))).to_pylist()
    planned = plan_run(EMBEDDINGS, CATALOGUE, {}, {"of": "others"})
    write_table(tables, planned, EMBEDDINGS.schema, list(zip(vectors, stored, strict=True)))
    report = run(spark, settings)
    found = {key: items for key, (items, _) in lists_of(settings, "release_products").items()}
    assert found == {"p0": ["unseen", "p2"], "unseen": ["p0", "p2"], "p2": ["unseen", "p0"]}
    assert (report.details["similar_probes"], report.details["similar_recall_percent"]) == (3, 100)


def test_generic_lists_are_where_there_is_support(made: Made) -> None:
    found = lists_of(made[0], "release_contexts")
    assert {key: items for key, (items, _) in found.items()} == {
        ("north", "phone"): ["p1", "p5", "p2"],
        ("north", ""): ["p1", "p5", "p2"],
        ("", "phone"): ["p1", "p5", "p2"],
        ("", "till"): ["p2", "p1", "p5"],
        ("", ""): ["p1", "p5", "p2"],
    }
    assert found["", ""][1] == pytest.approx([1, 8 / 15, 7 / 15])


def test_ordinals_fall_in_frequency(made: Made) -> None:
    settings, _ = made
    tables = Tables(settings.storage.tables)
    dictionary = [id_ for _, id_ in read_table(tables, tables.get("release_dictionary", PARTITION, ""))]
    listed = [
        item
        for table in ("release_cookies", "release_products", "release_category_lists", "release_contexts")
        for items, _ in lists_of(settings, table).values()
        for item in items
    ]
    frequencies = [listed.count(id_) for id_ in dictionary]
    assert frequencies == sorted(frequencies, reverse=True)
    assert set(dictionary) == set(listed)
    assert "gone" not in dictionary


def test_the_release_says_what_it_holds(made: Made) -> None:
    settings, report = made
    release = Tables(settings.storage.tables).get("release", PARTITION, "")
    counts = {
        "release_cookies": 2,
        "release_products": 4,
        "release_category_lists": 2,
        "release_contexts": 5,
        "release_dictionary": 5,
    }
    assert release.counts == counts
    assert report.rows_out == 2 + 4 + 2 + 5


def test_a_second_run_finds_it_up_to_date(spark: SparkSession, made: Made) -> None:
    settings, _ = made
    before = visible(settings.storage.tables)
    assert run(spark, settings).details["up_to_date"]
    assert visible(settings.storage.tables) == before


def test_a_release_cut_short_among_its_manifests_is_made_whole(spark: SparkSession, made: Made) -> None:
    settings, _ = made
    tables, before = Tables(settings.storage.tables), visible(settings.storage.tables)
    lists = tables.get("release_cookies", PARTITION, "")
    tables.publish(replace(lists, run="another", files=()))
    run(spark, settings)
    assert visible(settings.storage.tables) == before


def test_a_shop_may_mask_what_was_bought_and_have_no_pictures_and_no_catalogue(
    spark: SparkSession, tmp_path: Path
) -> None:
    settings = settings_in(tmp_path, rebuy="mask", personal=5)
    write_sources(Tables(settings.storage.tables), embeddings=False)
    run(spark, settings)
    found = {key: items for key, (items, _) in lists_of(settings, "release_cookies").items()}
    assert found == {1: ["gone", "p0", "p1", "p2"], 2: ["gone", "p0", "p1", "p2", "p3"]}
    assert lists_of(settings, "release_products") == {}


def test_settings_say_what_a_list_may_hold(spark: SparkSession, tmp_path: Path) -> None:
    """p1 and p2 are excluded, also where stock does not count; of Food there is one product at most; a list has one
    product more, to be masked."""
    (tmp_path / "excluded.txt").write_bytes(b" p2\r\n\r\n")
    paths = {"p0": "Food/Milk", "p3": "Fuel", "gone": "Food/Milk"}
    table = pa.table({"product_id": list(paths), "category": list(paths.values())})
    pq.write_table(table, tmp_path / "catalogue.parquet")
    settings = settings_in(
        tmp_path,
        personal=1,
        over_fetch=1,
        exclude=["p1"],
        exclude_file=str(tmp_path / "excluded.txt"),
        most_of_category=1,
    )
    settings = settings.model_copy(update={"similar": SimilarSettings(in_stock=False)})
    tables = Tables(settings.storage.tables)
    write_sources(tables)
    write_table(
        tables, plan_run("user_factors", PARTITION, {}, {"rank": 1}), USER_FACTORS.schema, [(1, [1.0]), (2, [-1.0])]
    )
    run(spark, settings)
    assert {key: items for key, (items, _) in lists_of(settings, "release_cookies").items()} == {
        1: ["gone", "p3"],
        2: ["p3", "p0"],
    }
    generic = [items for items, _ in lists_of(settings, "release_contexts").values()]
    assert generic
    assert not {"p1", "p2"} & {item for items in generic for item in items}
    similar = {key: items for key, (items, _) in lists_of(settings, "release_products").items()}
    assert similar == {"p0": ["gone"], "p1": ["gone"], "p2": ["gone"], "gone": ["p0"]}


def test_a_shop_without_repeats_lists_nothing_twice(spark: SparkSession, tmp_path: Path) -> None:
    settings = settings_in(tmp_path)
    tables = Tables(settings.storage.tables)
    write_sources(tables)
    rows = [(cookie, f"p{item}", UNIT, 1, AS_OF, AS_OF) for cookie in range(1, 501) for item in (2, 3)]
    write_table(tables, plan_run("interactions", PARTITION, {}, DECAY), INTERACTIONS.schema, rows)
    run(spark, settings)
    assert {cookie: items for cookie, (items, _) in lists_of(settings, "release_cookies").items()} == {
        1: ["gone", "p0", "p1"],
        2: ["gone", "p0", "p1"],
    }
    run(spark, settings_in(tmp_path, repeats="yes"))
    assert lists_of(settings, "release_cookies")[1][0] == ["gone", "p2", "p0"]


def test_generic_lists_do_not_depend_on_the_order_of_sums(spark: SparkSession) -> None:
    """All products have the same strengths, at other places each: their sums tie, and ties go by number."""
    strengths = [3 + 7919 * number * number for number in range(12)]
    rows = [
        (f"place {place}", "till", f"p{product:02}", strengths[(place + product) % 12])
        for product in range(12)
        for place in range(12)
    ]
    ids = sorted({row[2] for row in rows})
    numbers = spark.createDataFrame(list(zip(ids, range(12), strict=True)), PRODUCT_NUMBERS.schema)
    settings = Settings(lists=ListsSettings(generic=12, min_support=0.0), spark=SparkSettings(shuffle_partitions=2))
    attributes = product_attributes(spark, settings, ids)
    arguments = argparse.Namespace(settings=settings, as_of=AS_OF)
    decay = Decay(half_life=37.0, landmark=AS_OF - 1000)
    for parts in (1, 5):
        frames: dict[Any, Any] = {CONTEXTS: spark.createDataFrame(rows, CONTEXTS.schema).repartition(parts)}
        found = precompute._generic(frames, numbers, attributes, decay, arguments).collect()
        assert [row["items"] for row in found if (row.location, row.device) == ("", "")] == [list(range(12))]


@pytest.mark.parametrize(("in_stock", "listed"), [(True, ["p1"]), (False, ["p1", "gone"])])
def test_stock_counts_in_lists_by_category_as_it_does_in_those_by_picture(
    spark: SparkSession, tmp_path: Path, in_stock: bool, listed: list[str]
) -> None:
    write_catalogue(tmp_path)
    settings = settings_in(tmp_path, exclude=["p0"]).model_copy(update={"similar": SimilarSettings(in_stock=in_stock)})
    ids = ["p0", "p1", "gone"]
    numbers = spark.createDataFrame(list(zip(ids, range(len(ids)), strict=True)), PRODUCT_NUMBERS.schema)
    popularity = spark.createDataFrame([("p0", 9.0), ("p1", 8.0), ("gone", 7.0)], [C.PRODUCT_ID, C.STRENGTH])
    attributes = product_attributes(spark, settings, ids)
    found = lists_by_category(spark, None, popularity, numbers, attributes, settings).collect()
    assert {row[C.PRODUCT_ID]: [ids[item] for item in row[C.ITEMS]] for row in found}["new"] == listed


def test_what_was_bought_lately_is_left_out_for_a_while(spark: SparkSession, tmp_path: Path) -> None:
    settings = settings_in(tmp_path, rebuy_after_days=1.0)
    tables = Tables(settings.storage.tables)
    write_sources(tables, embeddings=False)
    rows = [(1, "p3", 2 * UNIT, 2, AS_OF, AS_OF - 12), (2, "p3", 2 * UNIT, 2, AS_OF, AS_OF - 24)]
    write_table(tables, plan_run("interactions", PARTITION, {}, DECAY), INTERACTIONS.schema, rows)
    run(spark, settings.model_copy(update={"lists": settings.lists.model_copy(update={"personal": 6})}))
    found = {key: items for key, (items, _) in lists_of(settings, "release_cookies").items()}
    assert found == {1: ["gone", "p0", "p1", "p2"], 2: ["gone", "p0", "p3", "p1", "p2"]}


def test_an_exclude_file_that_can_not_be_read_is_named(spark: SparkSession, tmp_path: Path) -> None:
    settings = settings_in(tmp_path, exclude_file=str(tmp_path / "absent.txt"))
    write_sources(Tables(settings.storage.tables), embeddings=False)
    with pytest.raises(SettingsError, match=r"lists.exclude_file.*absent.txt"):
        run(spark, settings)
    (tmp_path / "absent.txt").write_bytes(b"caf\xe9\n")
    with pytest.raises(SettingsError, match=r"lists.exclude_file.*absent.txt is not UTF-8"):
        run(spark, settings)


def test_what_is_missing_is_named_with_its_command(spark: SparkSession, tmp_path: Path) -> None:
    with pytest.raises(
        MissingPartitionError, match="larder roll-up --start FIRST_HOUR --end 2017-12-04T00 --from-empty"
    ):
        run(spark, settings_in(tmp_path))


def test_factors_of_two_trainings_are_not_mixed(spark: SparkSession, tmp_path: Path) -> None:
    """What is there when the training job is killed between its two manifests."""
    settings = settings_in(tmp_path)
    tables = Tables(settings.storage.tables)
    write_sources(tables)
    later = plan_run("user_factors", PARTITION, {}, {"rank": 2})
    write_table(tables, later, USER_FACTORS.schema, [(1, [1.0, 2.0])])
    with pytest.raises(MissingPartitionError, match="larder train-als --as-of 2017-12-04T00"):
        run(spark, settings)
