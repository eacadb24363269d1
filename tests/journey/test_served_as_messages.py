"""Served answers as messages: they say what the Parquet says."""

from __future__ import annotations

import json
from datetime import datetime

from hypothesis import given
from hypothesis import strategies as st
from noted_answers import HOUR, ShownAnswer, ShownList, details, noted, shown_answers

from larder.journey.messages import messages
from larder.journey.parquet import SCHEMA, ProductIds, as_table


def rows_of(lines: list[bytes]) -> list[dict[str, object]]:
    rows = [json.loads(line) for line in lines]
    return [{**row, "ts": datetime.fromisoformat(row["ts"].replace("Z", "+00:00"))} for row in rows]


def without_numbers(row: dict[str, object]) -> dict[str, object]:
    """The row without the columns that are float32 in Parquet, and the nearest text in JSON."""
    return {name: value for name, value in row.items() if name not in ("propensity", "score")}


@given(st.lists(shown_answers, max_size=5))
def test_messages_say_what_the_parquet_says(answers: list[ShownAnswer]) -> None:
    served, names = noted(answers)
    ids = ProductIds()
    ids.add(names)
    made = list(messages(served, names))
    told, logged = rows_of([value for each in made for value in each.values]), as_table(served, ids.array()).to_pylist()
    assert [details(row) for row in told] == [details(row) for row in logged]
    assert [without_numbers(row) for row in told] == [without_numbers(row) for row in logged]
    assert [each.cookie.decode() for each in made] == [answer.cookie for answer in answers]
    assert [each.moment for each in made] == [HOUR * 3_600_000 + 1000 * n + 250 for n in range(len(answers))]
    assert not any(b"\n" in value for each in made for value in each.values)


def test_a_message_is_one_event() -> None:
    served, names = noted([("käse", "zone1", "a", [("personal", ["x"]), ("generic", ['"y"'])])])
    [answer] = messages(served, names)
    assert answer.cookie == "käse".encode()
    assert answer.values[1].decode() == (
        '{"ts":"2017-12-03T00:00:00.250000Z","cookie_id":"käse","location":"zone1","device":null,'
        '"event_type":"impression","request_id":"a","release":"r1","experiment":null,"arm":null,"forced":null,'
        '"policy":null,"product_id":"\\"y\\"","route":"generic","position":1,"propensity":1.0,"score":null}'
    )
    assert set(json.loads(answer.values[0])) == set(SCHEMA.names)


def test_numbers_have_the_shortest_text_of_their_float32() -> None:
    shown = ShownList("personal", ["x", "y", "z"], [1 / 3, None, 1e-7], [0.1, 1.0, 0.25])
    served, names = noted([ShownAnswer("c", "", "a", [shown], ("order", "popular", True, "softmax-0.1"))])
    [answer] = messages(served, names)
    ends = [value.partition(b'"propensity":')[2] for value in answer.values]
    assert ends == [b'0.1,"score":0.33333334}', b'1.0,"score":null}', b'0.25,"score":1e-07}']
    assert b'"experiment":"order","arm":"popular","forced":true,"policy":"softmax-0.1","product_id"' in answer.values[2]
