"""How work is put together into tasks."""

from __future__ import annotations

from hypothesis import given
from hypothesis import strategies as st

from larder.jobs.runtime.task_sizes import MOST_TOGETHER, together


@given(st.lists(st.integers(0, 50), max_size=600), st.integers(1, 100))
def test_neighbours_stay_in_order_and_groups_within_bounds(rows: list[int], most: int) -> None:
    groups = together(list(range(len(rows))), rows, most)
    assert [item for group in groups for item in group] == list(range(len(rows)))
    for group in groups:
        assert len(group) == 1 or sum(rows[item] for item in group) <= most
        assert 0 < len(group) <= MOST_TOGETHER
