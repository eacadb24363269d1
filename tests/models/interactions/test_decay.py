"""Forward decay: sums that can be added to exactly, and turned into the decayed count of any hour."""

from __future__ import annotations

import random

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from pyspark.sql import SparkSession
from pyspark.sql import functions as F

from larder.models.interactions.decay import HALF_LIVES_A_LANDMARK, UNIT, Decay

HALF_LIFE_DAYS = 10.0
HALF_LIFE = HALF_LIFE_DAYS * 24
STRIDE = HALF_LIFE * HALF_LIVES_A_LANDMARK
NOW = 420_000
TYPES = (0.2, 0.5, 1.0)
draw = random.Random(5)
EVENTS = [(draw.choice(TYPES), NOW - draw.randrange(30 * 24)) for _ in range(300)]


def terms(decay: Decay, events: list[tuple[float, int]]) -> np.ndarray:
    weights, hours = zip(*events, strict=True)
    return decay.terms(np.array(weights), np.array(hours))


def total(decay: Decay, events: list[tuple[float, int]]) -> int:
    return int(terms(decay, events).sum())


def textbook(events: list[tuple[float, int]], hour: int) -> float:
    return sum(weight * 2 ** ((then - hour) / HALF_LIFE) for weight, then in events)


def test_sums_are_exact_in_any_order() -> None:
    decay = Decay.at(NOW, HALF_LIFE_DAYS)
    found = terms(decay, EVENTS)
    assert (found.dtype, found.min() > 0) == (np.int64, True)
    values = found.tolist()
    shuffled = random.Random(1).sample(EVENTS, len(EVENTS))
    assert total(decay, shuffled) == sum(values)
    # What was added can be taken out again without a trace.
    assert sum(values) - sum(values[:100]) == sum(values[100:])


@pytest.mark.parametrize("later", [0, 1, 24 * 40])
def test_the_value_at_an_hour_is_the_textbook_sum(later: int) -> None:
    decay = Decay.at(NOW, HALF_LIFE_DAYS)
    found = total(decay, EVENTS) * decay.factor(NOW + later)
    assert found == pytest.approx(textbook(EVENTS, NOW + later), rel=1e-3)


def test_an_event_counts_its_weight_in_its_own_hour_and_half_after_a_half_life(spark: SparkSession) -> None:
    decay = Decay.at(NOW, HALF_LIFE_DAYS)
    hours = [NOW, NOW + int(HALF_LIFE), NOW + 2 * int(HALF_LIFE)]
    one = F.lit(total(decay, [(1.0, NOW)]))
    [row] = spark.range(1).select(*(decay.value(one, hour) for hour in hours)).collect()
    assert list(row) == pytest.approx([1, 1 / 2, 1 / 4], rel=1 / UNIT)


@given(st.integers(0, 10**7), st.floats(0.01, 10_000))
def test_the_landmark_lies_at_most_a_stride_back(hour: int, half_life_days: float) -> None:
    decay = Decay.at(hour, half_life_days)
    stride = half_life_days * 24 * HALF_LIVES_A_LANDMARK
    assert decay.landmark <= hour < decay.landmark + stride * (1 + 1e-9)
    assert decay == Decay.at(hour, half_life_days)


def test_terms_fit_64_bits_a_stride_after_the_landmark() -> None:
    """A billion purchases in the last hour before the landmark moves."""
    landmark = Decay.at(NOW, HALF_LIFE_DAYS).landmark
    last = int(landmark + STRIDE) - 1
    decay = Decay.at(last, HALF_LIFE_DAYS)
    assert decay.landmark == landmark
    assert total(decay, [(1e9, last)]) * decay.factor(last) == pytest.approx(1e9)


def test_a_sum_moves_on_to_a_later_landmark() -> None:
    older = Decay.at(NOW, HALF_LIFE_DAYS)
    later_hour = int(older.landmark + STRIDE) + 5
    newer = Decay.at(later_hour, HALF_LIFE_DAYS)
    assert newer.landmark == older.landmark + STRIDE
    recent = [(weight, later_hour - (NOW - hour)) for weight, hour in EVENTS]
    before = total(older, recent)
    [moved] = newer.moved(np.array([before]), older).tolist()
    assert moved == round(before * 2.0**-HALF_LIVES_A_LANDMARK)
    assert moved * newer.factor(later_hour) == pytest.approx(textbook(recent, later_hour), rel=1e-3)


def test_a_sum_of_the_same_decay_stays_untouched() -> None:
    decay = Decay.at(NOW, HALF_LIFE_DAYS)
    sums = np.array([1, 2])
    assert decay.moved(sums, Decay.at(NOW + 1, HALF_LIFE_DAYS)) is sums


def test_another_half_life_cannot_go_on() -> None:
    with pytest.raises(ValueError, match=r"240\.0 h can't go on with 480\.0 h.*--from-empty"):
        Decay.at(NOW, 2 * HALF_LIFE_DAYS).moved(np.array([1]), Decay.at(NOW, HALF_LIFE_DAYS))
