"""Checks that items are drawn as often as their logged propensities say, by the chi-square test, and prints it.

For each policy, requests are answered until there are --draws draws. The probability of an answer is the product of
its propensities. Also checked: the propensities of all items for a position sum up to 1, another process draws the same
answers, and the arms of two layers are independent. Ends with status 1 if anything does not hold.
"""

from __future__ import annotations

import argparse
import itertools
import subprocess
import sys
import time
from collections import Counter
from collections.abc import Callable, Mapping
from math import prod

import numpy as np
import xxhash
from scipy.stats import chi2_contingency, chisquare

from larder.experiments.assignment import arm_at, assignment_number, segments_of
from larder.lookup.answer.exploration import Explorer, compose_explored
from larder.lookup.answer.routes import ROUTES
from larder.lookup.answer.routing import RouteOffer
from larder.lookup.answer.scenes import Scene, Step
from larder.lookup.release.record_decoding import RankedList
from larder.settings import ExploreSettings

ITEMS, N = 6, 4
NAMES = [b'"p%d"' % number for number in range(2 * ITEMS)]
LIST = RankedList(list(range(ITEMS)), [1.0, 0.8, 0.75, 0.5, 0.2, 0.1])
OTHER = RankedList([3, 8, 0, 9], [9.0, 5.0, 4.0, 1.0])
POLICIES: Mapping[str, ExploreSettings] = {
    "epsilon 0.2": ExploreSettings(policy="epsilon", epsilon=0.2),
    "epsilon 1": ExploreSettings(policy="epsilon", epsilon=1.0),
    "Plackett-Luce 0.1": ExploreSettings(policy="plackett_luce", temperature=0.1),
    "Plackett-Luce 1": ExploreSettings(policy="plackett_luce", temperature=1.0),
    "Plackett-Luce 0.3, positions 1 and 3": ExploreSettings(policy="plackett_luce", temperature=0.3, positions=[1, 3]),
}
SCENES = {
    "one list": Scene("one", [Step(ROUTES[0], N, 1.0)], False, N),
    "two lists by turns": Scene("two", [Step(ROUTES[0], N, 1.0), Step(ROUTES[1], N, 1.0)], True, N),
}
LEAST_P = 1e-4  # a fit is refused below this; with 12 tests, one in 800 runs is refused by chance
LEAST_EXPECTED = 5.0
UNSEEN = 20.0
ROUNDING = 1e-9
SAME = 20_000  # requests that another process answers too
COOKIES = 1_000_000
Answer = tuple[tuple[int, ...], tuple[float, ...]]


def main() -> None:
    parser = argparse.ArgumentParser(prog="python -m bench.exploration", description=__doc__)
    parser.add_argument("--draws", type=float, default=1e7, help="draws of each policy (default: 10 million)")
    parser.add_argument("--digest", action="store_true", help=argparse.SUPPRESS)
    arguments = parser.parse_args()
    if arguments.digest:
        print(digest())
        return
    fits = [check(name, scene, int(arguments.draws)) for name in POLICIES for scene in SCENES]
    fits += [same_in_another_process(), layers_are_independent(COOKIES)]
    sys.exit(0 if all(fits) else 1)


def answers(policy: str, scene: str) -> Callable[[int], Answer]:
    """Returns a function from a request's number to the items of its answer and their propensities."""
    explorer = Explorer(POLICIES[policy], "salt")
    of = SCENES[scene]

    def answer(number: int) -> Answer:
        offers = [RouteOffer(step.route, each) for step, each in zip(of.steps, (LIST, OTHER), strict=False)]
        picked, _ = compose_explored(N, of, offers, NAMES, set(), set(), explorer, b"request-%d" % number)
        items = tuple(ordinal for picks in picked for ordinal in picks.ordinals)
        return items, tuple(each for picks in picked for each in picks.propensities or ())

    return answer


