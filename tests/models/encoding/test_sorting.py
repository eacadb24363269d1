"""Sorting, partitioning by hashes and interning beside numpy and plain Python."""

from __future__ import annotations

import numpy as np
import pyarrow as pa
from hypothesis import given, settings
from hypothesis import strategies as st

from larder.models.encoding.hash_ranges import range_of, rows_by_range
from larder.models.encoding.interning import interned
from larder.models.encoding.sorting import LONG, slots_by_hash, sort_range, sort_slots
from larder.models.encoding.texts import by_hash, by_text, with_used_texts

seeds = st.integers(0, 2**32 - 1)
INT64 = np.iinfo(np.int64)


@settings(deadline=None)  # the first call compiles
@given(seeds, st.integers(0, 700), st.integers(0, 5), st.integers(1, 40))
def test_a_range_is_sorted_by_three_columns_and_stable(seed: int, size: int, margin: int, kinds: int) -> None:
    random = np.random.default_rng(seed)
    columns = random.integers(-kinds, kinds, (3, size + 2 * margin))
    order = random.permutation(size + 2 * margin)
    before = order.copy()
    sort_range(order, margin, margin + size, *columns)
    inside = before[margin : margin + size]
    wanted = inside[np.lexsort(columns[::-1, inside])]  # lexsort is stable
    assert order[margin : margin + size].tolist() == wanted.tolist()
    assert order[:margin].tolist() == before[:margin].tolist()
    assert order[margin + size :].tolist() == before[margin + size :].tolist()


@settings(deadline=None)
@given(seeds, st.integers(0, 3000), st.sampled_from(["even", "few", "one", "extremes"]), st.integers(2, 5))
def test_records_in_slots_come_out_as_a_stable_sort_puts_them(seed: int, n: int, keys: str, columns: int) -> None:
    random = np.random.default_rng(seed)
    drawn = {
        "even": random.integers(INT64.min, INT64.max, n),
        "few": random.integers(INT64.min, INT64.max, 5)[random.integers(0, 5, n)],
        "one": np.full(n, -7),
        "extremes": random.choice([INT64.min, -1, 0, INT64.max], n),
    }[keys]
    values = np.column_stack([drawn, random.integers(0, 3, n), *(random.integers(0, 9, n) for _ in range(columns - 2))])
    positions, bounds = slots_by_hash(drawn)
    assert sorted(positions.tolist()) == list(range(n))
    assert (bounds[0], bounds[-1]) == (0, n) and (np.diff(bounds) >= 0).all()
    records = np.empty_like(values)
    records[positions] = values
    sort_slots(records, bounds)
    assert records.tolist() == values[np.lexsort((values[:, 1], values[:, 0]))].tolist()


def test_a_slot_longer_than_insertion_likes() -> None:
    random = np.random.default_rng(3)
    records = np.column_stack([random.integers(0, 9, 5 * LONG), random.integers(0, 9, 5 * LONG), np.arange(5 * LONG)])
    wanted = records[np.lexsort((records[:, 1], records[:, 0]))].tolist()
    sort_slots(records, np.array([0, 5 * LONG]))
    assert records.tolist() == wanted


@settings(deadline=None)
@given(seeds, st.integers(0, 200), st.sampled_from([1, 2, 8, 64]))
def test_ranges_of_keys_are_equal_and_in_order(seed: int, n: int, ranges: int) -> None:
    keys = np.append(np.random.default_rng(seed).integers(INT64.min, INT64.max, n), [INT64.min, -1, 0, INT64.max])
    found = range_of(keys, ranges)
    assert found.tolist() == [(int(key) + 2**63) * ranges // 2**64 for key in keys]
    order, starts = rows_by_range(found, ranges)
    assert order.tolist() == np.argsort(found, kind="stable").tolist()
    assert starts.tolist() == np.searchsorted(np.sort(found), np.arange(ranges + 1)).tolist()


@settings(deadline=None)
@given(st.lists(st.none() | st.text(max_size=3), max_size=60))
def test_interned_texts_have_codes_in_the_order_in_which_they_come(values: list[str | None]) -> None:
    codes, distinct = interned(pa.array(values, pa.string()))
    wanted = list(dict.fromkeys(value for value in values if value is not None))
    assert distinct.to_pylist() == wanted
    assert codes.tolist() == [-1 if value is None else wanted.index(value) for value in values]


def test_more_distinct_texts_than_the_first_table_holds() -> None:
    values = [f"id-{number % 30_000}" for number in range(60_000)]
    codes, distinct = interned(pa.array(values))
    assert distinct.to_pylist() == values[:30_000]
    assert codes.tolist() == list(range(30_000)) * 2


@settings(deadline=None)
@given(st.lists(st.text(max_size=4), min_size=1, max_size=20, unique=True), seeds)
def test_codes_in_another_order_stand_for_the_same_texts(values: list[str], seed: int) -> None:
    codes = np.random.default_rng(seed).integers(0, len(values), 30)
    wanted = [values[code] for code in codes]
    for reorder in (by_hash, by_text):
        new, texts = reorder(codes, pa.array(values, pa.string()))
        assert texts.take(pa.array(new)).to_pylist() == wanted
    assert by_text(codes, pa.array(values, pa.string()))[1].to_pylist() == sorted(values)
    used = with_used_texts(codes, pa.array(values, pa.string()))
    assert used.to_pylist() == wanted
    assert set(used.dictionary.to_pylist()) == set(wanted)
