"""Weights tuned on a shop with a habit, and the report of lists made with them on the hours after.

The habit: who bought a thing more than twenty days ago buys it again, and nothing else of what it owns. Each user
also buys the new thing of its own kind that most others bought. Strengths say the opposite.
"""

from __future__ import annotations

import argparse
import json
import re
from datetime import datetime, timezone
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
import pytest
from pyspark.sql import SparkSession
from written_tables import write_table

from larder.jobs import evaluate, tune_lists
from larder.jobs.evaluate import GateError
from larder.jobs.evaluation.evaluation_data import NothingBoughtError
from larder.jobs.lists.list_inputs import ORDERS
from larder.jobs.runtime.stage_report import StageReport
from larder.models.hours import as_of_partition, as_text, hour_partition
from larder.models.interactions.decay import UNIT
from larder.models.tables import CONTEXTS, HOURLY_COUNTS, INTERACTIONS, ITEM_FACTORS, USER_FACTORS
from larder.settings import EvaluationSettings, ListsSettings, Settings, SettingsError, SparkSettings, StorageSettings
from larder.storage import MissingPartitionError, StoragePath, Tables
from larder.storage.manifests import plan_run

pytestmark = pytest.mark.end_to_end

TUNED, TESTED = 420_000, 420_096
HOURS = 2
WINDOWS = 2
USERS, OWNED, KINDS, OF_KIND = 60, 4, 3, 10
ITEMS = KINDS * OF_KIND
HALF_LIFE = 240.0
OLD_HOURS, FRESH_HOURS = 30 * 24, 24


def kind(item: int) -> int:
    return item // OF_KIND


def write_shop(tables: Tables, instant: int, seed: int, most: int | None = None, again: bool = True) -> None:
    """Everything as of an instant, and the first `most` purchases of the hours after it; all of them by default.

    The first of all is of what its user had bought before. If not `again`, nothing is ever bought twice.
    """
    draw = np.random.default_rng(seed)

    def write(table: str, schema: Any, rows: list[Any], partition: str, parameters: dict[str, Any]) -> None:
        write_table(tables, plan_run(table, partition, {}, parameters), schema, rows)

    interactions, bought = [], []
    for user in range(USERS):
        own = [kind_ * OF_KIND + item for kind_ in [user % KINDS] for item in draw.choice(OF_KIND - 1, OWNED, False)]
        for item in own:
            is_old = item == own[0] or draw.random() < 0.5
            last = instant - (OLD_HOURS if is_old else FRESH_HOURS)
            strength = int(draw.integers(1, 4)) * UNIT * (1 if is_old else 3)
            interactions.append((user, f"p{item:02}", strength, 2 if again else 1, last, last))
            if is_old and again:
                bought.append((user, item))
        if user // KINDS % 2:  # the last of a kind is what the kind's people come to buy
            interactions.append(
                (user, f"p{kind(own[0]) * OF_KIND + OF_KIND - 1:02}", UNIT, 1, instant - 1, instant - 1)
            )
        else:
            bought.append((user, kind(own[0]) * OF_KIND + OF_KIND - 1))
    partition = as_of_partition(instant)
    write("interactions", INTERACTIONS.schema, interactions, partition, {"half_life": HALF_LIFE, "landmark": instant})
    tastes = np.eye(KINDS) + 0.1
    contexts = [("north", "till", f"p{item:02}", ITEMS - item) for item in range(ITEMS)]
    write("contexts", CONTEXTS.schema, contexts, partition, {"half_life": HALF_LIFE, "landmark": instant})
    users = [(user, tastes[user % KINDS].tolist()) for user in range(USERS)]
    items = [(f"p{item:02}", (tastes[kind(item)] * draw.uniform(0.9, 1.1)).tolist()) for item in range(ITEMS)]
    write("user_factors", USER_FACTORS.schema, users, partition, {"rank": KINDS})
    write("item_factors", ITEM_FACTORS.schema, items, partition, {"rank": KINDS})
    for hour in range(instant, instant + HOURS):
        moment = datetime.fromtimestamp(hour * 3600, timezone.utc)
        counts = [
            (hour, user, f"p{item:02}", "north", "till", 0, 0, 0, 1, 1, moment)
            for user, item in bought[:most]
            if (user + item) % HOURS == hour - instant
        ]
        write("hourly_counts", HOURLY_COUNTS.schema, counts, hour_partition(hour), {})


