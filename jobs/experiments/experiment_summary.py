"""The results of an experiment as text for a terminal."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

HEADS = ("treatment", "metric", "control", "treated", "relative", "one look", "every look", "narrower", "verdict")
VOID = "MISMATCH: nothing else holds before its cause is found"


def experiment_summary(results: Mapping[str, Any]) -> str:
    """Returns the sample ratio, the rows of the log, and a line for each metric of each treatment arm."""
    lines = [f"sample ratio: {ratio_line(results)}", f"rows of the log: {rows_line(results)}"]
    notes = [f"{name}: {metric['note']}" for name, metric in results["metrics"].items() if metric["note"]]
    rows = [[row["treatment_arm"], row["metric"], *_cells(row, results)] for row in results["comparisons"]]
    if rows:
        table = [list(HEADS), *rows]
        widths = [max(len(row[place]) for row in table) for place in range(len(HEADS))]
        lines += ["", *("  ".join(map(str.ljust, row, widths)).rstrip() for row in table)]
        lines.append(f"(differences, and their {results['level']:.0%} intervals, relative to the control's value)")
    return "\n".join([*lines, *notes, *gap_lines(results)])


def ratio_line(results: Mapping[str, Any]) -> str:
    """Returns the cookies of each arm beside those expected, and whether they fit, in a sentence."""
    ratio = results["sample_ratio"]
    counts = ", ".join(
        f"{arm} {count:,} ({ratio['expected'][arm]:,.0f} expected)" for arm, count in ratio["counts"].items()
    )
    return f"{counts}; p = {ratio['p_value']:.3g}; {VOID if ratio['is_mismatch'] else 'as assigned'}"


def rows_line(results: Mapping[str, Any]) -> str:
    """Returns what became of the log's rows: those read are the sum of all others."""
    rows = results["rows"]
    others = ", ".join(f"{rows[name]:,} {name.replace('_', ' ')}" for name in rows if name != "read")
    return f"{rows['read']:,} read = {others}"


def gap_lines(results: Mapping[str, Any]) -> list[str]:
    """Returns a sentence for each kind of input that is missing."""
    of_hours = {f"hours without a folder of {name}": count for name, count in results["hours_without"].items()}
    missing = {"files that can't be read, and were left out": results["files_unreadable"], **of_hours}
    return [f"{what}: {count:,}" for what, count in missing.items() if count]


def verdict(comparison: Mapping[str, Any], metric: Mapping[str, Any]) -> str:
    """Returns `better` or `worse` if the interval that is valid at every look leaves out 0, else `open`."""
    low, high = comparison["anytime_low"], comparison["anytime_high"]
    if low is None or high is None or low <= 0 <= high:
        return "open"
    return "better" if (low > 0) == (metric["good"] == "up") else "worse"


def relative_interval(comparison: Mapping[str, Any], prefix: str = "") -> str:
    """Returns an interval relative to the control's value, such as `-1.20% to +3.40%`; empty if it is not known yet."""
    bounds = comparison[f"{prefix}low"], comparison[f"{prefix}high"]
    if None in bounds or not comparison["control"]:
        return ""
    return " to ".join(f"{bound / abs(comparison['control']):+.2%}" for bound in bounds)


def figure(value: float | None, form: str = ".5g") -> str:
    """Returns a figure as text, empty if it is not known."""
    return "" if value is None else f"{value:{form}}"


def _cells(row: Mapping[str, Any], results: Mapping[str, Any]) -> list[str]:
    intervals = [relative_interval(row), relative_interval(row, "anytime_")]
    return [
        *(figure(row[name]) for name in ("control", "treatment")),
        *(figure(row["relative"], "+.2%"), *intervals, figure(row["reduction"], ".0%")),
        verdict(row, results["metrics"][row["metric"]]),
    ]