def check(policy: str, scene: str, draws: int) -> bool:
    """Prints how well the answers of one policy fit; returns whether they do."""
    began, answer = time.perf_counter(), answers(policy, scene)
    positions = POLICIES[policy].positions
    requests = draws // (len(positions) or N)
    counts: Counter[tuple[int, ...]] = Counter()
    known: dict[tuple[int, ...], tuple[float, ...]] = {}
    for number in range(requests):
        items, propensities = answer(number)
        counts[items] += 1
        if known.setdefault(items, propensities) != propensities:
            print(f"{policy}: two answers of the same items have different propensities")
            return False
    p_value, cells = fit(counts, {items: prod(each) for items, each in known.items()}, requests)
    sums = sums_by_position(known, counts)
    holds = p_value >= LEAST_P and sums
    print(
        f"{policy}, {scene}: {requests:,} requests, {len(known)} different answers, {cells} cells, p = {p_value:.3f}; "
        f"propensities {'sum' if sums else 'DO NOT SUM'} up to 1 at every position; {time.perf_counter() - began:.0f} s"
        f"{'' if holds else '  DOES NOT FIT'}"
    )
    return holds


def fit(
    counts: Mapping[tuple[int, ...], int], probabilities: Mapping[tuple[int, ...], float], requests: int
) -> tuple[float, int]:
    """Returns the p-value of the chi-square test, and its number of cells; rare answers, and those never seen, are one.

    Without a second cell there is nothing to test, and the p-value is 1.
    """
    expected = {items: each * requests for items, each in probabilities.items()}
    common = sorted(items for items, each in expected.items() if each >= LEAST_EXPECTED)
    seen = [counts[items] for items in common]
    wanted = [expected[items] for items in common]
    rest = requests - sum(wanted)
    if rest >= LEAST_EXPECTED:
        seen.append(requests - sum(seen))
        wanted.append(rest)
    if len(seen) < 2:
        return 1.0, len(seen)
    scaled = np.array(wanted) * (sum(seen) / sum(wanted))
    return float(chisquare(seen, scaled).pvalue), len(seen)


def sums_by_position(known: Mapping[tuple[int, ...], tuple[float, ...]], counts: Mapping[tuple[int, ...], int]) -> bool:
    """Do the propensities of the items that follow the same items sum up to 1?

    An item that was never drawn is missing in the sum. In `count` draws, items with more than UNSEEN / count of the
    probability stay unseen with a probability of exp(-UNSEEN).
    """
    following: dict[tuple[int, ...], dict[int, float]] = {}
    draws: Counter[tuple[int, ...]] = Counter()
    for items, propensities in known.items():
        for position, propensity in enumerate(propensities):
            following.setdefault(items[:position], {})[items[position]] = propensity
            draws[items[:position]] += counts[items]
    sums = {before: sum(each.values()) for before, each in following.items()}
    return all(1.0 - UNSEEN / draws[before] <= each <= 1.0 + ROUNDING for before, each in sums.items())


def digest() -> str:
    """Returns a digest of many answers of every policy."""
    told = xxhash.xxh64()
    for policy, scene in itertools.product(POLICIES, SCENES):
        answer = answers(policy, scene)
        for number in range(SAME):
            told.update(repr(answer(number)).encode())
    return told.hexdigest()


def same_in_another_process() -> bool:
    """Prints whether another process gives the same answers; returns it."""
    command = [sys.executable, "-m", "bench.exploration", "--digest"]
    other = subprocess.run(command, capture_output=True, text=True, check=True).stdout.strip()
    same = other == digest()
    print(f"another process gives {'the same' if same else 'OTHER'} answers to {SAME:,} requests of each policy")
    return same


def layers_are_independent(cookies: int) -> bool:
    """Prints the chi-square test of independence of the arms in two layers; returns whether they are independent."""
    segments = segments_of({"a": 0.5, "b": 0.3, "c": 0.2})
    table: Counter[tuple[str, str]] = Counter()
    for number in range(cookies):
        first, second = (arm_at(segments, assignment_number("salt", layer, f"c{number}")) for layer in ("one", "two"))
        table[first, second] += 1
    p_value = float(chi2_contingency([[table[one, two] for two in "abc"] for one in "abc"]).pvalue)
    print(f"the arms of {cookies:,} cookies in two layers: independent with p = {p_value:.3f}")
    return p_value >= LEAST_P


if __name__ == "__main__":
    main()
