"""Heaps and top-k lists beside a full sort in numpy."""

from __future__ import annotations

import numpy as np
from hypothesis import given, settings
from hypothesis import strategies as st
from numpy.typing import NDArray

from larder.models.search import topk
from larder.models.search.topk import Entitled, TopKProducts, push, top_k_columns

Scores = list[float]
scores = st.lists(st.sampled_from([-np.inf, -2.5, -1.0, -0.0, 0.0, 1.0, 1.5, 3e38]), max_size=200)


def best(values: Scores, numbers: list[int], kept: int) -> list[tuple[int, float]]:
    """The `kept` best of items with these scores, ties to the lower number."""
    there = [(-value, number) for value, number in zip(values, numbers, strict=True) if value > -np.inf]
    return [(number, -value) for value, number in sorted(there)[:kept]]


@settings(deadline=None)
@given(scores, st.integers(1, 9), st.randoms())
def test_a_heap_holds_the_best_in_whatever_order_they_come(values: Scores, kept: int, random: object) -> None:
    numbers = list(range(len(values)))
    random.shuffle(numbers)  # type: ignore[attr-defined]
    heap, items, size = np.zeros(kept, np.float32), np.zeros(kept, np.int32), 0
    finite = [max(value, -9.0) for value in values]
    for value, number in zip(finite, numbers, strict=True):
        size = push(heap, items, size, np.float32(value), np.int32(number))
    found = sorted(zip((-heap[:size]).tolist(), items[:size].tolist(), strict=True))
    wanted = best([float(np.float32(value)) for value in finite], numbers, kept)
    assert [(number, -value) for value, number in found] == wanted
    if size:
        assert (float(heap[0]), int(items[0])) == (wanted[-1][1], wanted[-1][0])  # the root is the worst


@settings(deadline=None)
@given(st.integers(0, 2**32 - 1), st.integers(0, 5000), st.integers(0, 80), st.booleans())
def test_top_columns_are_those_of_a_sort(seed: int, columns: int, kept: int, ties: bool) -> None:
    random = np.random.default_rng(seed)
    rows = random.normal(size=(3, columns)).astype(np.float32)
    rows = np.round(rows) * np.float32(-1) if ties else rows  # -0 and 0 among them
    rows[random.random(rows.shape) < 0.2] = -np.inf
    found, values = top_k_columns(rows, kept)
    for row, items, some in zip(rows, found, values, strict=True):
        wanted = best(row.tolist(), list(range(columns)), kept)
        padding = kept - len(wanted)
        assert items.tolist() == [number for number, _ in wanted] + [-1] * padding
        assert some.tolist() == [value for _, value in wanted] + [-np.inf] * padding


def products(queries: NDArray[np.float32], vectors: NDArray[np.float32]) -> NDArray[np.float32]:
    """Every `dot_product`, by heaps that hold all."""
    lists = _search(queries, vectors, len(vectors), np.zeros((len(queries), len(vectors))))
    scores = np.empty((len(queries), len(vectors)), np.float32)
    np.put_along_axis(scores, lists[0].astype(np.int64), lists[1], 1)
    return scores


def _search(
    queries: NDArray[np.float32],
    vectors: NDArray[np.float32],
    kept: int,
    rounding: NDArray[np.floating],
    entitled: Entitled | None = None,
    width: int = 7,
) -> tuple[NDArray[np.int32], NDArray[np.float32]]:
    """Lists from tiles that are off the true products by `rounding`, in units of what is allowed."""
    longest = float(np.linalg.norm(vectors, axis=1).max(initial=0))
    heaps = TopKProducts(queries, vectors, kept, longest, entitled)
    tile = (queries.astype(np.float64) @ vectors.T + rounding * heaps.margins[:, None] * 0.4).astype(np.float32)
    if entitled is not None:
        for q in range(len(queries)):
            tile[q, entitled.items[entitled.offsets[q] : entitled.offsets[q + 1]]] = -np.inf
        heaps.push_entitled(np.ones(len(vectors), bool))
    rows, numbers = np.arange(len(queries), dtype=np.int32), np.arange(len(vectors), dtype=np.int32)
    for start in range(0, len(vectors), width):
        heaps.push(tile[:, start : start + width], rows, numbers[start : start + width])
    return heaps.sorted()


@settings(deadline=None, max_examples=200)
@given(
    st.integers(0, 2**32 - 1), st.integers(1, 60), st.integers(1, 12), st.sampled_from([1, 3, 16, 20]), st.booleans()
)
def test_rounding_of_the_tiles_changes_no_list(seed: int, n: int, kept: int, width: int, extra: bool) -> None:
    """Vectors that differ in the last bits only, so that tiles can't tell them apart, and many that are the same."""
    random = np.random.default_rng(seed)
    few = random.normal(size=(3, width)).astype(np.float32)
    vectors = few[random.integers(0, 3, n)]
    near = random.random(n) < 0.5
    vectors[near] *= np.float32(1) + np.float32(2**-23) * random.integers(-2, 3, (near.sum(), 1)).astype(np.float32)
    queries = np.concatenate([few, random.normal(size=(2, width)).astype(np.float32)])
    wanted, entitled = products(queries, vectors).astype(np.float64), None
    if extra:
        owned = np.sort(random.permutation(n)[: n // 3]).astype(np.int32)
        gains = np.full(len(owned), 2**-10, np.float32)
        every = len(owned) * np.arange(len(queries) + 1)
        entitled = Entitled.to(every, np.tile(owned, len(queries)), np.tile(gains, len(queries)), n)
        wanted[:, owned] = (wanted[:, owned].astype(np.float32) + gains).astype(np.float64)
    order = np.lexsort((np.broadcast_to(np.arange(n), wanted.shape), -wanted), axis=1)[:, :kept]
    for _ in range(2):
        rounding = random.uniform(-1, 1, wanted.shape)
        found, scores = _search(queries, vectors, min(kept, n), rounding, entitled, int(random.integers(1, 80)))
        np.testing.assert_array_equal(found, order)
        np.testing.assert_array_equal(scores, np.take_along_axis(wanted, order, 1))


def test_more_near_ties_than_there_is_room_for_are_scored_one_by_one() -> None:
    vectors = np.ones((20 * topk.SPARES, 3), np.float32)
    queries = np.ones((2, 3), np.float32)
    rounding = np.random.default_rng(1).uniform(-1, 1, (2, len(vectors)))
    found, _ = _search(queries, vectors, 4, rounding)
    assert found.tolist() == [[0, 1, 2, 3]] * 2
