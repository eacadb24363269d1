"""Records kept in process: as many as are allowed, and each as it was read."""

from __future__ import annotations

from hypothesis import given
from hypothesis import strategies as st

from larder.lookup.release.record_cache import UNREAD, HotRecords


@given(
    st.lists(st.tuples(st.sampled_from("abcdef"), st.none() | st.binary(max_size=2)), max_size=40), st.integers(1, 4)
)
def test_it_holds_no_more_than_it_may_and_what_it_learned_last(
    steps: list[tuple[str, bytes | None]], bound: int
) -> None:
    hot = HotRecords(bound)
    for text, record in steps:
        hot.learn(text, record)
        assert hot.get(text) == record
        assert len(hot) <= bound
    assert hot.get("never") is UNREAD
