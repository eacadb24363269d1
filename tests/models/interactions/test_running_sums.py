"""Rolling up: in many steps is the same as at once, and nothing stays for ever."""

from __future__ import annotations

import random
from typing import Any

import pyarrow as pa
import pytest
from hypothesis import given
from hypothesis import strategies as st
from model_rows import A_COUNT, HOUR

from larder.models.interactions.decay import UNIT, Decay
from larder.models.interactions.running_sums import (
    context_terms,
    dealt_by_cookie,
    dealt_by_product,
    interaction_terms,
    joined,
    moved,
    rolled_up_contexts,
    rolled_up_interactions,
)
from larder.models.tables import CONTEXTS, INTERACTIONS

HALF_LIFE_DAYS = 30.0
DECAY = Decay.at(HOUR, HALF_LIFE_DAYS)
WEIGHTS = {"impression": 0.0, "view": 0.2, "add_to_cart": 0.5, "purchase": 1.0}
LONG = 10**6  # a horizon that nothing lies beyond
END = HOUR + 1
DAYS = 3
TYPES = ("impressions", "views", "add_to_carts", "purchases")
EMPTY = {
    tuple(INTERACTIONS.schema.fieldNames()): pa.schema(
        [
            ("cookie_key", pa.int64()),
            ("product_id", pa.string()),
            ("strength", pa.int64()),
            ("purchases", pa.int64()),
            ("last_hour", pa.int32()),
            ("last_purchase_hour", pa.int32()),
        ]
    ),
    tuple(CONTEXTS.schema.fieldNames()): pa.schema(
        [("location", pa.string()), ("device", pa.string()), ("product_id", pa.string()), ("strength", pa.int64())]
    ),
}
NO_INTERACTIONS, NO_CONTEXTS = (schema.empty_table() for schema in EMPTY.values())


def strength(decay: Decay, hour: int, weight: float) -> int:
    return round(weight * 2 ** ((hour - decay.landmark) / decay.half_life) * UNIT)


def counts(*rows: dict[str, Any]) -> pa.Table:
    complete = [{**A_COUNT, **row} for row in rows]
    return pa.table({name: [row[name] for row in complete] for name in A_COUNT})


def rolled(state: pa.Table, *rows: dict[str, Any], horizon: int = LONG, end: int = END, **weights: float) -> pa.Table:
    terms = interaction_terms(counts(*rows), {**WEIGHTS, **weights}, DECAY)
    return rolled_up_interactions(state, [terms], horizon, end)


def found(table: pa.Table) -> list[tuple[Any, ...]]:
    assert table.column_names in [list(names) for names in EMPTY]
    return sorted((tuple(row.values()) for row in table.to_pylist()), key=str)


def one(*rows: dict[str, Any], **options: Any) -> list[tuple[Any, ...]]:
    return found(rolled(NO_INTERACTIONS, *rows, **options))


