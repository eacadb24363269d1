"""Sums say what the cookies' rows say, merged in any way, and keep their digits for a billion cookies."""

from __future__ import annotations

from fractions import Fraction

import numpy as np
import numpy.typing as npt
import pytest
from hypothesis import given
from hypothesis import strategies as st
from hypothesis.extra.numpy import arrays

from larder.models.experiments.moments import QUANTITIES, Moments, moments_of

Rows = npt.NDArray[np.int64]
rows_of_cookies = arrays(np.int64, st.tuples(st.integers(1, 20), st.just(4)), elements=st.integers(0, 10_000))


def assert_same(one: Moments, other: Moments) -> None:
    assert one.n == other.n
    np.testing.assert_array_equal(one.sums, other.sums)
    np.testing.assert_array_equal(one.products, other.products)


def covariance_of_rows(rows: Rows) -> npt.NDArray[np.float64]:
    """The covariance of both ratios from each cookie's part in them."""
    y, d, x, e = rows.T.astype(float)
    parts = np.stack([(y - y.sum() / d.sum() * d) / d.mean(), (x - x.sum() / e.sum() * e) / e.mean()])
    return np.asarray(np.cov(parts) / len(rows))


def cookies(n: int, seed: int) -> Rows:
    """Rows of cookies whose clicks and impressions depend on each other, in the experiment and before."""
    draw = np.random.default_rng(seed)
    d, e, rate = 1 + draw.poisson(3, n), draw.poisson(2, n), draw.beta(1, 4, n)
    return np.stack([draw.binomial(d, rate), d, draw.binomial(e, rate), e], axis=1)


def test_sums_and_products_of_two_cookies() -> None:
    moments = moments_of(np.array([[1, 2, 3, 4], [5, 6, 7, 8]]))
    assert (moments.n, moments.sums.tolist()) == (2, [6, 8, 10, 12])
    assert moments.products.tolist() == [[1 * a + 5 * b, 2 * a + 6 * b, 3 * a + 7 * b, 4 * a + 8 * b]
                                         for a, b in ((1, 5), (2, 6), (3, 7), (4, 8))]  # fmt: skip
    assert len(QUANTITIES) == 4


@given(rows_of_cookies, rows_of_cookies, rows_of_cookies)
def test_moments_merge_in_any_order(one: Rows, two: Rows, three: Rows) -> None:
    a, b, c = moments_of(one), moments_of(two), moments_of(three)
    together = moments_of(np.concatenate([one, two, three]))
    assert_same((a + b) + c, together)
    assert_same(a + (b + c), together)
    assert_same(c + a + b, together)


def test_ratios_and_their_covariance_are_those_of_the_rows() -> None:
    rows = cookies(5000, seed=0)
    moments = moments_of(rows)
    assert moments.ratio() == rows[:, 0].sum() / rows[:, 1].sum()
    assert moments.ratio_before() == rows[:, 2].sum() / rows[:, 3].sum()
    np.testing.assert_allclose(moments.ratio_covariance(), covariance_of_rows(rows), rtol=1e-9)


def test_the_variance_is_that_of_resampled_cookies() -> None:
    rows = cookies(2000, seed=1)
    weights = np.random.default_rng(2).multinomial(len(rows), np.full(len(rows), 1 / len(rows)), size=4000)
    y, d, x, e = (weights @ rows).T
    resampled = np.cov(np.stack([y / d, x / e]))
    # A variance of 4,000 resamples has a relative standard error of sqrt(2 / 4000).
    np.testing.assert_allclose(np.diag(moments_of(rows).ratio_covariance()), np.diag(resampled), rtol=0.09)
    assert moments_of(rows).ratio_covariance()[0, 1] == pytest.approx(resampled[0, 1], rel=0.3)


def test_visits_of_one_cookie_are_not_independent_and_the_variance_knows_it() -> None:
    draw = np.random.default_rng(3)
    n, visits = 4000, 10
    y = visits * draw.binomial(1, 0.3, n)  # a cookie clicks at all visits or at none
    moments = moments_of(np.stack([y, np.full(n, visits), 0 * y, 0 * y], axis=1))
    p = y.mean() / visits
    assert moments.ratio_covariance()[0, 0] == pytest.approx(p * (1 - p) / (n - 1), rel=1e-9)  # not / (n * visits)


def test_without_denominators_there_is_no_ratio_and_no_variance() -> None:
    moments = moments_of(np.array([[1, 0, 1, 1], [2, 0, 2, 1]]))
    assert np.isnan(moments.ratio()) and moments.ratio_before() == 1.5
    np.testing.assert_allclose(moments.ratio_covariance(), [[0, 0], [0, 0.5 / 2]])


def test_what_rounding_leaves_of_a_variance_is_none() -> None:
    d = np.arange(1, 1000)
    moments = moments_of(np.stack([0.1 * d, d, 0 * d, 0 * d], axis=1))  # every cookie has the same ratio
    assert moments.ratio_covariance().tolist() == [[0, 0], [0, 0]]


def exact_variance(groups: list[tuple[int, int, int]]) -> Fraction:
    """The variance of sum(y) / sum(d) in exact numbers; groups are (cookies, y, d)."""
    n, y, d = (sum(c * part for c, part in some) for some in (
        [(c, 1) for c, _, _ in groups], [(c, y) for c, y, _ in groups], [(c, d) for c, _, d in groups]))  # fmt: skip
    ratio = Fraction(y, d)
    squares = sum((c * (y_i - ratio * d_i) ** 2 for c, y_i, d_i in groups), Fraction(0))
    return Fraction(n, n - 1) * squares / d**2


def group_moments(cookies_of_group: int, y: int, d: int) -> Moments:
    row = np.array([y, d, 0, 0], np.float64)
    return Moments(cookies_of_group, cookies_of_group * row, cookies_of_group * np.outer(row, row))


REVENUE_IN_CENTS = [
    (700_000_000, 0, 1), (200_000_000, 0, 3), (70_000_001, 1_999, 2), (20_000_003, 7_495, 4), (9_000_007, 24_990, 9),
    (999_989, 129_900, 30),
]  # fmt: skip


@pytest.mark.parametrize("parts", [1, 5000])
def test_a_billion_cookies_with_revenue_in_cents_keep_ten_digits(parts: int) -> None:
    """The sums of 5,000 parts, which are added one by one as a job adds those of its partitions."""
    moments = Moments(0, np.zeros(4), np.zeros((4, 4)))
    groups = [(n // parts * parts, y, d) for n, y, d in REVENUE_IN_CENTS]
    for _ in range(parts):
        for n, y, d in groups:
            moments = moments + group_moments(n // parts, y, d)
    expected = exact_variance(groups)
    assert abs(Fraction(float(moments.ratio_covariance()[0, 0])) / expected - 1) < Fraction(1, 10**10)