@pytest.fixture(scope="module")
def shop(tmp_path_factory: pytest.TempPathFactory) -> Settings:
    folder = tmp_path_factory.mktemp("evaluate")
    storage = StorageSettings(tables=str(folder / "tables"), catalogue=str(folder / "catalogue.parquet"))
    tables = Tables(storage.tables)
    write_shop(tables, TUNED - HOURS, 1)
    write_shop(tables, TUNED, 2)
    write_shop(tables, TESTED, 3)
    ids = [f"p{item:02}" for item in range(ITEMS)]
    paths = [f"Food/{kind(item)}" for item in range(ITEMS)]
    pq.write_table(pa.table({"product_id": ids, "category": paths}), storage.catalogue)
    evaluation = EvaluationSettings(bootstrap=20, cold_products=OWNED + 1)
    return Settings(storage=storage, evaluation=evaluation, spark=SparkSettings(shuffle_partitions=2))


def tune(spark: SparkSession, settings: Settings, to: Path) -> StageReport:
    window = {"as_of": TUNED, "end": TUNED + HOURS, "windows": WINDOWS}
    return tune_lists.run(spark, argparse.Namespace(settings=settings, to=StoragePath(str(to)), **window))


@pytest.fixture(scope="module")
def tuned(spark: SparkSession, shop: Settings) -> tuple[Settings, StageReport]:
    """Settings with weights, and what tuning them reported."""
    file = Path(shop.storage.tables).parent / "weights.json"
    report = tune(spark, shop, file)
    return shop.model_copy(update={"lists": ListsSettings(weights=str(file))}), report


def evaluated(spark: SparkSession, settings: Settings, as_of: int = TESTED) -> tuple[dict[str, Any], str]:
    """report.json and report.html."""
    report = evaluate.run(spark, argparse.Namespace(settings=settings, as_of=as_of, end=as_of + HOURS))
    html = Path(str(report.details["report"]).removeprefix("file://"))
    return json.loads(html.with_name("report.json").read_text()), html.read_text()


def ndcg(results: dict[str, Any], task: str) -> dict[str, float]:
    return {row["method"]: row["ndcg@10"] for row in results["lists"] if row["task"] == task}


def test_the_habit_is_found_in_the_hours_after_the_tuning(spark: SparkSession, tuned: tuple[Settings, Any]) -> None:
    results, html = evaluated(spark, tuned[0])
    everything = ndcg(results, "all")
    assert everything["personal"] > 0.9
    assert everything["own frequency, decayed"] < 0.8
    assert ndcg(results, "new")["personal"] > 0.9
    assert results["tuned"]["windows"] == ["2017-11-29T22", "2017-11-30T00"]
    assert "They have seen hours of this test" not in html
    assert "Personal lists are in the order: learned. NDCG@10 on all products decides" in html


def test_weights_of_older_windows_are_measured_on_the_newest(tuned: tuple[Settings, StageReport]) -> None:
    _, report = tuned
    assert float(str(report.details["all"])) > 0.9
    written = json.loads(Path(tuned[0].lists.weights).read_text())
    ndcg_of = written["tuned"]["ndcg"]
    assert list(ndcg_of) == list(ORDERS)
    assert ndcg_of["ALS and own purchases"]["all"]["ndcg@10"] < ndcg_of["learned"]["all"]["ndcg@10"]
    assert (written["order"], written["tuned"]["by"], written["tuned"]["measured_on"]) == ("learned", "all", 1)
    assert (written["half_life"], written["candidates"], written["factors"]) == (HALF_LIFE, 100, {"rank": KINDS})
    assert set(ndcg_of["learned"]["new"]) == {"ndcg@10", "ndcg@10 interval", "users"}


def test_tuning_again_writes_the_same_bytes(spark: SparkSession, shop: Settings, tuned: Any, tmp_path: Path) -> None:
    again = tmp_path / "again.json"
    tune(spark, shop, again)
    assert again.read_bytes() == Path(tuned[0].lists.weights).read_bytes()


def test_a_report_on_hours_that_the_weights_have_seen_says_so(spark: SparkSession, tuned: tuple[Settings, Any]) -> None:
    _, html = evaluated(spark, tuned[0], TUNED)
    assert "They have seen hours of this test" in html


def test_the_report_has_every_method_and_group(spark: SparkSession, shop: Settings) -> None:
    evaluation = shop.evaluation.model_copy(update={"diversities": [0.5], "peers": True})
    results, html = evaluated(spark, shop.model_copy(update={"evaluation": evaluation}))
    both = [
        "popularity",
        "popularity, 28 days",
        "popularity at the place",
        "als",
        "personal",
        "personal, diversity 0.5",
    ]
    peers = ["item-kNN, BM25 (implicit)", "ALS (implicit)"]
    own = ["own frequency", "own frequency, decayed"]
    assert list(ndcg(results, "new")) == [*both, *peers]
    assert sorted(ndcg(results, "all")) == sorted([*both, *own, *peers])
    row = next(row for row in results["lists"] if row["method"] == "personal" and row["task"] == "all")
    # Half the users own one product more, and so are warm.
    assert (row["cold"]["users"], row["warm"]["users"]) == (USERS / 2, USERS / 2)
    assert 0 <= row["diversity@10"] <= 1
    assert row["novelty@10"] > 0
    assert results["tuned"] == {}
    for name in [*both, *peers, *own]:
        assert name in html


