"""The results of an experiment as plain values: its sample ratio, and each metric of its arms compared."""

from __future__ import annotations

import math
from collections.abc import Iterator, Mapping
from dataclasses import asdict, dataclass
from typing import Any

import numpy as np

from larder.jobs.experiments.arm_moments import ALL, COUNTS, OF_COUNTS, SEGMENTS, ArmSums, SegmentKey
from larder.models.experiments.comparison import compared
from larder.models.experiments.false_discoveries import false_discovery_rates
from larder.models.experiments.moments import QUANTITIES, Moments, moments_of
from larder.models.experiments.power import Design, cookies_needed, days_needed, detectable_effect, squared_variation
from larder.models.experiments.sample_ratio import sample_ratio
from larder.models.hours import HOURS_A_DAY
from larder.settings import ExperimentSettings, MetricSettings, ReportSettings

MOST_SEGMENTS = 20  # of each dimension, those with most units
POWER = 0.8
NOBODY = moments_of(np.zeros((0, len(QUANTITIES))))
Sums = Mapping[SegmentKey, ArmSums]


@dataclass(frozen=True)
class Outcome:
    """What the statistics are computed from: the sums, the settings, and the window's length in hours."""

    sums: Sums
    experiment: ExperimentSettings
    report: ReportSettings
    hours: int

    @property
    def control(self) -> str:
        """The first arm of the settings."""
        return next(iter(self.experiment.arms))

    @property
    def treatments(self) -> list[str]:
        """The other arms that have a share or units."""
        arms = [arm for arm, settings in self.experiment.arms.items() if settings.share or self.units(arm)]
        return [arm for arm in arms if arm != self.control]

    def units(self, arm: str, dimension: str = ALL, segment: str = ALL) -> int:
        """Returns the number of units of an arm, or of its segment."""
        found = self.sums.get(SegmentKey(arm, dimension, segment, OF_COUNTS))
        return found.units if found else 0

    def total(self, count: str) -> int:
        """Returns the total of one of COUNTS over all arms."""
        place = COUNTS.index(count)
        rows = [each for key, each in self.sums.items() if key.dimension == ALL and key.metric == OF_COUNTS]
        return sum(row.sums[place] for row in rows)

    def moments(self, arm: str, metric: str, dimension: str = ALL, segment: str = ALL) -> Moments | None:
        """Returns the moments of a metric in an arm, or in its segment; None without units."""
        found = self.sums.get(SegmentKey(arm, dimension, segment, metric))
        return found.moments(self.report.all_metrics()[metric]) if found else None


def results(outcome: Outcome) -> dict[str, Any]:
    """Returns the results. Without any difference if the sample ratio is wrong: it would mean nothing."""
    arms = _arms(outcome)
    counts = {arm: each["units"] for arm, each in arms.items()}
    shares = {arm: settings.share for arm, settings in outcome.experiment.arms.items() if settings.share}
    ratio = sample_ratio(counts, shares)
    metrics = {name: _metric(outcome, name, metric) for name, metric in outcome.report.all_metrics().items()}
    measured = [name for name, metric in metrics.items() if not metric["note"]]
    found: dict[str, Any] = {"arms": arms, "sample_ratio": asdict(ratio), "metrics": metrics}
    if ratio.is_mismatch:
        found |= {"comparisons": [], "segments": [], "power": []}
    else:
        comparisons = [_comparison(outcome, name, arm) for arm in outcome.treatments for name in measured]
        found |= {"comparisons": comparisons, "segments": _segments(outcome, measured)}
        found["power"] = [_power(outcome, name, arm) for arm in outcome.treatments for name in measured]
    found["segments_left_out"] = {dimension: len(_of_dimension(outcome, dimension)[1]) for dimension in SEGMENTS}
    finite: dict[str, Any] = _finite(found)
    return finite


def _arms(outcome: Outcome) -> dict[str, dict[str, Any]]:
    """Returns the counts of each arm, those of the settings first, then others that the log names."""
    named = sorted({key.arm for key in outcome.sums if key.dimension == ALL} - set(outcome.experiment.arms))
    arms = {}
    for arm in (*outcome.experiment.arms, *named):
        counted = outcome.sums.get(SegmentKey(arm, ALL, ALL, OF_COUNTS), ArmSums(0, (0,) * len(COUNTS)))
        settings = outcome.experiment.arms.get(arm)
        counts = dict(zip(COUNTS, counted.sums, strict=False))
        arms[arm] = {"share": settings.share if settings else 0.0, "units": counted.units, **counts}
    return arms


