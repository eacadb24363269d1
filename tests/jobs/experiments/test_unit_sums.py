"""The steps from served rows and events to a row for each unit: small frames in, whole frames out."""

from __future__ import annotations

from collections.abc import Iterable
from typing import Any

import pytest
from pyspark.sql import DataFrame, SparkSession

from larder.jobs.experiments.served_log import SERVED_DDL
from larder.jobs.experiments.unit_sums import (
    MICROSECONDS_AN_HOUR,
    attributed,
    first_arms,
    metric_sums,
    with_sums,
    with_time_before,
)
from larder.models.columns import EVENT_TYPES
from larder.settings import MetricSettings
from larder.settings.report_section import STANDARD_METRICS

HOUR = MICROSECONDS_AN_HOUR
START = 1_000  # an hour number
AT = START * HOUR
EVENTS_DDL = (
    "unit long, hour long, event long, moment long, event_type long, request long, product long, value_revenue long"
)
UNITS_DDL = "unit long, arm string, since long, impressions long, requests long"
COLUMNS = [name.split()[0] for name in SERVED_DDL.split(", ")]


def served(spark: SparkSession, *rows: dict[str, Any]) -> DataFrame:
    """Served rows of unit 1 at AT in store s on device d; `products` says how many impressions there are."""
    usual = {"state": "in_arm", "unit": 1, "arm": "control", "request": 1, "moment": AT, "location": "s", "device": "d"}
    complete = [{**usual, "products": [1], **row} for row in rows]
    values = [tuple({**row, "impressions": len(row["products"])}[name] for name in COLUMNS) for row in complete]
    return spark.createDataFrame(values, SERVED_DDL)


def events(spark: SparkSession, *rows: dict[str, Any]) -> DataFrame:
    """Views of product 1 by unit 1 a minute after AT, in request 1, each with an EVENT number of its own."""
    usual = {"unit": 1, "hour": START, "moment": AT + 60_000_000, "event_type": "view", "request": 1, "product": 1}
    complete = [{**usual, "event": number, "value_revenue": None, **row} for number, row in enumerate(rows)]
    names = [name.split()[0] for name in EVENTS_DDL.split(", ")]
    for row in complete:
        row["event_type"] = EVENT_TYPES.index(row["event_type"])
    return spark.createDataFrame([tuple(row[name] for name in names) for row in complete], EVENTS_DDL)


def rows_of(frame: DataFrame, columns: Iterable[str], by: str = "unit") -> list[tuple[Any, ...]]:
    found = sorted(frame.collect(), key=lambda row: row[by])
    return [tuple(row[name] for name in columns) for row in found]


def test_the_first_arm_counts_and_what_came_later_in_another_is_moved(spark: SparkSession) -> None:
    log = served(
        spark,
        {"request": 1, "products": [1, 2], "moment": AT + 5, "arm": "new", "location": "first"},
        {"request": 2, "products": [1, 2, 3], "moment": AT + 9, "arm": "control"},
        {"request": 3, "products": [4], "moment": AT + 11, "arm": "new"},
        {"request": 3, "products": [5], "moment": AT + 11, "arm": "new"},
        {"unit": 2, "moment": AT + 7, "location": None},
        {"state": "forced", "unit": None, "arm": None, "moment": None},
    )
    columns = ("unit", "arm", "since", "location", "device", "impressions", "requests", "moved")
    assert rows_of(first_arms(log), columns) == [
        (1, "new", AT + 5, "first", "d", 4, 2, 3),
        (2, "control", AT + 7, None, "d", 1, 1, 0),
    ]


FLAGS = ("is_of_product", "is_of_request", "is_of_visitor")


def test_an_event_belongs_to_the_product_the_request_and_the_visitor(spark: SparkSession) -> None:
    within = 2
    log = served(
        spark,
        {"request": 1, "products": [1, 2]},
        {"request": 1, "products": [3]},  # the same request goes on in another row
        {"request": 2, "products": [9], "arm": "new", "moment": AT + HOUR},  # moved: left out
        {"unit": 2, "request": 3, "products": [1]},
    )
    followed = events(
        spark,
        {"product": 3},
        {"product": 4},
        {"request": None},
        {"moment": AT + within * HOUR},
        {"moment": AT + within * HOUR + 1},
        {"request": 2, "product": 9},
        {"moment": AT - 1},  # a clock a little behind: the request id says what came first
        {"unit": 2, "request": 1},  # the request of another unit
        {"unit": 3},  # in no arm
    )
    found = attributed(followed, first_arms(log), log, within)
    assert rows_of(found, ("event", *FLAGS), by="event") == [
        (0, True, True, True),
        (1, False, True, True),
        (2, False, False, True),
        (3, True, True, True),
        (4, False, False, True),
        (5, False, False, True),
        (6, True, True, False),
        (7, False, False, True),
    ]