def test_a_report_is_made_anew_once_the_peers_are_installed(shop: Settings, monkeypatch: pytest.MonkeyPatch) -> None:
    evaluation = shop.evaluation.model_copy(update={"peers": True})
    settings = shop.model_copy(update={"evaluation": evaluation})
    arguments = argparse.Namespace(settings=settings, as_of=TESTED, end=TESTED + HOURS)
    sources = evaluate._sources(Tables(shop.storage.tables), arguments)
    runs = []
    for is_there in (False, True):
        monkeypatch.setattr(evaluate, "has_peers", lambda found=is_there: found)
        runs.append(evaluate._plan(sources, arguments).run)
    assert runs[0] != runs[1]


def test_strengths_are_compared_with_what_came(spark: SparkSession, shop: Settings) -> None:
    results, _ = evaluated(spark, shop)
    strengths = results["strengths"]
    assert strengths["pairs"] == USERS * OWNED + USERS
    assert (
        0 < strengths["purchases, by the decayed rate"]["rmsle"] < strengths["purchases, by the decayed rate"]["rmse"]
    )


def test_the_gate_is_for_personal_lists(spark: SparkSession, shop: Settings) -> None:
    evaluation = shop.evaluation.model_copy(update={"least_ratio_to_popularity": 1e6})
    with pytest.raises(GateError, match=r"personal lists.*no release is published; .*/report\.html"):
        evaluated(spark, shop.model_copy(update={"evaluation": evaluation}))


def test_hours_in_which_nobody_bought_judge_no_lists(spark: SparkSession, shop: Settings, tmp_path: Path) -> None:
    """0 is not below 0. Then somebody buys again what they own, which is nothing new."""
    storage = StorageSettings(tables=str(tmp_path / "tables"), catalogue=shop.storage.catalogue)
    settings, tables = shop.model_copy(update={"storage": storage}), Tables(storage.tables)
    evaluation = shop.evaluation.model_copy(update={"least_ratio_to_popularity": 0.1})
    with_gate = settings.model_copy(update={"evaluation": evaluation})
    write_shop(tables, TESTED, 3, most=0)
    nothing = f"from {as_text(TESTED)} to .* none of the {USERS} cookies measured"
    with pytest.raises(NothingBoughtError, match=nothing):
        evaluated(spark, with_gate)
    report = evaluate.run(spark, argparse.Namespace(settings=settings, as_of=TESTED, end=TESTED + HOURS))
    assert re.match(nothing, str(report.details["nothing_to_measure"]))
    assert tables.find("evaluation", as_of_partition(TESTED)) is None
    write_shop(tables, TESTED, 3, most=1)
    evaluated(spark, settings)
    with pytest.raises(GateError, match="nobody bought a product that was new to them"):
        evaluated(spark, with_gate)


def test_factors_of_two_trainings_are_not_measured(spark: SparkSession, shop: Settings, tmp_path: Path) -> None:
    """What is there when the training job is killed between its two manifests."""
    storage = StorageSettings(tables=str(tmp_path / "tables"), catalogue=shop.storage.catalogue)
    tables = Tables(storage.tables)
    write_shop(tables, TESTED, 3)
    later = plan_run("user_factors", as_of_partition(TESTED), {}, {"rank": 1})
    write_table(tables, later, USER_FACTORS.schema, [(1, [1.0])])
    with pytest.raises(MissingPartitionError, match=r"not of one training.*larder train-als --as-of 2017-12-04T00"):
        evaluated(spark, shop.model_copy(update={"storage": storage}))


def test_one_window_is_too_few(capsys: pytest.CaptureFixture[str]) -> None:
    instants = ["--as-of", "2017-12-04T00", "--end", "2017-12-04T02", "--to", "weights.json"]
    with pytest.raises(SystemExit):
        tune_lists.parse_arguments([*instants, "--windows", "1"])
    assert "--windows must be 2 or more" in capsys.readouterr().err


def test_weights_go_into_a_folder_that_is_there(capsys: pytest.CaptureFixture[str], tmp_path: Path) -> None:
    instants = ["--as-of", "2017-12-04T00", "--end", "2017-12-04T02"]
    with pytest.raises(SystemExit):
        tune_lists.parse_arguments([*instants, "--to", str(tmp_path / "absent" / "weights.json")])
    assert f"there is no folder {tmp_path / 'absent'}" in capsys.readouterr().err
    found = tune_lists.parse_arguments([*instants, "--to", str(tmp_path / "weights.json")])
    assert found.to == StoragePath(str(tmp_path / "weights.json"))


