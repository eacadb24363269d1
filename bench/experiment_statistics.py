"""Measures how often the statistics of experiments are wrong, on experiments whose truth is planted.

Cookies have unequal numbers of visits and tastes of their own, so that the visits of one are correlated. All shares are
of simulated experiments; a share may be off by three standard errors. It ends with 1 if a figure is out of its range.
"""

from __future__ import annotations

import argparse
import json
import math
import os
import sys
from collections.abc import Callable, Iterator
from concurrent.futures import ProcessPoolExecutor
from dataclasses import dataclass
from functools import cache, partial

import numpy as np
import numpy.typing as npt

from bench.simulated_experiments import (
    CLICKS,
    CLICKS_OF_EARLY_COOKIES,
    HOURS,
    REVENUE,
    Scenario,
    hourly_moments,
    simulated_visits,
)
from larder.models.experiments.comparison import compared
from larder.models.experiments.confidence_sequence import TYPICAL_VARIATION
from larder.models.experiments.moments import moments_of
from larder.models.experiments.power import Design, cookies_needed, squared_variation
from larder.models.experiments.sample_ratio import MISMATCH_BELOW, sample_ratio

LEVEL, LIFT, POWER = 0.95, 0.03, 0.8
PILOT_COOKIES, PILOT_SEED = 400_000, 7
DAY = 24
ERRORS = 3  # the standard errors by which a share may be off
SHARES, OFF_BY = 0.5, 0.005  # a point between the arms: 49.5% and 50.5%
MISMATCH_COOKIES, MISMATCH_POWER = 400_000, 0.99
CUPED_COOKIES, CORRELATIONS, REDUCTION_TOLERANCE = 2_000, (0.3, 0.6, 0.9), 0.005

Experiment = Callable[[int], tuple[float, ...]]  # from a seed
Run = Callable[[Experiment, int], npt.NDArray[np.float64]]  # so many experiments, a row each


@dataclass(frozen=True)
class Figure:
    """A measured figure, and the range that it must be in, if it must be in one."""

    name: str
    found: float
    low: float = -math.inf
    high: float = math.inf

    @property
    def is_right(self) -> bool:
        return self.low <= self.found <= self.high

    def __str__(self) -> str:
        return f"{self.name:<92} {self.found:>7.4f}  {self._wanted:<18} {'' if self.is_right else 'WRONG'}".rstrip()

    @property
    def _wanted(self) -> str:
        if math.isinf(self.low):
            return "" if math.isinf(self.high) else f"at most {self.high:.4f}"
        return f"at least {self.low:.4f}" if math.isinf(self.high) else f"{self.low:.4f} to {self.high:.4f}"


def margin(share: float, runs: int) -> float:
    """Returns by how much the share of so many runs may differ from the true one: three standard errors."""
    return ERRORS * math.sqrt(share * (1 - share) / runs)


@cache
def pilot_variation(scenario: Scenario) -> float:
    """Returns the squared variation over a whole experiment, from one large experiment without an effect."""
    visits = simulated_visits(np.random.default_rng(PILOT_SEED), PILOT_COOKIES, scenario)
    control, treatment = hourly_moments(visits, scenario)
    return squared_variation(control[-1] + treatment[-1])


def false_alarms(scenario: Scenario, cookies: int, variation: float, seed: int) -> tuple[float, ...]:
    """Returns whether arms that are the same ever differed, looked at hourly.

    That is by the sequence planned with `variation`, by the one planned with TYPICAL_VARIATION, by the fixed test at
    the end, and by the fixed test at any hour.
    """
    arms = hourly_moments(simulated_visits(np.random.default_rng(seed), cookies, scenario), scenario)
    looks = [compared(control, treatment, cookies, LEVEL, variation) for control, treatment in zip(*arms, strict=True)]
    typical = [compared(control, treatment, cookies, LEVEL) for control, treatment in zip(*arms, strict=True)]
    fixed = [not look.low <= 0 <= look.high for look in looks]
    return (
        any(not look.anytime_low <= 0 <= look.anytime_high for look in looks),
        any(not look.anytime_low <= 0 <= look.anytime_high for look in typical),
        fixed[-1],
        any(fixed),
    )


def finds(cookies: int, variation: float, seed: int) -> tuple[float, ...]:
    """Returns whether a planted effect is found by the fixed test at the end, by the sequence on any day, and when.

    When is the part of the planned time at which the sequence found it; 1 where it did not.
    """
    visits = simulated_visits(np.random.default_rng(seed), cookies, CLICKS, LIFT)
    control, treatment = hourly_moments(visits, CLICKS)
    days = range(DAY - 1, HOURS, DAY)
    looks = [compared(control[hour], treatment[hour], cookies, LEVEL, variation) for hour in days]
    found = [look.anytime_low > 0 for look in looks]
    return looks[-1].low > 0, any(found), (found.index(True) + 1) / len(found) if any(found) else 1.0


def mismatches(share: float, seed: int) -> tuple[float, ...]:
    """Returns whether so many cookies, of which `share` went to the control, don't fit arms of equal size."""
    control = int(np.random.default_rng(seed).binomial(MISMATCH_COOKIES, share))
    counts = {"control": control, "treatment": MISMATCH_COOKIES - control}
    return (sample_ratio(counts, {"control": SHARES, "treatment": SHARES}).is_mismatch,)


