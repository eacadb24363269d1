"""Reports of planted experiments: what they say, and what they refuse to say."""

from __future__ import annotations

import json
import math
from dataclasses import asdict
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt
import pytest
from event_folders import START, moment
from experiment_logs import (
    BEFORE_EXPERIMENTS,
    NAME,
    Row,
    answer,
    experiment_settings,
    report_of,
    write_events,
    write_log,
)
from pyspark.sql import SparkSession

from larder.jobs.report_experiment import EarlierImpressionsError, ExperimentNotFoundError, SampleRatioError
from larder.models.experiments.comparison import compared
from larder.models.experiments.moments import moments_of
from larder.models.experiments.sample_ratio import MISMATCH_BELOW
from larder.settings import MetricSettings, ReportSettings, SettingsError

PRODUCTS = ["p1", "p2", "p3"]
ARMS = ("control", "new")
COOKIES = 30  # of each arm
PLANNED = 1_000


def cookies_of(arm: str) -> list[str]:
    return [f"{arm}-{number}" for number in range(COOKIES)]


def planted(folder: Path, order: int = 1) -> dict[str, dict[str, npt.NDArray[np.int64]]]:
    """Writes logs and events of two arms; returns y, d, x and e of each cookie (COOKIES, 4), by metric and arm.

    A cookie clicks on some of the three products of each of its answers, and buys one thing for 2.50 now and then. With
    `order` -1 all rows are in the opposite order.
    """
    random = np.random.default_rng(7)
    log: list[Row] = []
    clicks: list[Row] = []
    log_before: list[Row] = []
    clicks_before: list[Row] = []
    truth: dict[str, dict[str, npt.NDArray[np.int64]]] = {"click_through": {}, "revenue": {}}
    for arm in ARMS:
        answers, clicked, bought, earlier = random.integers(1, 4, (4, COOKIES))
        for number, cookie in enumerate(cookies_of(arm)):
            for place in range(answers[number]):
                request = f"{cookie}-{place}"
                device = "phone" if number % 3 else "tablet"
                log += answer(cookie, request, PRODUCTS, arm=arm, device=device)
                of_request = {"cookie_id": cookie, "request_id": request}
                clicks += [{**of_request, "product_id": each} for each in PRODUCTS[: clicked[number]]]
                clicks += [{**of_request, "product_id": "p1"}]  # a second click counts for nothing
            paid = {"event_type": "purchase", "price": 2.5, "quantity": 1}
            # Nothing that was shown, so it is no click, but it has the request's id.
            clicks += [{**of_request, **paid, "product_id": "other"} for _ in range(bought[number])]
            log_before += answer(
                cookie, f"{cookie}-b", PRODUCTS[: earlier[number]], START - 1, experiment=None, arm=None
            )
            shown = min(earlier[number], clicked[number])
            clicks_before += [
                {"cookie_id": cookie, "request_id": f"{cookie}-b", "product_id": each, "ts": moment(START - 1, 20)}
                for each in PRODUCTS[:shown]
            ]
        on_products = [answers * clicked, 3 * answers, np.minimum(earlier, clicked), earlier]
        truth["click_through"][arm] = np.stack(on_products, axis=1)
        nothing, ones = np.zeros(COOKIES, np.int64), np.ones(COOKIES, np.int64)
        truth["revenue"][arm] = np.stack([250 * bought, 100 * ones, nothing, 100 * ones], axis=1)
    write_log(folder, log[::order])
    write_events(folder, clicks[::order])
    write_log(folder, log_before[::order], START - 1)
    write_events(folder, clicks_before[::order], START - 1)
    return truth


def test_a_report_says_what_the_statistics_say_of_the_planted_cookies(spark: SparkSession, tmp_path: Path) -> None:
    truth = planted(tmp_path)
    others = [*answer("x", "x1", PRODUCTS, forced=True), *answer("y", "y1", PRODUCTS, experiment="other")]
    moved = answer(cookies_of("new")[0], "m1", PRODUCTS, ts=moment(START, 50))
    write_log(tmp_path, [*others, *moved], name="b")
    write_log(tmp_path, answer("z", "z1", PRODUCTS), name="old", columns=BEFORE_EXPERIMENTS)
    settings = experiment_settings(tmp_path, ReportSettings(planned_cookies=PLANNED))
    found = report_of(spark, settings, before=24)
    used = sum(int(truth["click_through"][arm][:, 1].sum()) for arm in ARMS)
    assert found["rows"] == {"read": used + 12, "used": used, "moved": 3, "forced": 3, "not_in_experiment": 6}
    assert [(arm, each["units"], each["moved_units"]) for arm, each in found["arms"].items()] == [
        ("control", COOKIES, 0), ("new", COOKIES, 1),
    ]  # fmt: skip
    assert not found["sample_ratio"]["is_mismatch"]
    rows = {row["metric"]: row for row in found["comparisons"]}
    assert list(rows) == ["click_through", "add_to_cart", "purchase", "revenue"]
    for metric, arms in truth.items():
        scale = 100 if metric == "revenue" else 1
        wanted = asdict(compared(*(moments_of(arms[arm] / scale) for arm in ARMS), PLANNED))
        # Nobody can tell yet at every look, of so few cookies.
        anytime = [wanted.pop(name) for name in ("anytime_low", "anytime_high")]
        assert anytime == [-math.inf, math.inf]
        assert {name: rows[metric][name] for name in wanted} == pytest.approx(wanted, rel=1e-9)
        assert [rows[metric][name] for name in ("anytime_low", "anytime_high")] == [None, None]
    assert rows["click_through"]["reduction"] > 0.2  # a cookie clicked before on as many of three as afterwards
    assert rows["add_to_cart"]["low"] is None
    segments = {(row["dimension"], row["segment"]) for row in found["segments"]}
    assert segments == {("device", "phone"), ("device", "tablet")}  # all are warm, and in one store
    tablet = [row for row in found["segments"] if row["segment"] == "tablet" and row["metric"] == "revenue"]
    assert [row["control"] for row in tablet] == [
        pytest.approx(truth["revenue"]["control"][::3, 0].sum() / 100 / len(range(0, COOKIES, 3)))
    ]
    assert all(row["false_discovery_rate"] >= row["p_value"] for row in found["segments"])
    assert found["hours_without"] == {"log": 0, "events": 24}  # of the window, and 24 hours after it


