"""Which arm a visitor is in."""

from __future__ import annotations

import itertools
import re

import numpy as np
import xxhash
from hypothesis import given
from hypothesis import strategies as st
from repository import ROOT

from larder.experiments.assignment import (
    NOBODY,
    SPACE,
    Segment,
    arm_at,
    assignment_number,
    segments_of,
    shares_of,
    shifted,
)

NAMES = ["a", "b", "c", "d"]


def _normed(weights: list[int]) -> dict[str, float]:
    """Shares that together are at most 1; the last weight is that of nobody."""
    total = sum(weights) or 1
    return {name: weight / total for name, weight in zip(NAMES, weights[:-1], strict=False)}


shares = st.lists(st.integers(0, 20), min_size=3, max_size=5).map(_normed)


def _moved(before: tuple[Segment, ...], after: tuple[Segment, ...]) -> float:
    """The share of visitors whose arm is another one."""
    ends = sorted({0, SPACE, *(end for end, _ in before), *(end for end, _ in after)})
    return (
        sum(high - low for low, high in itertools.pairwise(ends) if arm_at(before, low) != arm_at(after, low)) / SPACE
    )


def test_the_number_is_the_upper_half_of_xxh64() -> None:
    assert assignment_number("s", "l", "c1") == xxhash.xxh64_intdigest(b"s\x1fl\x1fc1", 42) >> 32


def test_cumulative_shares() -> None:
    assert segments_of({"a": 0.25, "b": 0.5}) == ((SPACE // 4, "a"), (3 * SPACE // 4, "b"))


def test_a_number_beyond_the_last_segment_takes_no_part() -> None:
    half = segments_of({"a": 0.5})
    assert [arm_at(half, number) for number in (0, SPACE // 2 - 1, SPACE // 2)] == ["a", "a", NOBODY]


@given(shares)
def test_shares_come_back(wanted: dict[str, float]) -> None:
    found = shares_of(segments_of(wanted))
    assert all(abs(found.get(arm, 0.0) - share) <= 1 / SPACE for arm, share in wanted.items())


@given(shares, shares)
def test_a_shift_gives_the_shares_and_moves_no_more_than_it_must(
    first: dict[str, float], second: dict[str, float]
) -> None:
    before = segments_of(first)
    after = shifted(before, second)
    found, had = shares_of(after), shares_of(before)
    names = {*found, *had}
    assert all(abs(found.get(arm, 0.0) - second.get(arm, 0.0)) <= 1 / SPACE for arm in {*second, *found})
    growth = [found.get(arm, 0.0) - had.get(arm, 0.0) for arm in names]
    nobody = -sum(growth)
    assert abs(_moved(before, after) - sum(max(0.0, each) for each in [*growth, nobody])) < 1e-9


def test_who_is_in_a_growing_arm_stays() -> None:
    before = segments_of({"control": 0.9, "new": 0.1})
    after = shifted(before, {"control": 0.5, "new": 0.5})
    numbers = range(0, SPACE, SPACE // 1000)
    assert all(arm_at(after, each) == "new" for each in numbers if arm_at(before, each) == "new")


def test_there_and_back_is_the_same_shares() -> None:
    before = segments_of({"a": 0.3, "b": 0.3})
    there = shifted(before, {"a": 0.1, "b": 0.6, "c": 0.3})
    assert shares_of(shifted(there, {"a": 0.3, "b": 0.3})) == shares_of(before)


def test_layers_are_independent() -> None:
    """Of 40,000 visitors, those in each pair of arms of two layers are as many as chance says (chi-square)."""
    halves = segments_of({"a": 0.5, "b": 0.5})
    counts = np.zeros((2, 2))
    for number in range(40_000):
        one, other = (arm_at(halves, assignment_number(each, each, f"cookie-{number}")) for each in ("x", "y"))
        counts[int(one == "b"), int(other == "b")] += 1
    chi_square = ((counts - 10_000) ** 2 / 10_000).sum()
    assert chi_square < 16.27  # three degrees of freedom, one chance in a thousand


def test_the_document_has_a_test_vector() -> None:
    text = (ROOT / "docs" / "redis_format.md").read_text(encoding="utf-8")
    [(salt, layer, cookie, number)] = re.findall(r"salt `(\w+)`, layer `(\w+)`, cookie `(\w+)` has number (\d+)", text)
    assert assignment_number(salt, layer, cookie) == int(number)