def adjusted(correlation: float, seed: int) -> tuple[float, ...]:
    """Returns the difference of equal arms without and with CUPED, and the reduction that is reported.

    A cookie's figure correlates with that from before its start by `correlation`.
    """
    draw = np.random.default_rng(seed)
    x, noise = draw.standard_normal((2, CUPED_COOKIES))
    y = correlation * x + math.sqrt(1 - correlation**2) * noise
    ones = np.ones(CUPED_COOKIES)
    rows = np.stack([10 + y, ones, 10 + x, ones], axis=1)
    control, treatment = np.split(rows, 2)
    found = compared(moments_of(control), moments_of(treatment), CUPED_COOKIES)
    return found.treatment - found.control, found.difference, found.reduction


def figures_of_false_alarms(run: Run, runs: int, cookies: int) -> Iterator[Figure]:
    for scenario in (CLICKS, CLICKS_OF_EARLY_COOKIES, REVENUE):
        variation = pilot_variation(scenario)
        planned, typical, fixed, peeked = run(partial(false_alarms, scenario, cookies, variation), runs).mean(axis=0)
        wrong, off = 1 - LEVEL, margin(1 - LEVEL, runs)
        what = f"A/A, {scenario.name} (variation {variation:.1f}):"
        yield Figure(f"{what} sequence, any hour", planned, high=wrong + off)
        yield Figure(
            f"{what} sequence, any hour, for a variation of {TYPICAL_VARIATION:.0f}", typical, high=wrong + off
        )
        yield Figure(f"{what} fixed, at the end", fixed, wrong - off, wrong + off)
        yield Figure(f"{what} fixed, any hour: not to be used so", peeked)


def figures_of_power(run: Run, runs: int) -> Iterator[Figure]:
    variation = pilot_variation(CLICKS)
    off = margin(POWER, runs)
    for design in (Design(power=POWER, level=LEVEL), Design(power=POWER, level=LEVEL, is_anytime=True)):
        cookies = math.ceil(cookies_needed(variation, LIFT, design))
        fixed, anytime, when = run(partial(finds, cookies, variation), runs).mean(axis=0)
        what = f"{LIFT:+.0%}, {cookies:,} cookies as planned for {'any time' if design.is_anytime else 'one look'}:"
        least = POWER - off
        yield Figure(f"{what} fixed, at the end", fixed, least, math.inf if design.is_anytime else POWER + off)
        yield Figure(f"{what} sequence, any day", anytime, least if design.is_anytime else -math.inf)
        yield Figure(f"{what} sequence, part of the time it takes", when)


def figures_of_mismatches(run: Run, runs: int) -> Iterator[Figure]:
    sound, off = (run(partial(mismatches, share), runs).mean() for share in (SHARES, SHARES - OFF_BY))
    what = f"sample ratio, {MISMATCH_COOKIES:,} cookies:"
    yield Figure(f"{what} {SHARES - OFF_BY:.1%} beside {SHARES + OFF_BY:.1%} reported", off, low=MISMATCH_POWER)
    most = MISMATCH_BELOW + margin(MISMATCH_BELOW, runs)
    yield Figure(f"{what} {SHARES:.1%} beside {SHARES:.1%} reported", sound, high=most)


def figures_of_cuped(run: Run, runs: int) -> Iterator[Figure]:
    for correlation in CORRELATIONS:
        without, difference, reduction = run(partial(adjusted, correlation), runs).T
        expected = 1 - correlation**2
        # The relative standard error of the ratio of variances of estimates that correlate by sqrt(1 - correlation^2).
        off = expected * ERRORS * 2 * correlation / math.sqrt(runs)
        what = f"CUPED, correlation {correlation}:"
        low, high = expected - REDUCTION_TOLERANCE, expected + REDUCTION_TOLERANCE
        yield Figure(f"{what} variance left, as reported", 1 - reduction.mean(), low, high)
        left = difference.var() / without.var()
        yield Figure(f"{what} variance left, of the differences", left, expected - off, expected + off)


def figures(run: Run, runs: int, cookies: int) -> Iterator[Figure]:
    yield from figures_of_false_alarms(run, runs, cookies)
    yield from figures_of_power(run, runs)
    yield from figures_of_mismatches(run, runs)
    yield from figures_of_cuped(run, runs)


def main() -> None:
    parser = argparse.ArgumentParser(prog="python -m bench.experiment_statistics", description=__doc__)
    parser.add_argument("--experiments", type=int, default=2000, help="of each kind (default: %(default)s)")
    parser.add_argument("--cookies", type=int, default=10_000, help="of an A/A experiment (default: %(default)s)")
    parser.add_argument("--seed", type=int, default=1_000_000, help="of the first experiment (default: %(default)s)")
    parser.add_argument("--processes", type=int, default=os.cpu_count(), help="(default: %(default)s)")
    arguments = parser.parse_args()
    found: list[Figure] = []
    with ProcessPoolExecutor(arguments.processes) as pool:

        def run(experiment: Experiment, runs: int) -> npt.NDArray[np.float64]:
            seeds = range(arguments.seed, arguments.seed + runs)
            return np.array(list(pool.map(experiment, seeds, chunksize=10)), np.float64)

        for figure in figures(run, arguments.experiments, arguments.cookies):
            print(figure, flush=True)
            found.append(figure)
    more = {"experiments": arguments.experiments, "cookies": arguments.cookies}
    print(json.dumps({"bench": "experiment_statistics", **more, "figures": {each.name: each.found for each in found}}))
    sys.exit(int(not all(each.is_right for each in found)))


if __name__ == "__main__":
    main()
