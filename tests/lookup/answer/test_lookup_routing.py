"""Which products an answer holds, whatever the lists, masks and scenes are."""

from __future__ import annotations

from collections.abc import Sequence

from hypothesis import given
from hypothesis import strategies as st

from larder.lookup.answer.reasons import CORRUPT_RECORD, NOT_NEEDED, NOTHING_NEW, REDIS_DOWN, UNKNOWN_COOKIE
from larder.lookup.answer.routes import FILLED, ROUTES, SKIPPED, USED
from larder.lookup.answer.routing import (
    NO_OUTCOMES,
    PickedItems,
    RouteOffer,
    RouteOutcome,
    compose,
    has_twice,
    round_robin,
)
from larder.lookup.answer.scenes import Scene, Step
from larder.lookup.release.record_decoding import PackedList, RankedList

NAMES = [b'"p%d"' % ordinal for ordinal in range(40)]
ORDINAL = {name: ordinal for ordinal, name in enumerate(NAMES)}


def scene(most: Sequence[int] = (100, 100, 100), blend: bool = False) -> Scene:
    return Scene("test", [Step(route, each, 0.1) for route, each in zip(ROUTES, most, strict=True)], blend, 10)


@st.composite
def ranked_lists(draw: st.DrawFn) -> RankedList:
    ordinals = draw(st.lists(st.integers(0, len(NAMES) - 1), max_size=15))
    scored = draw(st.booleans())
    return RankedList(ordinals, [1 / rank for rank in range(1, len(ordinals) + 1)] if scored else None)


offers = st.tuples(
    *(
        st.one_of(
            st.builds(RouteOffer, st.just(route), ranked_lists()),
            st.builds(RouteOffer, st.just(route), st.none(), st.sampled_from([REDIS_DOWN, UNKNOWN_COOKIE])),
        )
        for route in ROUTES
    )
)
some_names = st.frozensets(st.sampled_from(NAMES), max_size=5)
scenes = st.builds(scene, st.tuples(*[st.integers(1, 20)] * 3), st.booleans())


def flat(picked: Sequence[PickedItems]) -> list[tuple[str, bytes]]:
    return [(picks.route, NAMES[ordinal]) for picks in picked for ordinal in picks.ordinals]


def composed(
    n: int,
    given_offers: Sequence[RouteOffer],
    excluded: frozenset[bytes] = frozenset(),
    masked: frozenset[bytes] = frozenset(),
    of: Scene | None = None,
) -> tuple[list[tuple[str, bytes]], tuple[RouteOutcome, ...]]:
    picked, outcomes = compose(n, of or scene(), list(given_offers), NAMES, masked, set(excluded))
    for picks in picked:
        assert picks.scores is None or len(picks.scores) == len(picks.ordinals)
    return flat(picked), outcomes.each


@given(st.integers(1, 30), offers, some_names, some_names, scenes)
def test_an_answer_has_no_product_twice_none_masked_and_no_more_than_n(
    n: int, given_offers: Sequence[RouteOffer], excluded: frozenset[bytes], masked: frozenset[bytes], of: Scene
) -> None:
    picks, outcomes = composed(n, given_offers, excluded, masked, of)
    products = [product for _, product in picks]
    assert len(products) == len(set(products)) <= n
    assert not (excluded | masked) & set(products)
    assert [outcome.route for outcome in outcomes] == list(ROUTES)
    for step in of.steps:
        assert sum(route == step.route for route, _ in picks) <= step.most


@given(st.integers(1, 30), offers, some_names, some_names)
def test_routes_come_in_order_and_so_do_their_products(
    n: int, given_offers: Sequence[RouteOffer], excluded: frozenset[bytes], masked: frozenset[bytes]
) -> None:
    picks, _ = composed(n, given_offers, excluded, masked)
    routes = [route for route, _ in picks]
    assert routes == sorted(routes, key=ROUTES.index)
    for offer in given_offers:
        picked = [ORDINAL[product] for route, product in picks if route == offer.route]
        listed = list(dict.fromkeys(offer.ranked.head(99).ordinals if offer.ranked else ()))
        assert picked == [each for each in listed if each in picked]


@given(st.integers(1, 30), offers, some_names, some_names, st.booleans())
def test_an_answer_is_short_only_where_all_routes_are_exhausted(
    n: int, given_offers: Sequence[RouteOffer], excluded: frozenset[bytes], masked: frozenset[bytes], blend: bool
) -> None:
    picks, _ = composed(n, given_offers, excluded, masked, scene(blend=blend))
    there = {NAMES[each] for offer in given_offers if offer.ranked for each in offer.ranked.head(99).ordinals}
    assert len(picks) == min(n, len(there - excluded - masked))


