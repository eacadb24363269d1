"""Exploration: how items are drawn, and what is said of their probability."""

from __future__ import annotations

from math import exp, isclose
from typing import Any

import pytest
import xxhash
from hypothesis import given
from hypothesis import strategies as st
from test_lookup_routing import NAMES, flat, offers, scene, scenes, some_names

from bench import exploration as bench
from larder.lookup.answer.exploration import STEPS, Explorer, Pool, compose_explored, draw, drawn_place
from larder.lookup.answer.routes import FILLED, PERSONAL, ROUTES, SIMILAR, SKIPPED, USED
from larder.lookup.answer.routing import PickedItems, RouteOffer, compose
from larder.lookup.release.record_decoding import RankedList
from larder.settings import ExploreSettings

GRID = 1 << 14
policies = st.one_of(
    st.builds(ExploreSettings, policy=st.just("epsilon"), epsilon=st.floats(0.01, 1)),
    st.builds(ExploreSettings, policy=st.just("plackett_luce"), temperature=st.floats(0.001, 1000)),
)
drawn_scores = st.lists(st.floats(0.01, 100), min_size=1, max_size=8).map(lambda found: sorted(found, reverse=True))


def explorer(**settings: Any) -> Explorer:
    return Explorer(ExploreSettings(**settings), "salt")


@given(policies, drawn_scores)
def test_each_item_is_drawn_for_the_share_of_chances_that_its_propensity_says(
    settings: ExploreSettings, scores: list[float]
) -> None:
    of = Explorer(settings, "salt")
    pool = Pool(PickedItems(PERSONAL, list(range(len(scores))), list(scores)), of)
    found = [drawn_place(pool, of, number / GRID) for number in range(GRID)]
    propensities = dict(found)
    for place, propensity in propensities.items():
        share = sum(1 for each, _ in found if each == place) / GRID
        assert isclose(share, propensity, abs_tol=3 / GRID)
    # An item that no chance of the grid leads to is rarer than one of its steps.
    assert isclose(sum(propensities.values()), 1.0, abs_tol=len(scores) / GRID)


def test_epsilon_is_shared_by_all_and_the_best_gets_the_rest() -> None:
    of = explorer(policy="epsilon", epsilon=0.2)
    pool = Pool(PickedItems(PERSONAL, [7, 8, 9, 5], None), of)
    assert drawn_place(pool, of, 0.0) == (0, 0.8 + 0.2 / 4)
    assert drawn_place(pool, of, 0.11) == (2, 0.2 / 4)
    assert drawn_place(pool, of, 0.2) == (0, 0.8 + 0.2 / 4)


def test_plackett_luce_draws_by_relative_scores() -> None:
    of = explorer(policy="plackett_luce", temperature=0.5)
    pool = Pool(PickedItems(PERSONAL, [7, 8], [10.0, 2.0]), of)
    first, second = 1.0, exp((round(0.2 * STEPS) / STEPS - 1) / 0.5)
    place, propensity = drawn_place(pool, of, 0.0)
    assert (place, isclose(propensity, first / (first + second))) == (0, True)
    place, propensity = drawn_place(pool, of, 0.9999)
    assert (place, isclose(propensity, second / (first + second))) == (1, True)


def test_the_last_items_of_a_cold_temperature_still_have_a_probability() -> None:
    of = explorer(policy="plackett_luce", temperature=0.001)
    pool = Pool(PickedItems(PERSONAL, [1, 2], [1.0, 0.01]), of)
    pool.remove(0)
    assert drawn_place(pool, of, 0.5) == (1, 1.0)