def test_the_same_rows_in_another_order_make_the_same_bytes(spark: SparkSession, tmp_path: Path) -> None:
    made = []
    for order in (1, -1):
        folder = tmp_path / str(order)
        planted(folder, order)
        report_of(spark, experiment_settings(folder), before=0)
        made.append([(folder / "report" / name).read_bytes() for name in ("report.json", "report.html")])
    assert made[0] == made[1]


def test_a_wrong_sample_ratio_voids_the_report(spark: SparkSession, tmp_path: Path) -> None:
    arms = {"control": 80, "new": 30}
    rows = [
        row
        for arm, count in arms.items()
        for n in range(count)
        for row in answer(f"{arm}{n}", f"{arm}{n}", ["p1"], arm=arm)
    ]
    write_log(tmp_path, rows)
    with pytest.raises(SampleRatioError, match="in the shares of the settings") as raised:
        report_of(spark, experiment_settings(tmp_path))
    assert raised.value.exit_code == 3
    found = json.loads((tmp_path / "report" / "report.json").read_text())
    assert found["sample_ratio"]["counts"] == arms
    assert found["sample_ratio"]["expected"] == {"control": 55, "new": 55}
    assert found["sample_ratio"]["p_value"] < MISMATCH_BELOW
    assert (found["comparisons"], found["segments"], found["power"]) == ([], [], [])
    page = (tmp_path / "report" / "report.html").read_text()
    assert "MISMATCH" in page and "No differences are shown" in page and "<svg" not in page


def test_requests_may_be_the_units(spark: SparkSession, tmp_path: Path) -> None:
    clicked = {"control": 10, "new": 20}
    rows: list[Row] = []
    events: list[Row] = []
    for arm, count in clicked.items():
        for number in range(40):
            rows += answer("c1", f"{arm}{number}", ["p1", "p2"], arm=arm)
            if number < count:
                events += [{"cookie_id": "c1", "request_id": f"{arm}{number}", "product_id": "p2"}]
    write_log(tmp_path, rows)
    write_events(tmp_path, [*events, {"cookie_id": "c1", "event_type": "purchase", "request_id": None}])
    found = report_of(spark, experiment_settings(tmp_path, unit="request"), before=24)
    assert {arm: each["units"] for arm, each in found["arms"].items()} == {"control": 40, "new": 40}
    assert found["metrics"]["click_through"]["arms"] == {arm: count / 80 for arm, count in clicked.items()}
    assert found["metrics"]["purchase"]["arms"] == {"control": 0, "new": 0}
    assert (found["before_hours"], found["rows"]["moved"]) == (0, 0)


def test_a_value_that_no_event_has_is_said_to_be_missing(spark: SparkSession, tmp_path: Path) -> None:
    for number in range(4):
        arm = ARMS[number % 2]
        write_log(tmp_path, answer(f"c{number}", f"q{number}", ["p1"], arm=arm), name=arm + str(number))
    write_events(tmp_path, [{"cookie_id": "c1", "request_id": "q1", "event_type": "purchase", "price": None}])
    profit = {"net-profit": MetricSettings(event_types=["purchase", "view"], value="profit")}
    report = ReportSettings(metrics=profit, standard_metrics=False)
    found = report_of(spark, experiment_settings(tmp_path, report))
    note = "no purchase or view that counts here has a value in the column profit of the events"
    assert (found["metrics"]["net-profit"]["note"], found["metrics"]["net-profit"]["arms"]) == (note, {})
    assert found["comparisons"] == []
    assert note in (tmp_path / "report" / "report.html").read_text()


def refused(spark: SparkSession, folder: Path, error: type[Exception], **arguments: Any) -> str:
    with pytest.raises(error) as raised:
        report_of(spark, experiment_settings(folder), **arguments)
    return str(raised.value)


def test_what_cannot_be_reported_is_refused_with_a_reason(spark: SparkSession, tmp_path: Path) -> None:
    assert refused(spark, tmp_path, SettingsError).startswith("no folder at")
    write_log(tmp_path, answer("c1", "q1", ["p1"], experiment="wine,beer", arm="a,b"))
    write_log(tmp_path, answer("c1", "q2", ["p1"], experiment="wine", arm="a"), name="b")
    assert "have no [experiments.lsts]; there is lists" in refused(
        spark, tmp_path, ExperimentNotFoundError, name="lsts"
    )
    there = refused(spark, tmp_path, ExperimentNotFoundError)
    assert "in an arm of lists" in there and "there is beer, wine (lookup.journey)" in there
    empty = refused(spark, tmp_path, ExperimentNotFoundError, start=START + 5, end=START + 6)
    assert "there is none" in empty
    write_log(tmp_path, answer("c1", "q3", ["p1"], hour=START - 2), START - 2)
    write_log(tmp_path, answer("c1", "q4", ["p1"]), name="c")
    earlier = refused(spark, tmp_path, EarlierImpressionsError, before=24)
    assert f"{NAME} was in force before --start, from 2017-12-02T22 on" in earlier
