"""The intervals of click-through rates: those of the formula, however the log is cut into files."""

from __future__ import annotations

import math
from collections import Counter

import numpy as np
import pyarrow as pa
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from larder.journey import click_through
from larder.journey.click_through import CLICKS, KEYS, LOG_COLUMNS, Z_95, RateInterval, interval, routes

Counts = list[tuple[int, int]]  # shown and clicked of each cookie
# By route and cookie.
PLANTED = {"personal": {"c1": (4, 2), "c2": (1, 0), "c3": (5, 4)}, "generic": {"c1": (3, 1), "c4": (2, 0)}}
counts_of_cookies = st.lists(
    st.integers(1, 50).flatmap(lambda shown: st.tuples(st.just(shown), st.integers(0, shown))), min_size=1, max_size=8
)


def expected(counts: Counts) -> RateInterval | None:
    """The textbook's formula: the variance of a ratio of sums over cookies."""
    shown, clicked = (sum(column) for column in zip(*counts, strict=True))
    rate = clicked / shown
    residuals = [y - rate * n for n, y in counts]
    if len(counts) < 2 or max(map(abs, residuals)) < 1e-9:
        return None
    variance = len(counts) / (len(counts) - 1) * sum(each**2 for each in residuals) / shown**2
    half = Z_95 * math.sqrt(variance)
    return RateInterval(max(rate - half, 0), min(rate + half, 1))


def found(counts: Counts) -> RateInterval | None:
    shown, clicked = (np.array(column) for column in zip(*counts, strict=True))
    squares = (int(clicked @ clicked), int(shown @ clicked), int(shown @ shown))
    return interval(len(counts), int(clicked.sum()), int(shown.sum()), squares)


def planted_log() -> pa.Table:
    """The products of PLANTED, each in an answer of its own."""
    rows = [
        (f"{route}-{cookie}-{number}", "p", "r", route, cookie)
        for route, cookies in PLANTED.items()
        for cookie, (shown, _) in cookies.items()
        for number in range(shown)
    ]
    return pa.table(dict(zip(LOG_COLUMNS, zip(*rows, strict=True), strict=True)))


def planted_clicks() -> pa.Table:
    keys = [
        f"{route}-{cookie}-{number}"
        for route, cookies in PLANTED.items()
        for cookie, (_, clicked) in cookies.items()
        for number in range(clicked)
    ]
    figures = {name: [int(name == "clicked")] * len(keys) for name in CLICKS}
    return pa.table({KEYS[0]: keys, KEYS[1]: ["p"] * len(keys), **figures})


@settings(deadline=None)
@given(counts_of_cookies)
def test_the_interval_is_that_of_the_formula(counts: Counts) -> None:
    given, wanted = found(counts), expected(counts)
    assert given == (None if wanted is None else pytest.approx(wanted, abs=1e-9))


def test_nothing_is_known_where_cookies_do_not_differ() -> None:
    assert [found([(10, 5)]), found([(10, 0), (7, 0)]), found([(2, 1), (4, 2)])] == [None, None, None]
    assert found([(10**9, 1), (10**9, 2)]) == pytest.approx(expected([(10**9, 1), (10**9, 2)]))


@pytest.mark.parametrize("most_unmerged", [0, 2, 10**6])
def test_a_cookie_counts_once_in_however_many_files(monkeypatch: pytest.MonkeyPatch, most_unmerged: int) -> None:
    monkeypatch.setattr(click_through, "MOST_UNMERGED", most_unmerged)
    log = planted_log()
    files = [log.slice(start, 2) for start in range(0, log.num_rows, 2)]
    generic, personal = routes(files, planted_clicks())
    assert generic[:6] == ("r", "generic", 3 + 2, 1, 0, 0)
    assert personal[:6] == ("r", "personal", 4 + 1 + 5, 2 + 4, 0, 0)
    for row in (generic, personal):
        assert row.click_through == pytest.approx(expected(list(PLANTED[row.route].values())))
        assert row.bought_of_shown is None


def test_the_interval_holds_the_rate_in_nineteen_of_twenty_shops() -> None:
    """Visitors differ in how much they are shown and how often they click: products of one are not independent."""
    draw = np.random.default_rng(3)
    shops, cookies, tally = 600, 400, Counter[str]()
    for _ in range(shops):
        shown = draw.geometric(0.1, cookies)
        taste = draw.beta(0.5, 2.0, cookies)  # with mean 0.5 / 2.5, and independent of `shown`
        clicked = draw.binomial(shown, taste)
        between = found(list(zip(shown.tolist(), clicked.tolist(), strict=True)))
        assert between is not None
        rate = clicked.sum() / shown.sum()
        of_products = Z_95 * math.sqrt(rate * (1 - rate) / shown.sum())
        tally["cookies"] += between.low <= 0.2 <= between.high
        tally["products"] += abs(rate - 0.2) <= of_products
    assert 0.92 < tally["cookies"] / shops < 0.98
    assert tally["products"] / shops < 0.7
