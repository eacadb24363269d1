"""Cookies per arm that don't fit the arms' shares are told from those that do."""

from __future__ import annotations

import math

import numpy as np
import pytest

from larder.models.experiments.sample_ratio import MISMATCH_BELOW, SampleRatio, sample_ratio

HALVES = {"control": 0.5, "treatment": 0.5}


def test_two_arms_by_hand() -> None:
    statistic = 2 * 10**2 / 50  # both arms are ten cookies off fifty
    p_value = math.erfc(math.sqrt(statistic / 2))  # of chi-square with one degree of freedom
    found = sample_ratio({"control": 60, "treatment": 40}, HALVES)
    assert (found.counts, found.expected) == ({"control": 60, "treatment": 40}, {"control": 50.0, "treatment": 50.0})
    assert found.p_value == pytest.approx(p_value)
    assert not found.is_mismatch


def test_the_same_ratio_of_more_cookies_is_a_mismatch() -> None:
    assert sample_ratio({"control": 6000, "treatment": 4000}, HALVES).is_mismatch
    assert not sample_ratio({"control": 6000, "treatment": 4000}, {"control": 60, "treatment": 40}).is_mismatch


def test_shares_count_in_proportion_and_an_arm_may_be_empty() -> None:
    found = sample_ratio({"a": 300, "b": 100}, {"a": 6, "b": 1, "c": 1})
    assert found.expected == {"a": 300.0, "b": 50.0, "c": 50.0}
    assert found.is_mismatch


@pytest.mark.parametrize(
    ("counts", "shares", "p_value"),
    [
        ({}, HALVES, 1.0),
        ({"control": 7}, {"control": 1.0}, 1.0),
        ({"control": 7, "closed": 0}, {"control": 1.0, "closed": 0.0}, 1.0),
        ({"control": 7, "closed": 1}, {"control": 1.0, "closed": 0.0}, 0.0),
        ({"control": 5, "treatment": 5, "unheard_of": 1}, HALVES, 0.0),
    ],
)
def test_arms_that_are_empty_closed_or_unknown(
    counts: dict[str, int], shares: dict[str, float], p_value: float
) -> None:
    found = sample_ratio(counts, shares)
    assert (found.p_value, found.is_mismatch) == (p_value, p_value < MISMATCH_BELOW)


def test_sound_shares_are_reported_once_in_a_thousand() -> None:
    draw, runs = np.random.default_rng(0), 1500
    shares = {"a": 0.5, "b": 0.3, "c": 0.2}
    found: list[SampleRatio] = [
        sample_ratio(dict(zip("abc", row, strict=True)), shares)
        for row in draw.multinomial(10_000, list(shares.values()), runs).tolist()
    ]
    margin = 3 * math.sqrt(MISMATCH_BELOW / runs)
    assert np.mean([each.is_mismatch for each in found]) <= MISMATCH_BELOW + margin
    # A p-value below 0.1 is found in a tenth of all runs.
    assert np.mean([each.p_value < 0.1 for each in found]) == pytest.approx(0.1, abs=3 * math.sqrt(0.09 / runs))
