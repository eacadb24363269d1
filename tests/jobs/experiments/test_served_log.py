"""Batches of the journey log as served rows, whole."""

from __future__ import annotations

from typing import Any

import pyarrow as pa
import pytest
from event_folders import START, moment
from experiment_logs import BEFORE_EXPERIMENTS, NAME, answer, as_batch

from larder.jobs.experiments.served_log import served_rows
from larder.models.encoding.hashing import xxh64

AT = int(moment(START).timestamp() * 1e6)
NEITHER = {"experiment": None, "arm": None, "forced": None}


def hashes(*texts: str) -> list[int]:
    found: list[int] = xxh64(pa.array(texts, pa.string())).tolist()
    return found


def run(cookie: str, request: str, arm: str, *products: str, at: int = AT, by: str = "cookie") -> dict[str, Any]:
    return {
        "state": "in_arm", "unit": hashes(request if by == "request" else cookie)[0], "arm": arm,
        "request": hashes(request)[0], "moment": at, "location": "store-1", "device": "phone",
        "impressions": len(products), "products": hashes(*products),
    }  # fmt: skip


def counted(state: str, impressions: int) -> dict[str, Any]:
    nothing = dict.fromkeys(("unit", "arm", "request", "moment", "location", "device", "products"))
    return {**nothing, "state": state, "impressions": impressions}


def test_impressions_of_one_request_in_an_arm_become_one_row() -> None:
    rows = [
        *answer("c1", "q1", ["p1", "p2"]),
        *answer("c1", "q2", ["p1"], arm="new"),
        *answer("c2", "q2", ["p3"], arm="new"),
        *answer("c3", "q3", ["p1", "p2", "p3"], forced=True),
        *answer("c4", "q4", ["p1"], **NEITHER),
        *answer("c2", "q5", ["p4", "p5"], arm="new"),
    ]
    assert served_rows(as_batch(rows), NAME, by_request=False).to_pylist() == [
        run("c1", "q1", "control", "p1", "p2"),
        run("c1", "q2", "new", "p1"),
        run("c2", "q2", "new", "p3"),
        run("c2", "q5", "new", "p4", "p5"),
        counted("forced", 3),
        counted("not_in_experiment", 1),
    ]


def test_the_request_may_be_the_unit() -> None:
    found = served_rows(as_batch(answer("c1", "q1", ["p1"])), NAME, by_request=True)
    assert found.to_pylist() == [run("c1", "q1", "control", "p1", by="request")]


@pytest.mark.parametrize(
    ("experiments", "arms", "found"),
    [
        ("other,lists", "control,new", "new"),
        ("lists,other", "control,new", "control"),
        ("a,lists,z", "x,new,y", "new"),
        ("lists-2", "new", None),
        ("other,lists-2", "control,new", None),
    ],
)
def test_an_answer_of_several_experiments_has_an_arm_in_each(experiments: str, arms: str, found: str | None) -> None:
    batch = as_batch(answer("c1", "q1", ["p1"], experiment=experiments, arm=arms))
    wanted = run("c1", "q1", found, "p1") if found else counted("not_in_experiment", 1)
    assert served_rows(batch, NAME, by_request=False).to_pylist() == [wanted]


def test_a_forced_answer_of_another_experiment_is_not_in_this_one() -> None:
    batch = as_batch(answer("c1", "q1", ["p1"], experiment="other", forced=True))
    assert served_rows(batch, NAME, by_request=False).to_pylist() == [counted("not_in_experiment", 1)]


def test_files_from_before_experiments_are_in_no_arm() -> None:
    batch = as_batch(answer("c1", "q1", ["p1", "p2"]), BEFORE_EXPERIMENTS)
    assert served_rows(batch, NAME, by_request=False).to_pylist() == [counted("not_in_experiment", 2)]


def test_an_event_of_a_shop_in_the_folder_of_the_log_is_no_impression() -> None:
    batch = as_batch(answer("c1", "q1", ["p1"], event_type="view"))
    assert served_rows(batch, NAME, by_request=False).to_pylist() == [counted("not_in_experiment", 1)]


def test_of_an_answer_the_earliest_moment_counts() -> None:
    rows = [*answer("c1", "q1", ["p1"], ts=moment(START, 11)), *answer("c1", "q1", ["p2"])]
    assert served_rows(as_batch(rows), NAME, by_request=False).to_pylist() == [run("c1", "q1", "control", "p1", "p2")]


def test_before_the_start_everybody_counts_and_arms_are_seen() -> None:
    rows = [
        *answer("c1", "q1", ["p1"], **NEITHER),
        *answer("c2", "q2", ["p2"]),
        *answer("c3", "q3", ["p3"], forced=True),
    ]
    found = served_rows(as_batch(rows), NAME, by_request=False, with_others=True)
    assert found.to_pylist() == [
        run("c1", "q1", "", "p1"), run("c2", "q2", "control", "p2"), counted("forced", 1),
    ]  # fmt: skip


def test_an_empty_batch_has_no_rows() -> None:
    assert served_rows(as_batch([]), NAME, by_request=False).to_pylist() == []