def history(day: int) -> list[dict[str, Any]]:
    """Some rows of hourly counts of a day, in the order of their hours."""
    draw = random.Random(day)
    rows = [
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
    return sorted(rows, key=lambda row: row["hour"])


def test_counts_become_a_decayed_strength() -> None:
    rows = [
        {"hour": HOUR, "views": 2, "add_to_carts": 1},
        {"hour": HOUR + 5, "purchases": 2, "impressions": 9},
        {"hour": HOUR + 9, "views": 1},
    ]
    expected = strength(DECAY, HOUR, 2 * 0.2 + 0.5) + strength(DECAY, HOUR + 5, 2.0) + strength(DECAY, HOUR + 9, 0.2)
    assert one(*rows) == [(1, "p1", expected, 2, HOUR + 9, HOUR + 5)]


def test_what_weighs_nothing_drops_out_but_for_purchases() -> None:
    rows = [{"product_id": "seen", "impressions": 5}, {"product_id": "bought", "purchases": 1}]
    assert one(*rows) == [(1, "bought", strength(DECAY, HOUR, 1), 1, HOUR, HOUR)]
    assert one(*rows, purchase=0.0) == [(1, "bought", 0, 1, HOUR, HOUR)]


def test_who_bought_nothing_has_no_hour_of_purchase() -> None:
    assert one({"views": 1})[0][-1] is None


def test_what_was_not_touched_within_the_horizon_falls_out() -> None:
    rows = [{"product_id": f"p{hours}", "hour": HOUR - hours, "views": 1} for hours in (0, 10, 11)]
    assert {row[1] for row in one(*rows, horizon=10, end=HOUR)} == {"p0", "p10"}


@pytest.mark.parametrize(("gap", "kept"), [(50, True), (51, False)])
def test_what_is_touched_again_keeps_its_past_within_the_horizon(gap: int, kept: bool) -> None:
    then = {"hour": HOUR - gap, "purchases": 3}
    now = strength(DECAY, HOUR, 0.2)
    expected = (now + strength(DECAY, HOUR - gap, 3), 3, HOUR, HOUR - gap) if kept else (now, 0, HOUR, None)
    assert one(then, {"views": 1}, horizon=50) == [(1, "p1", *expected)]


@given(
    st.lists(st.tuples(st.integers(0, 9), st.integers(0, 2), st.integers(0, 1)), min_size=1, max_size=40),
    st.integers(1, 6),
    st.integers(1, 9),
)
def test_many_steps_are_the_same_as_one(touches: list[tuple[int, int, int]], horizon: int, step: int) -> None:
    rows = [
        {"hour": HOUR + hour, "cookie_key": cookie * 2**61, "purchases": bought, "views": 1 - bought}
        for hour, cookie, bought in sorted(touches)
    ]
    at_once = rolled(NO_INTERACTIONS, *rows, horizon=horizon, end=HOUR + 10)
    state = NO_INTERACTIONS
    for start in range(HOUR, HOUR + 10, step):
        end = min(start + step, HOUR + 10)
        some = [row for row in rows if start <= row["hour"] < end]
        state = (
            rolled(state, *some, horizon=horizon, end=end) if some else rolled_up_interactions(state, [], horizon, end)
        )
    assert state.equals(at_once)


def test_contexts_day_by_day_are_the_same_as_at_once() -> None:
    state = NO_CONTEXTS
    for day in range(DAYS):
        state = rolled_up_contexts([state, context_terms(counts(*history(day)), WEIGHTS, DECAY)])
    everything = counts(*(row for day in range(DAYS) for row in history(day)))
    assert found(state) == found(rolled_up_contexts([context_terms(everything, WEIGHTS, DECAY)]))
    assert state.num_rows == 3 * 2 * 2


def test_contexts_are_sums_over_cookies() -> None:
    rows = [{"cookie_key": 1, "views": 1}, {"cookie_key": 2, "purchases": 1}, {"device": "till", "purchases": 2}]
    assert found(context_terms(counts(*rows), WEIGHTS, DECAY)) == [
        ("", "", "p1", strength(DECAY, HOUR, 0.2) + strength(DECAY, HOUR, 1)),
        ("", "till", "p1", strength(DECAY, HOUR, 2)),
    ]


def test_a_state_moves_to_a_later_landmark_and_what_is_nothing_there_falls_out() -> None:
    later = Decay(DECAY.half_life, DECAY.landmark + 4 * DECAY.half_life)
    rows = {"location": ["", ""], "device": ["", ""], "product_id": ["p1", "p2"], "strength": [160, 7]}
    new = context_terms(counts({"hour": int(later.landmark), "purchases": 1}), WEIGHTS, later)
    state = moved(pa.table(rows), DECAY, later)
    assert found(rolled_up_contexts([state, new])) == [("", "", "p1", round(160 / 2**4) + UNIT)]


@pytest.mark.parametrize("ranges", [1, 4])
def test_ranges_together_are_the_whole(ranges: int) -> None:
    rows = [{"cookie_key": n * 2**57, "product_id": f"p{n % 5}", "purchases": 1} for n in range(-50, 50)]
    whole = rolled(NO_INTERACTIONS, *rows)
    parts = dealt_by_cookie(whole, ranges)
    assert [number for number, _ in parts] == list(range(ranges))
    assert found(joined([part for _, part in parts])) == found(whole)
    contexts = context_terms(counts(*rows), WEIGHTS, DECAY)
    parts = dealt_by_product(contexts, ranges)
    assert found(joined([part for _, part in parts])) == found(contexts)
    products = [set(part.column("product_id").to_pylist()) for _, part in parts]
    assert sum(map(len, products)) == 5


def test_nothing_stays_nothing() -> None:
    assert rolled_up_interactions(NO_INTERACTIONS, [], LONG, END).num_rows == 0
    assert rolled_up_contexts([NO_CONTEXTS]).num_rows == 0
