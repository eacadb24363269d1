"""Ordinals: dense, by falling frequency."""

from __future__ import annotations

import numpy as np
from hypothesis import given
from hypothesis import strategies as st

from larder.models.lists.dictionary import ordinals_by_frequency


def test_the_commonest_come_first_and_the_unlisted_not_at_all() -> None:
    ordinals, ids = ordinals_by_frequency(np.array([1, 0, 5, 1]), ["a", "b", "c", "d"])
    assert ids == ["c", "a", "d"]
    assert ordinals.tolist() == [1, -1, 0, 2]


@given(st.lists(st.integers(0, 5), max_size=30))
def test_ordinals_and_ids_belong_together(counts: list[int]) -> None:
    names = [f"p{number}" for number in range(len(counts))]
    ordinals, ids = ordinals_by_frequency(np.array(counts, np.int64), names)
    assert sorted(ordinal for ordinal in ordinals.tolist() if ordinal >= 0) == list(range(len(ids)))
    assert [ids[ordinal] for ordinal in ordinals.tolist() if ordinal >= 0] == [
        name for name, count in zip(names, counts, strict=True) if count
    ]
    frequencies = [counts[names.index(id_)] for id_ in ids]
    assert frequencies == sorted(frequencies, reverse=True)