@given(st.integers(1, 30), offers, some_names, st.booleans())
def test_the_outcome_says_what_each_route_gave(
    n: int, given_offers: Sequence[RouteOffer], excluded: frozenset[bytes], blend: bool
) -> None:
    picks, outcomes = composed(n, given_offers, excluded, of=scene(blend=blend))
    giving = sorted({route for route, _ in picks}, key=ROUTES.index)
    for offer, outcome in zip(given_offers, outcomes, strict=True):
        if offer.route in giving:
            assert outcome.status == (USED if blend or offer.route == giving[0] else FILLED)
        else:
            assert outcome.status == SKIPPED
            assert outcome.reason in {offer.reason, NOT_NEEDED, NOTHING_NEW} - {""}


def test_the_level_is_told_only_of_a_list_that_was_used() -> None:
    three = [
        RouteOffer("similar", RankedList([1], None)),
        RouteOffer("personal", None, UNKNOWN_COOKIE),
        RouteOffer("generic", RankedList([1, 2], None), level="device"),
    ]
    assert composed(1, three)[1][2] == RouteOutcome("generic", SKIPPED, NOT_NEEDED, "")
    assert composed(2, three)[1][2] == RouteOutcome("generic", FILLED, "", "device")


def test_the_same_outcomes_are_the_same_object() -> None:
    used = NO_OUTCOMES.with_route("similar", USED, "", "")
    both = used.with_route("generic", SKIPPED, NOT_NEEDED, "")
    assert both is NO_OUTCOMES.with_route("similar", USED, "", "").with_route("generic", SKIPPED, NOT_NEEDED, "")
    assert both.each == (RouteOutcome("similar", USED, "", ""), RouteOutcome("generic", SKIPPED, NOT_NEEDED, ""))
    assert used.with_route("generic", FILLED, "", "") is not both
    assert NO_OUTCOMES.each == ()


def test_a_blend_takes_turns() -> None:
    three = [
        RouteOffer("similar", RankedList([1, 2, 3, 4], None)),
        RouteOffer("personal", RankedList([1, 11, 12], None)),
        RouteOffer("generic", RankedList([21, 22, 23], None)),
    ]
    picks, _ = composed(6, three, of=scene(most=(2, 9, 9), blend=True))
    assert [ORDINAL[product] for _, product in picks] == [1, 21, 2, 11, 22, 12]


def test_a_broken_record_gives_way_and_leaves_no_trace() -> None:
    three = [
        RouteOffer("similar", PackedList(b"\x04\x01\x63", len(NAMES))),
        RouteOffer("personal", PackedList(b"\x04\x01\x02", len(NAMES))),
        RouteOffer("generic", None, REDIS_DOWN),
    ]
    picks, outcomes = composed(5, three)
    assert picks == [("personal", NAMES[1]), ("personal", NAMES[2])]
    assert outcomes[0] == RouteOutcome("similar", SKIPPED, CORRUPT_RECORD, "")
    assert outcomes[1].status == USED


@given(st.lists(ranked_lists(), min_size=1, max_size=5))
def test_round_robin_takes_each_product_once_at_its_best_rank(lists: Sequence[RankedList]) -> None:
    lists = [RankedList(list(dict.fromkeys(ranked.ordinals)), None) for ranked in lists]
    merged = round_robin(lists)
    best: dict[int, tuple[int, int]] = {}
    for turn, ranked in enumerate(lists):
        for rank, ordinal in enumerate(ranked.ordinals):
            best[ordinal] = min(best.get(ordinal, (rank, turn)), (rank, turn))
    assert list(merged.ordinals) == sorted(best, key=best.__getitem__)


def test_round_robin_keeps_each_score_with_its_product() -> None:
    merged = round_robin([RankedList([1, 2], [0.5, 0.25]), RankedList([3, 1], None)])
    assert (merged.ordinals, merged.scores) == ([1, 3, 2], [0.5, None, 0.25])


@given(st.lists(st.integers(0, 80) | st.integers(0, 2**32 - 1), max_size=40))
def test_what_is_listed_twice_is_noticed(ordinals: list[int]) -> None:
    assert has_twice(ordinals) == (len(set(ordinals)) < len(ordinals))
    assert not has_twice(list(dict.fromkeys(ordinals)))
    assert has_twice([*ordinals, 7, *ordinals, 7])
