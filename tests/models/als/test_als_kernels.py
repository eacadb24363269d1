"""The kernels of alternating least squares beside dense solutions in numpy."""

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from numpy.typing import NDArray

from larder.models.als.als_block import AlsBlock, als_block, ranges_between_users
from larder.models.als.als_kernels import add_item_products, solve_users
from larder.models.als.item_factors import initial_item_factors, solve_items

USERS, ITEMS, RANK = 9, 14, 5
Doubles = NDArray[np.float64]
seeds = st.integers(0, 2**32 - 1)


def random_block(random: np.random.Generator, density: float = 0.4) -> tuple[AlsBlock, Doubles]:
    """A block, its rows shuffled, and its weights as a dense matrix (users, items); each user has an item."""
    weights = random.uniform(0.1, 20, (USERS, ITEMS)) * (random.random((USERS, ITEMS)) < density)
    weights[np.arange(USERS), random.integers(0, ITEMS, USERS)] = 1.0
    weights = weights.astype(np.float32)
    users, items = np.nonzero(weights)
    order = random.permutation(len(users))
    cookies = np.sort(random.integers(-(2**63), 2**63 - 1, USERS))
    return als_block(
        cookies[users[order]], items[order].astype(np.int32), weights[users, items][order]
    ), weights.astype(np.float64)


def factors_of(random: np.random.Generator, rows: int) -> NDArray[np.float32]:
    return random.normal(size=(rows, RANK)).astype(np.float32)


@settings(deadline=None)
@given(seeds)
def test_a_block_holds_its_interactions_in_both_orders(seed: int) -> None:
    block, weights = random_block(np.random.default_rng(seed))
    by_user, by_item = np.zeros_like(weights), np.zeros_like(weights)
    for user in range(USERS):
        own = slice(block.offsets[user], block.offsets[user + 1])
        by_user[user, block.items[own]] = block.weights[own]
    for at, item in enumerate(block.listed):
        own = slice(block.item_offsets[at], block.item_offsets[at + 1])
        by_item[block.users[own], item] = block.item_weights[own]
    np.testing.assert_array_equal(by_user, weights)
    np.testing.assert_array_equal(by_item, weights)
    assert (np.diff(block.cookies.astype(object)) > 0).all() and (np.diff(block.listed) > 0).all()


def solved(block: AlsBlock, items: NDArray[np.float32], users: NDArray[np.float32], steps: int, scaling: float) -> None:
    solve_users(block.offsets, block.items, block.weights, items.T @ items, items, users, 0.3, scaling, steps)


@settings(deadline=None)  # the first call compiles
@given(seeds, st.sampled_from([0.0, 0.5, 1.0]))
def test_enough_steps_solve_users(seed: int, scaling: float) -> None:
    random = np.random.default_rng(seed)
    block, weights = random_block(random)
    items, users = factors_of(random, ITEMS), factors_of(random, USERS)
    solved(block, items, users, 4 * RANK, scaling)
    y = items.astype(np.float64)
    for user in range(USERS):
        own = weights[user]
        left = y.T @ y + (y.T * own) @ y + 0.3 * (own > 0).sum() ** scaling * np.eye(RANK)
        expected = np.linalg.solve(left, ((1 + own) * (own > 0)) @ y)
        assert users[user] == pytest.approx(expected, rel=1e-2, abs=1e-3)


def test_each_step_comes_nearer_and_a_solved_user_stays() -> None:
    random = np.random.default_rng(1)
    block, _ = random_block(random)
    items, best = factors_of(random, ITEMS), np.zeros((USERS, RANK), np.float32)
    solved(block, items, best, 40, 1.0)
    apart = []
    for steps in range(4):
        users = np.zeros((USERS, RANK), np.float32)
        solved(block, items, users, steps, 1.0)
        apart.append(np.abs(users - best).max())
    assert apart == sorted(apart, reverse=True)
    again = best.copy()
    solved(block, items, again, 40, 1.0)
    assert again == pytest.approx(best, abs=1e-4)


@settings(deadline=None)
@given(seeds, st.booleans())
def test_products_of_items_are_those_of_dense_matrices(seed: int, residual: bool) -> None:
    random = np.random.default_rng(seed)
    block, weights = random_block(random)
    users, vectors, before = factors_of(random, USERS), factors_of(random, ITEMS), factors_of(random, ITEMS)
    sums = before.copy()
    arrays = (block.listed, block.item_offsets, block.users, block.item_weights)
    add_item_products(*arrays, users, vectors, sums, residual)
    x, v = users.astype(np.float64), vectors.astype(np.float64)
    expected = before + (weights * (x @ v.T)).T @ x
    if residual:
        expected = before + ((1 + weights - weights * (x @ v.T)) * (weights > 0)).T @ x
    np.testing.assert_allclose(sums, expected, rtol=1e-3, atol=1e-3)


@settings(deadline=None)
@given(seeds)
def test_enough_steps_solve_items(seed: int) -> None:
    random = np.random.default_rng(seed)
    _, weights = random_block(random)
    users, start = factors_of(random, USERS), factors_of(random, ITEMS)
    x, counts = users.astype(np.float64), (weights > 0).sum(axis=0)
    regularisation = (0.3 * np.maximum(counts, 1)).astype(np.float32)

    def product(vectors: NDArray[np.float32]) -> NDArray[np.float32]:
        return ((weights * (x @ vectors.T.astype(np.float64))).T @ x).astype(np.float32)

    wanted = ((1 + weights) * (weights > 0)).T @ x
    found = solve_items(
        start, (x.T @ x).astype(np.float32), (wanted - product(start)).astype(np.float32), regularisation, 30, product
    )
    for item in range(ITEMS):
        left = x.T @ x + (x.T * weights[:, item]) @ x + regularisation[item] * np.eye(RANK)
        assert found[item] == pytest.approx(np.linalg.solve(left, wanted[item]), rel=2e-2, abs=2e-3)


def test_training_starts_from_as_many_directions_as_there_are() -> None:
    random = np.random.default_rng(2)
    sums = random.normal(size=(3, RANK)).astype(np.float32)
    first = initial_item_factors(sums, np.array([4, 1, 1]))
    assert first.shape == (3, RANK) and first.dtype == np.float32
    assert (first[:, 3:] == 0).all()  # fewer items than factors
    gram = first[:, :3].T.astype(np.float64) @ first[:, :3]
    assert gram == pytest.approx(gram[0, 0] * np.eye(3), abs=1e-5)


@settings(deadline=None)
@given(st.lists(st.sampled_from([-(2**63), -1, 0, 5, 2**63 - 1]), max_size=40), st.integers(1, 9))
def test_ranges_end_where_a_user_ends_and_cover_all(keys: list[int], most: int) -> None:
    cookies = np.array(sorted(keys), np.int64)
    ranges = ranges_between_users(cookies, most)
    assert [row for start, end in ranges for row in range(start, end)] == list(range(len(cookies)))
    assert all(end == len(cookies) or cookies[end] != cookies[end - 1] for _, end in ranges)
    assert len(ranges) <= -(-len(cookies) // most)
