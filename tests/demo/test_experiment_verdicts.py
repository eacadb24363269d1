"""A report beside the truth: what is within the interval, and whether the better arm was found."""

from __future__ import annotations

from typing import Any

import pytest

from demo.experiment_verdicts import found_arm, verdict_lines

TRUTH = {"plain": {"metrics": {"purchase": 0.25}}, "learned": {"metrics": {"purchase": 0.5}}}


def comparison(low: float | None, high: float | None, difference: float | None = 0.2) -> dict[str, Any]:
    arms = {"control_arm": "plain", "treatment_arm": "learned"}
    return {"metric": "purchase", **arms, "difference": difference, "low": low, "high": high}


@pytest.mark.parametrize(
    ("low", "high", "arm"), [(0.1, 0.3, "learned"), (-0.3, -0.1, "plain"), (-0.1, 0.1, ""), (None, None, "")]
)
def test_an_arm_is_found_by_an_interval_without_0(low: float | None, high: float | None, arm: str) -> None:
    assert found_arm(comparison(low, high)) == arm


@pytest.mark.parametrize(
    ("low", "high", "place", "verdict"),
    [
        (0.1, 0.3, "within", "learned, which is right"),
        (0.1, 0.2, "outside", "learned, which is right"),
        (-0.3, -0.1, "outside", "plain, which is wrong: learned"),
        (-0.1, 0.3, "within", "not found yet: learned"),
    ],
)
def test_a_line_says_the_truth_and_whether_it_was_found(low: float, high: float, place: str, verdict: str) -> None:
    _, line = verdict_lines({"comparisons": [comparison(low, high)]}, TRUTH)
    interval = f"{low:+.5f} to {high:+.5f}"
    assert line.split() == f"purchase 0.25000 0.50000 +0.25000 +0.20000 {interval} {place} {verdict}".split()


def test_no_interval_yet_judges_nothing() -> None:
    _, line = verdict_lines({"comparisons": [comparison(None, None, None)]}, TRUTH)
    assert line.split() == ["purchase", "0.25000", "0.50000", "+0.25000", "not", "found", "yet:", "learned"]


def test_a_report_of_a_wrong_sample_ratio_has_no_line() -> None:
    assert len(verdict_lines({"comparisons": []}, TRUTH)) == 1