def _metric(outcome: Outcome, name: str, metric: MetricSettings) -> dict[str, Any]:
    """Returns what a metric is, its value in each arm, and a note if there is nothing to compare."""
    arms = [arm for arm in outcome.experiment.arms if outcome.moments(arm, name)]
    note = ""
    if metric.value and not any(outcome.sums[SegmentKey(arm, ALL, ALL, name)].valued_events for arm in arms):
        types = " or ".join(metric.event_types)
        note = f"no {types} that counts here has a value in the column {metric.value} of the events"
    values = {arm: moments.ratio() for arm in arms if (moments := outcome.moments(arm, name)) is not None}
    return {**metric.model_dump(), "attribution": metric.attributed_by, "note": note, "arms": {} if note else values}


def _comparison(outcome: Outcome, metric: str, arm: str, dimension: str = ALL, segment: str = ALL) -> dict[str, Any]:
    control, treatment = (
        outcome.moments(each, metric, dimension, segment) or NOBODY for each in (outcome.control, arm)
    )
    found = compared(control, treatment, outcome.report.planned_cookies, outcome.report.level)
    names = {"metric": metric, "treatment_arm": arm, "control_arm": outcome.control}
    return {**names, "units": {outcome.control: control.n, arm: treatment.n}, **asdict(found)}


def _segments(outcome: Outcome, metrics: list[str]) -> list[dict[str, Any]]:
    """Returns the comparisons by segment, with the false discovery rate over all of them."""
    rows = [
        {"dimension": dimension, "segment": segment, **_comparison(outcome, name, arm, dimension, segment)}
        for dimension, segment in _reported(outcome)
        for arm in outcome.treatments
        for name in metrics
    ]
    rates = false_discovery_rates([row["p_value"] for row in rows])
    return [{**row, "false_discovery_rate": rate} for row, rate in zip(rows, rates, strict=True)]


def _reported(outcome: Outcome) -> Iterator[tuple[str, str]]:
    for dimension in SEGMENTS:
        yield from ((dimension, segment) for segment in _of_dimension(outcome, dimension)[0])


def _of_dimension(outcome: Outcome, dimension: str) -> tuple[list[str], list[str]]:
    """Returns the segments that are reported, those with most units first, and those that are not.

    One segment alone would say again what all units say.
    """
    units: dict[str, int] = {}
    for key, each in outcome.sums.items():
        if key.dimension == dimension and key.metric == OF_COUNTS:
            units[key.segment] = units.get(key.segment, 0) + each.units
    names = sorted(units, key=lambda name: (-units[name], name))
    return (names[:MOST_SEGMENTS], names[MOST_SEGMENTS:]) if len(names) > 1 else ([], [])


def _power(outcome: Outcome, metric: str, arm: str) -> dict[str, Any]:
    """Returns what effect could be found now, and how long it takes to find the least one that matters."""
    control, treated = outcome.units(outcome.control), outcome.units(arm)
    moments = outcome.moments(outcome.control, metric)
    effect = outcome.report.all_metrics()[metric].least_effect
    found: dict[str, Any] = {"metric": metric, "treatment_arm": arm, "least_effect": effect, "power": POWER}
    if moments is None or not treated:
        return {**found, "at_one_look": None, "at_every_look": None}
    variation, units = squared_variation(moments), control + treated
    for name, is_anytime in (("at_one_look", False), ("at_every_look", True)):
        design = Design(treated / units, POWER, outcome.report.level, is_anytime)
        needed = cookies_needed(variation, effect, design)
        found[name] = {
            "detectable_effect": detectable_effect(variation, units, design),
            "units_needed": needed,
            "days_needed": days_needed(needed, units, units * HOURS_A_DAY / outcome.hours),
        }
    return found


def _finite(value: Any) -> Any:
    """Returns the same with None for what is infinite or no number: JSON knows neither."""
    if isinstance(value, dict):
        return {name: _finite(each) for name, each in value.items()}
    if isinstance(value, list):
        return [_finite(each) for each in value]
    return None if isinstance(value, float) and not math.isfinite(value) else value
