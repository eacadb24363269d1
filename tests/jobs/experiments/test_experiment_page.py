"""What the page and the text of a report show of results."""

from __future__ import annotations

from typing import Any

import pytest

from larder.jobs.experiments.arm_moments import ALL, OF_COUNTS, PAIRS, SEGMENTS, ArmSums, SegmentKey
from larder.jobs.experiments.experiment_page import experiment_page
from larder.jobs.experiments.experiment_results import MOST_SEGMENTS, Outcome, results
from larder.jobs.experiments.experiment_summary import experiment_summary, relative_interval, verdict
from larder.settings import ArmSettings, ExperimentSettings, MetricSettings, ReportSettings

UNITS = 10_000
LOCATION = SEGMENTS[1]
METRICS = {
    "purchases": MetricSettings(event_types=["purchase"], once=True),
    "views": MetricSettings(event_types=["view"], once=True, good="down"),
}


def sums_of(share: float) -> ArmSums:
    """Of UNITS units the share has a one, and the others a zero."""
    ones = round(share * UNITS)
    products = {(0, 0): ones, (0, 1): ones, (1, 1): UNITS}
    return ArmSums(UNITS, (ones, UNITS, 0, 0, *(products.get(pair, 0) for pair in PAIRS), 0))


def outcome(shares: dict[str, float], segments: tuple[str, ...] = (), **arms: float) -> Outcome:
    """An experiment whose arms have these shares of buyers and viewers, in all and in each segment."""
    places = [(ALL, ALL), *((LOCATION, segment) for segment in segments)]
    sums = {
        SegmentKey(arm, *at, name): sums_of(share) for arm, share in shares.items() for at in places for name in METRICS
    }
    counts = {SegmentKey(arm, *at, OF_COUNTS): ArmSums(UNITS, (UNITS, UNITS, 0, 0)) for arm in shares for at in places}
    settings = {arm: ArmSettings(share=arms.get(arm, 0.3)) for arm in dict.fromkeys((*shares, *arms))}
    report = ReportSettings(standard_metrics=False, metrics=METRICS)
    return Outcome({**sums, **counts}, ExperimentSettings(arms=settings), report, hours=48)


def complete(found: dict[str, Any]) -> dict[str, Any]:
    """Results with what the job says of itself."""
    rows = {"read": 3 * UNITS, "used": 2 * UNITS, "moved": 0, "forced": UNITS, "not_in_experiment": 0}
    said = {"start": "2026-11-01T00", "end": "2026-11-03T00", "within_hours": 24, "before_hours": 0, "unit": "cookie"}
    return {
        "experiment": "lists",
        "control": "control",
        "level": 0.95,
        "rows": rows,
        "files_unreadable": 0,
        "hours_without": {"log": 0, "events": 5},
        **said,
        **found,
    }


def test_a_difference_is_better_or_worse_as_the_metric_says_what_is_good() -> None:
    found = complete(results(outcome({"control": 0.1, "new": 0.15})))
    page = experiment_page(found)
    assert [verdict(row, found["metrics"][row["metric"]]) for row in found["comparisons"]] == ["better", "worse"]
    assert '<td class="better">better</td>' in page and '<td class="worse">worse</td>' in page
    assert page.count("<svg") == 1
    assert "+50.00%" in page and "+50.00%" in experiment_summary(found)


def test_missing_hours_are_told() -> None:
    found = complete(results(outcome({"control": 0.1, "new": 0.15})))
    line = "hours without a folder of events: 5"
    assert line in experiment_page(found) and experiment_summary(found).endswith(line)
    assert "folder of log" not in experiment_summary(found)


def test_no_difference_stays_open() -> None:
    [row, _] = complete(results(outcome({"control": 0.1, "new": 0.1})))["comparisons"]
    assert verdict(row, {"good": "up"}) == "open"
    assert relative_interval(row).startswith("-") and " to +" in relative_interval(row)


def test_each_treatment_has_a_plot_and_the_first_arm_is_the_control() -> None:
    found = complete(results(outcome({"control": 0.1, "new": 0.1, "other": 0.12})))
    assert [(row["control_arm"], row["treatment_arm"]) for row in found["comparisons"]] == [
        ("control", "new"), ("control", "new"), ("control", "other"), ("control", "other"),
    ]  # fmt: skip
    assert experiment_page(found).count("<svg") == 2


def test_an_arm_that_the_settings_do_not_have_is_a_mismatch() -> None:
    made = outcome({"control": 0.1, "new": 0.1})
    stray = {SegmentKey("stray", ALL, ALL, OF_COUNTS): ArmSums(1, (1, 1, 0, 0))}
    found = complete(results(Outcome({**made.sums, **stray}, made.experiment, made.report, made.hours)))
    assert found["arms"]["stray"] == {
        "share": 0.0, "units": 1, "impressions": 1, "requests": 1, "moved": 0, "moved_units": 0,
    }  # fmt: skip
    assert found["sample_ratio"]["is_mismatch"]
    assert "MISMATCH" in experiment_summary(found)


def test_an_arm_without_a_share_is_not_compared() -> None:
    found = results(outcome({"control": 0.1, "new": 0.1}, closed=0.0))
    assert {row["treatment_arm"] for row in found["comparisons"]} == {"new"}


def test_an_arm_without_visitors_cannot_be_compared_yet() -> None:
    made = outcome({"control": 0.1, "new": 0.1}, late=0.000001)
    found = results(made)
    late = [row for row in found["comparisons"] if row["treatment_arm"] == "late"]
    assert [(row["treatment"], row["low"], row["p_value"]) for row in late] == [(None, None, 1.0)] * 2
    assert [row["at_one_look"] for row in found["power"] if row["treatment_arm"] == "late"] == [None, None]


@pytest.mark.parametrize("name", ["<script>alert(1)</script>", "a$b$", "{{ r }}", "& co", ""])
def test_names_of_segments_are_text(name: str) -> None:
    page = experiment_page(complete(results(outcome({"control": 0.1, "new": 0.15}, (name, "s2")))))
    assert "<script" not in page
    shown = {"<script>alert(1)</script>": "&lt;script&gt;alert(1)&lt;/script&gt;", "& co": "&amp; co", "": "(none)"}
    assert f"location {shown.get(name, name)}</td>" in page


def test_of_many_segments_the_smaller_ones_are_left_out() -> None:
    names = tuple(f"s{number:03}" for number in range(MOST_SEGMENTS + 3))
    found = complete(results(outcome({"control": 0.1, "new": 0.15}, names)))
    assert {row["segment"] for row in found["segments"]} == set(names[:MOST_SEGMENTS])
    assert found["segments_left_out"] == {"visitor": 0, LOCATION: 3, "device": 0}
    assert "3 smaller segments of location are left out" in experiment_page(found)


def test_one_segment_says_nothing_that_the_whole_does_not() -> None:
    assert results(outcome({"control": 0.1, "new": 0.15}, ("s1",)))["segments"] == []
