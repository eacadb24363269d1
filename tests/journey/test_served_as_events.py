"""Served answers as Parquet, and what a report makes of them."""

from __future__ import annotations

import os
from pathlib import Path

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
from hypothesis import given, settings
from hypothesis import strategies as st
from noted_answers import HOUR, Answers, ShownAnswer, ShownList, details, details_of, noted, shown_answers

from larder.journey.click_through import RouteReport, events_of_lists, routes
from larder.journey.parquet import ABANDONED_SECONDS, SCHEMA, ImpressionFile, ProductIds, as_table, remove_abandoned


def table_of(answers: Answers) -> pa.Table:
    served, names = noted(answers)
    return as_table(served, ids_of(names))


def ids_of(names: list[bytes]) -> pa.StringArray:
    ids = ProductIds()
    # In two parts, as they come from the endpoint.
    for part in (names[:1], names[1:]):
        ids.add(part)
    return ids.array()


@settings(deadline=None)
@given(st.lists(shown_answers, max_size=5))
def test_every_product_is_an_impression_as_it_was_noted(answers: list[ShownAnswer]) -> None:
    table = table_of(answers)
    assert table.schema == SCHEMA
    expected = [
        (answer.cookie, answer.location or None, answer.request_id, shown.route, product)
        for answer in answers
        for shown in [ShownList(*each) for each in answer.lists]
        for product in shown.products
    ]
    rows = table.to_pylist()
    columns = ("cookie_id", "location", "request_id", "route", "product_id")
    assert [tuple(row[name] for name in columns) for row in rows] == expected
    assert [details(row) for row in rows] == details_of(answers)
    assert {(row["event_type"], row["release"], row["device"]) for row in rows} <= {("impression", "r1", None)}


def test_what_a_row_says_of_experiments_and_draws() -> None:
    drawn = ShownList("personal", ["x", "y"], [0.5, None], [0.25, 0.1])
    plain = ShownList("generic", ["z"])
    scored = ShownList("generic", ["x"], [2.0])
    rows = table_of(
        [
            ShownAnswer("c1", "", "q1", [drawn, plain], ("order", "popular", True, "softmax-0.1")),
            ShownAnswer("c2", "", "q2", [scored]),
            ShownAnswer("c3", "", "q3", [plain], ("order,look", "popular,red", False, "")),
            ShownAnswer("c4", "", "q4", [plain], ("", "", False, "softmax-0.1")),
        ]
    ).to_pylist()
    tenth = np.float32(0.1)
    assert [(row["request_id"], *details(row)) for row in rows] == [
        ("q1", "order", "popular", True, "softmax-0.1", 0.25, 0.5),
        ("q1", "order", "popular", True, "softmax-0.1", tenth, None),
        ("q1", "order", "popular", True, "softmax-0.1", 1.0, None),
        ("q2", None, None, None, None, 1.0, 2.0),
        ("q3", "order,look", "popular,red", False, None, 1.0, None),
        ("q4", None, None, None, "softmax-0.1", 1.0, None),
    ]


def test_a_score_beyond_float32_is_none() -> None:
    [row] = table_of([ShownAnswer("c1", "", "q1", [ShownList("generic", ["x"], [1e39])])]).to_pylist()
    assert row["score"] is None


def test_a_plain_answer_says_nothing_of_scores_and_draws() -> None:
    served, _ = noted([("c1", "", "a", [("personal", ["x", "y"])])])
    assert (served.scores, served.propensities, served.treatments) == (b"", b"", [])
    assert [table_of([]).num_rows, table_of([("c", "", "a", [])]).num_rows] == [0, 0]


def test_positions_and_moments() -> None:
    rows = table_of(
        [("c1", "", "a", [("personal", ["x", "y"]), ("generic", ["z"])]), ("c2", "", "b", [("generic", ["x"])])]
    ).to_pylist()
    assert [(row["request_id"], row["position"]) for row in rows] == [("a", 0), ("a", 1), ("a", 2), ("b", 0)]
    assert rows[3]["ts"].isoformat() == "2017-12-03T00:00:01.250000+00:00"


def test_a_file_is_seen_when_it_is_whole(tmp_path: Path) -> None:
    file = ImpressionFile(tmp_path, HOUR, "served-1")
    served, names = noted([("c1", "", "a", [("generic", ["x"])])])
    file.add(served, ids_of(names))
    folder = tmp_path / "dt=2017-12-03" / "hr=00"
    assert [path.name for path in folder.iterdir()] == ["_served-1.part"]
    file.close()
    assert [path.name for path in folder.iterdir()] == ["served-1.parquet"]
    assert pq.read_table(folder / "served-1.parquet", partitioning=None).num_rows == 1


def test_what_a_killed_process_left_is_removed_in_time(tmp_path: Path) -> None:
    ImpressionFile(tmp_path, HOUR, "served-1")
    [left] = tmp_path.glob("dt=*/hr=*/*")
    now = os.stat(left).st_mtime
    assert remove_abandoned(tmp_path, now + ABANDONED_SECONDS - 1) == 0
    assert remove_abandoned(tmp_path, now + ABANDONED_SECONDS + 1) == 1
    assert list(tmp_path.glob("dt=*/hr=*/*")) == []


def events(*rows: tuple[str | None, str, str]) -> pa.Table:
    return pa.Table.from_pylist(
        [dict(zip(("request_id", "product_id", "event_type"), row, strict=True)) for row in rows],
        pa.schema([(name, pa.string()) for name in ("request_id", "product_id", "event_type")]),
    )


def test_rates_come_out_as_they_were_planted() -> None:
    # Of ten personal products three are clicked, of which one is bought; of twenty generic ones one is put aside.
    answers = [
        ("c", "", f"q{number}", [("personal", [f"p{number}"]), ("generic", ["g0", "g1"])]) for number in range(10)
    ]
    log = table_of(answers)
    clicks = events_of_lists(
        [
            events(("q0", "p0", "view"), ("q0", "p0", "view"), ("q1", "p1", "view"), ("q2", "p2", "purchase")),
            events(("q3", "g0", "add_to_cart"), ("q9", "nothing", "view"), (None, "p4", "view")),
            events(("q5", "p5", "impression"), ("q0", "p1", "view")),
            pa.table({"product_id": ["p1"], "event_type": ["view"]}),
        ],
        {},
    )
    assert routes([log.slice(0, 7), log.slice(7)], clicks) == [
        RouteReport("r1", "generic", 20, 1, 1, 0, None, None),
        RouteReport("r1", "personal", 10, 3, 0, 1, None, None),
    ]
    assert routes([], clicks) == []


def test_columns_of_other_names() -> None:
    renamed = events(("q0", "p0", "view")).rename_columns(["rid", "sku", "event_type"])
    found = events_of_lists([renamed], {"request_id": "rid", "product_id": "sku"})
    assert found.to_pylist() == [{"request_id": "q0", "product_id": "p0", "clicked": 1, "added": 0, "bought": 0}]
