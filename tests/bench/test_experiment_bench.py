"""The bench of reports: its log is what it should be, and a wrong sum does not pass for the same."""

from __future__ import annotations

from collections import Counter
from pathlib import Path
from typing import Any

import pyarrow.dataset as ds
import pytest

from bench import duckdb_experiment, experiment_log
from bench.experiment import WITHIN, DifferentSumsError, check_same
from larder.journey.parquet import SCHEMA

pytest.importorskip("duckdb")
IMPRESSIONS = 20 * 24 * 40


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    made = tmp_path_factory.mktemp("experiment")
    assert experiment_log.write_experiment(made, IMPRESSIONS) == IMPRESSIONS
    return made


def rows_of(folder: Path, name: str) -> list[dict[str, Any]]:
    rows: list[dict[str, Any]] = ds.dataset(folder / name, format="parquet").to_table().to_pylist()
    return rows


def test_the_log_is_as_the_endpoint_writes_it(folder: Path) -> None:
    log = rows_of(folder, "log")
    assert list(log[0]) == SCHEMA.names
    assert len({(row["request_id"], row["product_id"]) for row in log}) == len(log) == IMPRESSIONS
    experiments = Counter(row["experiment"] for row in log)
    assert experiments.keys() == {None, "lists", "other,lists"}
    arms = {(row["cookie_id"], row["arm"].split(",")[-1]) for row in log if row["arm"]}
    assert len(arms) > len({cookie for cookie, _ in arms})  # some are moved


def test_sums_by_duckdb_are_those_of_the_rows(folder: Path) -> None:
    _, _, sums = duckdb_experiment.in_own_process(folder=folder, name="lists", within=WITHIN, cores=1, memory="1GB")
    log = [row for row in rows_of(folder, "log") if row["arm"] and not row["forced"]]
    first: dict[str, str] = {}
    for row in sorted(log, key=lambda row: row["ts"]):
        first.setdefault(row["cookie_id"], row["arm"].split(",")[-1])
    shown = {
        (row["cookie_id"], row["request_id"], row["product_id"]): row["ts"]
        for row in log
        if row["arm"].split(",")[-1] == first[row["cookie_id"]]
    }
    clicks: Counter[str] = Counter()
    for event in rows_of(folder, "events"):
        key = (event["cookie_id"], event["request_id"], event["product_id"])
        if key in shown and (event["ts"] - shown[key]).total_seconds() <= WITHIN * 3600:
            clicks[first[key[0]]] += 1
    found = {row[0]: row[4:7] for row in sums if row[1:4] == ["all", "all", "click_through"]}
    impressions = Counter(first[cookie] for cookie, _, _ in shown)
    units = Counter(first.values())
    assert found == {arm: [units[arm], str(clicks[arm]), str(impressions[arm])] for arm in ("control", "new")}


def test_what_is_not_known_in_both_is_the_same() -> None:
    sums = [[arm, "all", "all", "purchase", 10, "0", "10", "0", "0", "10"] for arm in ("control", "new")]
    row = {"metric": "purchase", "control": 0.0, "treatment": 0.0, "difference": 0.0, "standard_error": None}
    assert check_same({"comparisons": [row], "segments": []}, sums) == 1


def test_a_wrong_sum_is_noticed() -> None:
    sums = [[arm, "all", "all", "purchase", 10, "5", "10", "5", "5", "10"] for arm in ("control", "new")]
    row = {"metric": "purchase", "control": 0.5, "treatment": 0.5, "difference": 0.0}
    # The variance of a share of 1/2 over 10 cookies, unbiased, for both arms.
    row["standard_error"] = (2 * 0.25 / 9) ** 0.5
    assert check_same({"comparisons": [row], "segments": []}, sums) == 1
    with pytest.raises(DifferentSumsError, match="treatment of"):
        check_same({"comparisons": [{**row, "treatment": 0.6}], "segments": []}, sums)
    with pytest.raises(DifferentSumsError, match="standard_error of"):
        check_same({"comparisons": [{**row, "standard_error": None}], "segments": []}, sums)
    with pytest.raises(DifferentSumsError, match="nothing"):
        check_same({"comparisons": [], "segments": []}, sums)
