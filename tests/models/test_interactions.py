"""Rolling up: day by day is the same as at once, and nothing stays for ever."""

from __future__ import annotations

import random
from typing import Any

import pytest
from model_rows import HOUR, counts, frame, in_order
from pyspark.sql import DataFrame, SparkSession

from models.decay import UNIT, Decay
from models.interactions import rolled_up_contexts, rolled_up_interactions
from models.schemas import CONTEXTS, INTERACTIONS

HALF_LIFE_DAYS = 30.0
DECAY = Decay.at(HOUR, HALF_LIFE_DAYS)
WEIGHTS = {"impression": 0.0, "view": 0.2, "add_to_cart": 0.5, "purchase": 1.0}
NEVER = 0  # a horizon that nothing lies beyond
DAYS = 3
TYPES = ("impressions", "views", "add_to_carts", "purchases")


def strength(decay: Decay, hour: int, weight: float) -> int:
    return round(weight * 2 ** ((hour - decay.landmark) / decay.half_life) * UNIT)


def empty(spark: SparkSession) -> DataFrame:
    return spark.createDataFrame([], INTERACTIONS)


def one(spark: SparkSession, *rows: dict[str, Any], horizon: int = NEVER) -> list[tuple[Any, ...]]:
    found = rolled_up_interactions(empty(spark), DECAY, counts(spark, *rows), WEIGHTS, DECAY, horizon)
    return in_order(found.collect())


def history(day: int) -> list[dict[str, Any]]:
    """Some rows of hourly counts of a day."""
    draw = random.Random(day)
    return [
        {
            "hour": HOUR + day * 24 + draw.randrange(24),
            "cookie_key": draw.randrange(4),
            "product_id": f"p{draw.randrange(3)}",
            "location": draw.choice(["", "north"]),
            "device": draw.choice(["phone", "till"]),
            **{type_: draw.choice([0, 0, 1, 2]) for type_ in TYPES},
        }
        for _ in range(25)
    ]


def test_counts_become_a_decayed_strength(spark: SparkSession) -> None:
    rows = [
        {"hour": HOUR, "views": 2, "add_to_carts": 1},
        {"hour": HOUR + 5, "purchases": 2, "impressions": 9},
        {"hour": HOUR + 9, "views": 1},
    ]
    expected = strength(DECAY, HOUR, 2 * 0.2 + 0.5) + strength(DECAY, HOUR + 5, 2.0) + strength(DECAY, HOUR + 9, 0.2)
    assert one(spark, *rows) == [(1, "p1", expected, 2, HOUR + 9, HOUR + 5)]


def test_what_weighs_nothing_drops_out_but_for_purchases(spark: SparkSession) -> None:
    rows = [{"product_id": "seen", "impressions": 5}, {"product_id": "bought", "purchases": 1}]
    assert one(spark, *rows) == [(1, "bought", strength(DECAY, HOUR, 1), 1, HOUR, HOUR)]
    free = {**WEIGHTS, "purchase": 0.0}
    found = rolled_up_interactions(empty(spark), DECAY, counts(spark, *rows), free, DECAY, NEVER).collect()
    assert in_order(found) == [(1, "bought", 0, 1, HOUR, HOUR)]


def test_who_bought_nothing_has_no_hour_of_purchase(spark: SparkSession) -> None:
    assert one(spark, {"views": 1})[0][-1] is None


def test_what_was_not_touched_since_the_horizon_falls_out(spark: SparkSession) -> None:
    rows = [{"product_id": f"p{hours}", "hour": HOUR - hours, "views": 1} for hours in (0, 10, 11)]
    assert {row[1] for row in one(spark, *rows, horizon=HOUR - 10)} == {"p0", "p10"}


def test_what_is_touched_again_keeps_its_past(spark: SparkSession) -> None:
    old = [(1, "p1", 1000, 3, HOUR - 100, HOUR - 100), (1, "p2", 1000, 3, HOUR - 100, HOUR - 100)]
    state = spark.createDataFrame(old, INTERACTIONS)
    found = rolled_up_interactions(state, DECAY, counts(spark, {"views": 1}), WEIGHTS, DECAY, HOUR - 50)
    assert in_order(found.collect()) == [(1, "p1", 1000 + strength(DECAY, HOUR, 0.2), 3, HOUR, HOUR - 100)]


def test_day_by_day_is_the_same_as_at_once(spark: SparkSession) -> None:
    state = empty(spark)
    for day in range(DAYS):
        state = rolled_up_interactions(state, DECAY, counts(spark, *history(day)), WEIGHTS, DECAY, NEVER)
    everything = [row for day in range(DAYS) for row in history(day)]
    assert in_order(state.collect()) == one(spark, *everything)


def test_contexts_day_by_day_are_the_same_as_at_once(spark: SparkSession) -> None:
    nothing = spark.createDataFrame([], CONTEXTS)
    state = nothing
    for day in range(DAYS):
        state = rolled_up_contexts(state, DECAY, counts(spark, *history(day)), WEIGHTS, DECAY)
    everything = counts(spark, *(row for day in range(DAYS) for row in history(day)))
    assert in_order(state.collect()) == in_order(
        rolled_up_contexts(nothing, DECAY, everything, WEIGHTS, DECAY).collect()
    )


def test_contexts_are_sums_over_cookies(spark: SparkSession) -> None:
    rows = [{"cookie_key": 1, "views": 1}, {"cookie_key": 2, "purchases": 1}, {"device": "till", "purchases": 2}]
    found = rolled_up_contexts(spark.createDataFrame([], CONTEXTS), DECAY, counts(spark, *rows), WEIGHTS, DECAY)
    assert in_order(found.collect()) == [
        ("", "", "p1", strength(DECAY, HOUR, 0.2) + strength(DECAY, HOUR, 1)),
        ("", "till", "p1", strength(DECAY, HOUR, 2)),
    ]


def test_a_state_moves_to_a_later_landmark_and_what_is_nothing_there_falls_out(spark: SparkSession) -> None:
    later = Decay(DECAY.half_life, DECAY.landmark + 4 * DECAY.half_life)
    state = frame(
        spark,
        CONTEXTS,
        [
            {"location": "", "device": "", "product_id": "p1", "strength": 160},
            {"location": "", "device": "", "product_id": "p2", "strength": 7},
        ],
    )
    new = counts(spark, {"hour": int(later.landmark), "purchases": 1})
    found = rolled_up_contexts(state, DECAY, new, WEIGHTS, later)
    assert in_order(found.collect()) == [("", "", "p1", round(160 / 2**4) + UNIT)]


def test_a_state_of_another_half_life_is_refused(spark: SparkSession) -> None:
    other = Decay.at(HOUR, 2 * HALF_LIFE_DAYS)
    with pytest.raises(ValueError, match="--from-empty"):
        rolled_up_interactions(empty(spark), other, counts(spark, {"views": 1}), WEIGHTS, DECAY, NEVER)
