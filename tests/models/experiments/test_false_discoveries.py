"""Among many comparisons, the share of false ones that count as found is kept."""

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from larder.models.experiments.false_discoveries import false_discovery_rates


def test_four_p_values_by_hand() -> None:
    rates = false_discovery_rates([0.04, 0.01, 0.5, 0.02])
    assert rates == pytest.approx([0.04 * 4 / 3, 0.01 * 4 / 1, 0.5 * 4 / 4, 0.02 * 4 / 2])


def test_no_comparisons_have_no_rates() -> None:
    assert false_discovery_rates([]) == []


@given(st.lists(st.floats(0, 1), min_size=1, max_size=30))
def test_rates_keep_the_order_and_never_flatter(p_values: list[float]) -> None:
    rates = np.array(false_discovery_rates(p_values))
    assert (rates >= p_values).all() and (rates <= 1).all()
    assert (np.diff(rates[np.argsort(p_values)]) >= 0).all()


def test_of_what_counts_as_found_few_are_false() -> None:
    draw, runs, q = np.random.default_rng(0), 400, 0.1
    false_share = []
    for _ in range(runs):
        p_values = np.concatenate(
            [draw.random(40), draw.beta(0.05, 10, 10)]
        )  # forty of no difference, ten of a real one
        found = np.array(false_discovery_rates(p_values.tolist())) <= q
        false_share.append(found[:40].sum() / max(1, found.sum()))
    error = np.std(false_share) / np.sqrt(runs)
    assert np.mean(false_share) == pytest.approx(q * 40 / 50, abs=3 * error)
