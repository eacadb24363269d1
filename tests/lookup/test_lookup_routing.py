"""Which products an answer holds, whatever the lists are."""

from __future__ import annotations

from collections.abc import Sequence

from hypothesis import given
from hypothesis import strategies as st

from lookup.reasons import NOT_NEEDED, NOTHING_NEW, REDIS_DOWN, UNKNOWN_COOKIE
from lookup.records import Ranked
from lookup.routing import FILLED, ROUTES, SKIPPED, USED, Offer, Outcome, compose, round_robin

NAMES = [b'"p%d"' % ordinal for ordinal in range(40)]


@st.composite
def ranked_lists(draw: st.DrawFn) -> Ranked:
    ordinals = draw(st.lists(st.integers(0, len(NAMES) - 1), unique=True, max_size=15))
    scored = draw(st.booleans())
    return Ranked(ordinals, [1 / rank for rank in range(1, len(ordinals) + 1)] if scored else None)


offers = st.tuples(
    *(
        st.one_of(
            st.builds(Offer, st.just(route), ranked_lists()),
            st.builds(Offer, st.just(route), st.none(), st.sampled_from([REDIS_DOWN, UNKNOWN_COOKIE])),
        )
        for route in ROUTES
    )
)
asked_names = st.frozensets(st.sampled_from(NAMES), max_size=5)


@given(st.integers(1, 30), offers, asked_names)
def test_an_answer_has_no_product_twice_none_asked_and_no_more_than_n(
    n: int, given_offers: Sequence[Offer], asked: frozenset[bytes]
) -> None:
    picks, outcomes = compose(n, given_offers, NAMES, asked)
    ordinals = [ordinal for ordinal, _, _ in picks]
    assert len(ordinals) == len(set(ordinals)) <= n
    assert not asked & {NAMES[ordinal] for ordinal in ordinals}
    assert [outcome.route for outcome in outcomes] == list(ROUTES)


@given(st.integers(1, 30), offers, asked_names)
def test_routes_come_in_order_and_so_do_their_products(
    n: int, given_offers: Sequence[Offer], asked: frozenset[bytes]
) -> None:
    picks, _ = compose(n, given_offers, NAMES, asked)
    routes = [route for _, _, route in picks]
    assert routes == sorted(routes, key=ROUTES.index)
    for offer in given_offers:
        taken = [ordinal for ordinal, _, route in picks if route == offer.route]
        assert taken == [each for each in (offer.ranked.ordinals if offer.ranked else ()) if each in taken]


@given(st.integers(1, 30), offers, asked_names)
def test_an_answer_is_short_only_where_all_routes_are_exhausted(
    n: int, given_offers: Sequence[Offer], asked: frozenset[bytes]
) -> None:
    picks, _ = compose(n, given_offers, NAMES, asked)
    there = {ordinal for offer in given_offers if offer.ranked for ordinal in offer.ranked.ordinals}
    wanted = {ordinal for ordinal in there if NAMES[ordinal] not in asked}
    assert len(picks) == min(n, len(wanted))


@given(st.integers(1, 30), offers, asked_names)
def test_the_outcome_says_what_each_route_gave(n: int, given_offers: Sequence[Offer], asked: frozenset[bytes]) -> None:
    picks, outcomes = compose(n, given_offers, NAMES, asked)
    giving = sorted({route for _, _, route in picks}, key=ROUTES.index)
    for offer, outcome in zip(given_offers, outcomes, strict=True):
        if offer.route in giving:
            assert outcome.status == (USED if offer.route == giving[0] else FILLED)
        else:
            assert outcome.status == SKIPPED
            assert outcome.reason in {offer.reason, NOT_NEEDED, NOTHING_NEW} - {""}


def test_the_level_is_told_only_of_a_list_that_was_used() -> None:
    full = Offer("similar", Ranked([1], None))
    generic = Offer("generic", Ranked([1, 2], None), level="device")
    assert compose(1, [full, generic], NAMES)[1][1] == Outcome("generic", SKIPPED, NOT_NEEDED, "")
    assert compose(2, [full, generic], NAMES)[1][1] == Outcome("generic", FILLED, "", "device")


@given(st.lists(ranked_lists(), min_size=1, max_size=5))
def test_round_robin_takes_each_product_once_at_its_best_rank(lists: Sequence[Ranked]) -> None:
    merged = round_robin(lists)
    best = {}
    for turn, ranked in enumerate(lists):
        for rank, ordinal in enumerate(ranked.ordinals):
            best[ordinal] = min(best.get(ordinal, (rank, turn)), (rank, turn))
    assert list(merged.ordinals) == sorted(best, key=best.__getitem__)


def test_round_robin_keeps_each_score_with_its_product() -> None:
    merged = round_robin([Ranked([1, 2], [0.5, 0.25]), Ranked([3, 1], None)])
    assert merged == Ranked([1, 3, 2], [0.5, None, 0.25])