@pytest.mark.parametrize(
    ("text", "said"),
    [
        (None, "^lists.weights: there is no file"),
        ("", "weights.json is not JSON.*larder tune-lists"),
        ("{}x", "not JSON"),
        ("{}", "holds no weights"),
        ("[1]", "holds no weights"),
        ('{"owned": {}}', "`new` is missing"),
    ],
)
def test_weights_that_can_not_be_used_are_named(
    spark: SparkSession, shop: Settings, tmp_path: Path, text: str | None, said: str
) -> None:
    file = tmp_path / "weights.json"
    if text is not None:
        file.write_text(text)
    with pytest.raises(SettingsError, match=said):
        evaluated(spark, shop.model_copy(update={"lists": ListsSettings(weights=str(file))}))


def test_windows_that_teach_nothing_are_named(spark: SparkSession, shop: Settings, tmp_path: Path) -> None:
    storage = StorageSettings(tables=str(tmp_path / "tables"), catalogue=shop.storage.catalogue)
    settings, tables = shop.model_copy(update={"storage": storage}), Tables(storage.tables)
    write_shop(tables, TUNED - HOURS, 1, most=1)
    write_shop(tables, TUNED, 2, most=0)
    with pytest.raises(NothingBoughtError, match="from 2017-11-30T00 to 2017-11-30T02 none of the 60 cookies"):
        tune(spark, settings, tmp_path / "weights.json")
    of_interactions = {"half_life": HALF_LIFE, "landmark": TUNED}
    nothing = plan_run("interactions", as_of_partition(TUNED), {}, of_interactions)
    write_table(tables, nothing, INTERACTIONS.schema, [])
    with pytest.raises(NothingBoughtError, match="bought anything by 2017-11-30T00"):
        tune(spark, settings, tmp_path / "weights.json")


def test_a_shop_in_which_nothing_is_bought_twice_is_tuned_too(
    spark: SparkSession, shop: Settings, tmp_path: Path
) -> None:
    storage = StorageSettings(tables=str(tmp_path / "tables"), catalogue=shop.storage.catalogue)
    settings, tables, file = shop.model_copy(update={"storage": storage}), Tables(storage.tables), tmp_path / "weights"
    for seed, instant in enumerate((TUNED - HOURS, TUNED, TESTED)):
        write_shop(tables, instant, seed, again=False)
    tune(spark, settings, file)
    written = json.loads(file.read_text())
    assert (written["order"], written["tuned"]["by"]) == ("learned", "all")  # of 1,000 pairs too few
    assert {name for name, weight in written["owned"]["weights"].items() if weight} == {""}
    results, _ = evaluated(spark, settings.model_copy(update={"lists": ListsSettings(weights=str(file))}))
    new, every = ndcg(results, "new"), ndcg(results, "all")
    assert new["personal"] > 1.3 * new["als"] and new["personal"] > 2 * new["popularity"]
    assert every["personal"] == new["personal"]  # what was bought before stands last


def test_windows_of_different_models_are_not_tuned_on(spark: SparkSession, shop: Settings, tmp_path: Path) -> None:
    """It is the older window that differs."""
    storage = StorageSettings(tables=str(tmp_path / "tables"), catalogue=shop.storage.catalogue)
    tables, older = Tables(storage.tables), as_of_partition(TUNED - HOURS)
    for instant in (TUNED - HOURS, TUNED):
        write_shop(tables, instant, 1)
    settings = shop.model_copy(update={"storage": storage})
    of_interactions = {"half_life": 1.0, "landmark": TUNED}
    write_table(tables, plan_run("interactions", older, {}, of_interactions), INTERACTIONS.schema, [])
    with pytest.raises(SettingsError, match=r"'half_life': 1.0.*2017-11-29T22.*larder roll-up"):
        tune(spark, settings, tmp_path / "weights.json")
    of_interactions["half_life"] = HALF_LIFE
    write_table(tables, plan_run("interactions", older, {}, of_interactions), INTERACTIONS.schema, [])
    for table, schema in (("user_factors", USER_FACTORS.schema), ("item_factors", ITEM_FACTORS.schema)):
        write_table(tables, plan_run(table, older, {}, {"rank": 9}), schema, [])
    with pytest.raises(SettingsError, match=r"'rank': 9.*2017-11-29T22.*larder train-als"):
        tune(spark, settings, tmp_path / "weights.json")
