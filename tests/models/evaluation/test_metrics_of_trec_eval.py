"""Metrics beside those of trec_eval, the reference of the field (https://github.com/usnistgov/trec_eval)."""

from __future__ import annotations

import numpy as np
import pytest
import pytrec_eval
from hypothesis import given
from hypothesis import strategies as st

from larder.models.evaluation.ranking_metrics import HIT_AT, NDCG_AT, RECALL_AT, GroundTruth, list_metrics

ITEMS = 60
LISTS = st.lists(st.integers(0, ITEMS - 1), unique=True, max_size=RECALL_AT)
RELEVANT = st.sets(st.integers(0, ITEMS - 1), min_size=1)


@given(st.lists(st.tuples(LISTS, RELEVANT), min_size=1, max_size=5))
def test_metrics_are_those_of_trec_eval(users: list[tuple[list[int], set[int]]]) -> None:
    """But Recall@30 is relative to min(30, relevant): where more are relevant, trec_eval's is less."""
    lists = np.full((len(users), RECALL_AT), -1)
    for row, (listed, _) in enumerate(users):
        lists[row, : len(listed)] = listed
    pairs = [(row, item) for row, (_, relevant) in enumerate(users) for item in sorted(relevant)]
    ours = list_metrics(lists, GroundTruth(*np.array(pairs).T, len(users), ITEMS))

    names = {"ndcg": f"ndcg_cut_{NDCG_AT}", "recall": f"recall_{RECALL_AT}", "hit": f"success_{HIT_AT}"}
    truth = {f"u{row}": {f"i{item}": 1 for item in relevant} for row, (_, relevant) in enumerate(users)}
    scores = {
        f"u{row}": {f"i{item}": float(-place) for place, item in enumerate(listed)}
        for row, (listed, _) in enumerate(users)
    }
    theirs = pytrec_eval.RelevanceEvaluator(truth, set(names.values())).evaluate(scores)
    for row, (_, relevant) in enumerate(users):
        found = theirs[f"u{row}"]
        assert ours.ndcg[row] == pytest.approx(found[names["ndcg"]], abs=1e-9)
        assert ours.hit[row] == found[names["hit"]]
        assert ours.recall[row] * min(RECALL_AT, len(relevant)) / len(relevant) == pytest.approx(found[names["recall"]])