@given(st.integers(1, 30), offers, some_names, some_names, scenes, policies, st.binary(min_size=1, max_size=20))
def test_an_explored_answer_has_the_same_length_and_outcomes_and_a_propensity_an_item(
    n: int, of_routes: Any, masked: Any, excluded: Any, of: Any, settings: ExploreSettings, request_id: bytes
) -> None:
    arguments = n, of, list(of_routes), NAMES, masked
    by = Explorer(settings, "salt")
    picked, outcomes = compose_explored(*arguments, set(excluded), by, request_id)
    items = [item for _, item in flat(picked)]
    assert len(set(items)) == len(items) <= n
    assert not set(items) & (masked | excluded)
    assert {item for _, item in flat(picked)} <= {
        NAMES[each] for o in of_routes if o.ranked for each in o.ranked.ordinals
    }
    for picks in picked:
        assert picks.propensities is not None and len(picks.propensities) == len(picks.ordinals)
        assert picks.scores is None or len(picks.scores) == len(picks.ordinals)
        assert all(0 < each <= 1 for each in picks.propensities)
    assert [each.route for each in outcomes.each] == [each.route for each in of_routes]
    assert compose_explored(*arguments, set(excluded), by, request_id)[1] is outcomes
    again = compose_explored(*arguments, set(excluded), by, request_id)[0]
    assert [(p.ordinals, p.propensities) for p in again] == [(p.ordinals, p.propensities) for p in picked]


@given(st.integers(1, 30), offers, some_names, some_names)
def test_where_nothing_explores_the_answer_is_the_usual_one(n: int, of_routes: Any, masked: Any, excluded: Any) -> None:
    by = explorer(policy="epsilon", positions=[999])
    usual, outcomes = compose(n, scene(), list(of_routes), NAMES, masked, set(excluded))
    picked, explored = compose_explored(n, scene(), list(of_routes), NAMES, masked, set(excluded), by, b"q")
    assert flat(picked) == flat(usual)
    assert explored is outcomes
    assert {each for picks in picked for each in picks.propensities or ()} <= {1.0}


def test_routes_fill_the_answer_in_their_order() -> None:
    given_offers = [
        RouteOffer(SIMILAR, RankedList([1, 2], [1.0, 0.5])),
        RouteOffer(PERSONAL, RankedList([2, 3], [1.0, 0.5])),
        RouteOffer(ROUTES[2], None, "no_generic_list"),
    ]
    by = explorer(policy="epsilon", epsilon=1.0, candidates=2)
    picked, outcomes = compose_explored(4, scene(), given_offers, NAMES, set(), set(), by, b"q")
    assert sorted(flat(picked)[:2]) == [(SIMILAR, NAMES[1]), (SIMILAR, NAMES[2])]
    assert flat(picked)[2:] == [(PERSONAL, NAMES[3])]
    assert [each.status for each in outcomes.each] == [USED, FILLED, SKIPPED]


def test_draws_are_the_hash_of_salt_and_request() -> None:
    # XXH64 of b"salt\x1fq" with seed 3, its upper 53 bits; a reader of a log can compute it anywhere.
    assert draw(b"salt\x1fq", 3) == (xxhash.xxh64_intdigest(b"salt\x1fq", 3) >> 11) * 2.0**-53


def test_only_a_share_of_visitors_explores() -> None:
    some = explorer(policy="epsilon", visitors=0.25)
    count = sum(some.explores_for(f"c{number}") for number in range(4000))
    assert abs(count - 1000) < 3 * (4000 * 0.25 * 0.75) ** 0.5
    assert explorer(policy="epsilon").explores_for("c1")


@pytest.mark.parametrize("policy", bench.POLICIES)
def test_draws_fit_their_propensities(policy: str) -> None:
    assert bench.check(policy, "one list", 20_000)


def test_a_wrong_propensity_does_not_fit() -> None:
    counts = {(0, 1): 5300, (1, 0): 4700}
    assert bench.fit(counts, {(0, 1): 0.5, (1, 0): 0.5}, 10_000)[0] < bench.LEAST_P
    assert bench.fit(counts, {(0, 1): 0.53, (1, 0): 0.47}, 10_000)[0] == 1.0