def test_an_event_counts_once_however_often_it_came_or_its_request_was_answered(spark: SparkSession) -> None:
    log = served(spark, {"products": [1, 2]}, {"products": [1], "moment": AT + 1})
    twice = [{"event": 7, "moment": AT + 3}, {"event": 7, "moment": AT + 2}]
    found = attributed(events(spark, *twice, {"event": 7, "hour": START + 1}), first_arms(log), log, within=1)
    columns = ("hour", "event", "moment", *FLAGS)
    assert rows_of(found, columns, by="hour") == [
        (START, 7, AT + 2, True, True, True),
        (START + 1, 7, AT + 60_000_000, True, True, True),
    ]


def test_metrics_are_counted_once_where_they_say_so_and_summed_up_elsewhere(spark: SparkSession) -> None:
    metrics = {
        **STANDARD_METRICS,
        "pages_with_click": MetricSettings(event_types=["view"], per="request", once=True),
        "converted": MetricSettings(event_types=["purchase"], once=True),
        "all_purchases": MetricSettings(event_types=["purchase"], attribution="visitor"),
    }
    log = served(spark, {"request": 1, "products": [1, 2]}, {"request": 2, "products": [1, 3]}, {"unit": 2})
    bought = {"event_type": "purchase", "value_revenue": 150}
    followed = events(
        spark,
        {}, {}, {"event_type": "add_to_cart"}, {"product": 2}, {"request": 2, "product": 3},
        bought, {**bought, "request": 2, "product": 8}, {**bought, "request": None}, {**bought, "value_revenue": None},
    )  # fmt: skip
    sums = metric_sums(attributed(followed, first_arms(log), log, within=1), metrics)
    names = [f"sum_{name}" for name in metrics]
    [one] = rows_of(sums, (*names, "valued_revenue"))
    # Products 1 and 2 of the first list, and 3 of the second; of four purchases three have a request, one no price.
    assert dict(zip([*metrics, "valued_revenue"], one, strict=True)) == {
        "click_through": 3, "add_to_cart": 1, "purchase": 3, "revenue": 2 * 150,
        "pages_with_click": 2, "converted": 1, "all_purchases": 4, "valued_revenue": 2,
    }  # fmt: skip
    units = with_sums(first_arms(log), sums)
    assert rows_of(units, ("unit", *names)) == [(1, *one[:-1]), (2, *(0 for _ in names))]


def test_the_time_before_is_measured_as_the_experiment_is(spark: SparkSession) -> None:
    before = AT - 5 * HOUR
    units = spark.createDataFrame([(1, "new", AT, 4, 2), (2, "control", AT, 1, 1), (3, "new", AT, 1, 1)], UNITS_DDL)
    log = served(
        spark,
        {"arm": "", "moment": before, "request": 5, "products": [1, 2]},
        {"arm": "", "moment": AT - HOUR, "request": 6, "products": [1]},
        {"arm": "", "unit": 9, "moment": before, "request": 7},
    )
    followed = events(
        spark,
        {"moment": before + 1, "request": 5},
        {"moment": AT, "request": 6},  # late in its partition: the experiment has begun
        {"unit": 2, "moment": before, "request": None, "event_type": "purchase"},
        {"unit": 9, "moment": before + 1, "request": 7},
    )
    metrics = {
        "click_through": STANDARD_METRICS["click_through"],
        "all_purchases": MetricSettings(event_types=["purchase"], attribution="visitor"),
    }
    found = with_time_before(units, log, followed, metrics, START, within=24)
    columns = ("sum_click_through", "sum_all_purchases", "impressions", "requests")
    assert rows_of(found, ("unit", "arm", *(f"{name}:before" for name in columns), "visitor")) == [
        (1, "new", 1, 0, 3, 2, "warm"),
        (2, "control", 0, 1, 0, 0, "warm"),
        (3, "new", 0, 0, 0, 0, "new"),
    ]


@pytest.mark.parametrize("per", ["impression", "request"])
def test_what_belongs_to_several_cannot_count_once_for_each(per: str) -> None:
    with pytest.raises(ValueError, match="can't count once"):
        MetricSettings(event_types=["view"], per=per, once=True, attribution="visitor")
