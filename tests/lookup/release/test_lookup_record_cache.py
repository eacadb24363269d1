"""Records kept in process: as many as are allowed, and each as it was read."""

from __future__ import annotations

from hypothesis import given
from hypothesis import strategies as st

from larder.lookup.release.record_cache import UNREAD, RecordCache


@given(
    st.lists(st.tuples(st.sampled_from("abcdef"), st.none() | st.binary(max_size=2)), max_size=40), st.integers(1, 4)
)
def test_it_holds_no_more_than_it_may_and_what_it_learned_last(
    steps: list[tuple[str, bytes | None]], bound: int
) -> None:
    cached_records = RecordCache(bound)
    for text, record in steps:
        cached_records.learn(text, record)
        assert cached_records.get(text) == record
        assert len(cached_records) <= bound
    assert cached_records.get("never") is UNREAD
