"""The report of an experiment beside the truth of its simulated visitors, as lines of text."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

HEADS = ("metric", "true control", "true treatment", "true difference", "found", "interval", "the truth is", "better")


def verdict_lines(report: Mapping[str, Any], truth: Mapping[str, Any]) -> list[str]:
    """Returns a line for each metric that the report compares, beneath one of heads.

    Args:
        report: report.json of `larder report experiment`.
        truth: of each arm, as Truth.as_json says it.
    """
    rows = [HEADS, *(_cells(row, truth) for row in report["comparisons"])]
    widths = [max(len(row[place]) for row in rows) for place in range(len(HEADS))]
    return ["  ".join(map(str.ljust, row, widths)).rstrip() for row in rows]


def found_arm(comparison: Mapping[str, Any]) -> str:
    """Returns the arm that the interval says has more of the metric; "" if it doesn't say."""
    low, high = comparison["low"], comparison["high"]
    if low is None or high is None or low <= 0 <= high:
        return ""
    return str(comparison["treatment_arm" if low > 0 else "control_arm"])


def _cells(comparison: Mapping[str, Any], truth: Mapping[str, Any]) -> tuple[str, ...]:
    name, low, high = comparison["metric"], comparison["low"], comparison["high"]
    control, treatment = (truth[comparison[arm]]["metrics"][name] for arm in ("control_arm", "treatment_arm"))
    difference = treatment - control
    true = (f"{control:.5f}", f"{treatment:.5f}", f"{difference:+.5f}")
    if low is None or high is None:
        return name, *true, "", "", "", _judged(difference, comparison)
    place = "within" if low <= difference <= high else "outside"
    found = f"{comparison['difference']:+.5f}", f"{low:+.5f} to {high:+.5f}"
    return name, *true, *found, place, _judged(difference, comparison)


def _judged(difference: float, comparison: Mapping[str, Any]) -> str:
    """Returns which arm was found to be better, and whether it is."""
    arm = found_arm(comparison)
    better = comparison["treatment_arm" if difference > 0 else "control_arm"]
    if not arm:
        return f"not found yet: {better}"
    return f"{arm}, which is right" if arm == better else f"{arm}, which is wrong: {better}"
