"""New lists for the cookies that did something in some hours, and their way into Redis."""

from __future__ import annotations

import argparse
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest
from event_folders import visible
from pyspark.sql import SparkSession
from test_precompute import AS_OF, DECAY, settings_in, write_catalogue
from written_tables import read_table, write_table

from larder.jobs import precompute_cookies
from larder.jobs.runtime.stage_report import StageReport
from larder.models.hours import as_of_partition
from larder.models.interactions.decay import UNIT
from larder.models.tables import INTERACTIONS, ITEM_FACTORS
from larder.settings import Settings
from larder.storage import MissingPartitionError, Tables
from larder.storage.manifests import plan_run

pytestmark = pytest.mark.end_to_end

END = AS_OF + 3
ALS = {"rank": 2, "regularisation": 0.0, "alpha": 40.0}
# Two tastes: p0 and p1, p2 and p3.
ITEMS = [("p0", [1.0, 0.0]), ("p1", [0.9, 0.0]), ("p2", [0.0, 1.0]), ("p3", [0.0, 0.8]), ("gone", [5.0, 5.0])]
STATE_ROWS = [
    (1, "p3", 2 * UNIT, 2, END - 1, END - 1),
    (1, "p0", UNIT, 0, AS_OF, None),
    (2, "p0", UNIT, 1, AS_OF, AS_OF),  # not seen since
    (3, "p1", UNIT, 0, END - 1, None),  # new since the training
    (4, "unknown", UNIT, 0, END - 1, None),  # nothing that the model knows
]


@pytest.fixture(scope="module")
def made(spark: SparkSession, tmp_path_factory: pytest.TempPathFactory) -> tuple[Settings, StageReport]:
    folder = tmp_path_factory.mktemp("delta")
    settings = settings_in(folder, personal=2, rebuy_weight=0.5)
    tables = Tables(settings.storage.tables)
    write_catalogue(folder)

    def write(table: str, schema: Any, rows: list[Any], parameters: dict[str, Any], instant: int) -> None:
        write_table(tables, plan_run(table, as_of_partition(instant), {}, parameters), schema, rows)

    write("item_factors", ITEM_FACTORS.schema, ITEMS, ALS, AS_OF)
    write("interactions", INTERACTIONS.schema, STATE_ROWS, DECAY, END)
    return settings, run(spark, settings)


def run(spark: SparkSession, settings: Settings, end: int = END) -> StageReport:
    return precompute_cookies.run(spark, argparse.Namespace(settings=settings, start=end - 1, end=end))


def test_only_cookies_of_the_hours_get_lists(made: tuple[Settings, StageReport]) -> None:
    tables = Tables(made[0].storage.tables)
    partition = as_of_partition(END)
    dictionary = dict(read_table(tables, tables.get("delta_dictionary", partition, "")))
    rows = read_table(tables, tables.get("delta_cookies", partition, ""))
    found = {key: [dictionary[item] for item in items] for key, items, _ in rows}
    # 1 bought p3, and looked at p0; 3 has the taste of p1, of which p0 is the stronger.
    assert found == {1: ["p3", "p2"], 3: ["p0", "p1"]}
    assert made[1].rows_out == 2
    assert tables.get("delta", partition, "").parameters["start"] == "2017-12-04T02"


def test_the_same_again_is_found_done(spark: SparkSession, made: tuple[Settings, StageReport]) -> None:
    before = visible(made[0].storage.tables)
    assert run(spark, made[0]).details["up_to_date"]
    assert visible(made[0].storage.tables) == before


def test_without_a_model_there_is_nothing_to_do(spark: SparkSession, tmp_path: Path) -> None:
    assert run(spark, settings_in(tmp_path)).details == {"skipped": "no model yet"}


def test_a_state_that_is_missing_is_named_with_its_command(
    spark: SparkSession, made: tuple[Settings, StageReport]
) -> None:
    with pytest.raises(MissingPartitionError, match="larder roll-up --start 2017-12-04T03 --end 2017-12-04T04`"):
        run(spark, made[0], END + 1)


def test_a_model_too_old_is_none(made: tuple[Settings, StageReport]) -> None:
    tables = Tables(made[0].storage.tables)
    hours = precompute_cookies.MODEL_DAYS * 24
    assert precompute_cookies.newest_model(tables, AS_OF + hours - 1) is not None
    assert precompute_cookies.newest_model(tables, AS_OF + hours) is None


@pytest.mark.parametrize("table", ["delta_cookies", "delta_dictionary"])
def test_stale_pieces_are_made_again(spark: SparkSession, made: tuple[Settings, StageReport], table: str) -> None:
    """What is there when the job is killed among its manifests."""
    tables = Tables(made[0].storage.tables)
    piece = tables.get(table, as_of_partition(END), "")
    tables.publish(replace(piece, run="other"))
    assert "up_to_date" not in run(spark, made[0]).details
    assert tables.get(table, as_of_partition(END), "").run == piece.run
