"""Served answers as messages: they say what the Parquet says."""

from __future__ import annotations

import json
from datetime import datetime

from hypothesis import given
from hypothesis import strategies as st
from noted_answers import HOUR, Answers, noted, runs, texts

from larder.journey.messages import messages
from larder.journey.parquet import SCHEMA, ProductIds, as_table


def rows_of(lines: list[bytes]) -> list[dict[str, object]]:
    rows = [json.loads(line) for line in lines]
    return [{**row, "ts": datetime.fromisoformat(row["ts"].replace("Z", "+00:00"))} for row in rows]


@given(st.lists(st.tuples(texts, st.sampled_from(["", "zone1", '"\n\\']), texts, runs), max_size=5))
def test_messages_say_what_the_parquet_says(answers: Answers) -> None:
    served, names = noted(answers)
    ids = ProductIds()
    ids.add(names)
    made = list(messages(served, names))
    assert rows_of([value for each in made for value in each.values]) == as_table(served, ids.array()).to_pylist()
    assert [each.cookie.decode() for each in made] == [cookie for cookie, _, _, _ in answers]
    assert [each.moment for each in made] == [HOUR * 3_600_000 + 1000 * n + 250 for n in range(len(answers))]
    assert not any(b"\n" in value for each in made for value in each.values)


def test_a_message_is_one_event() -> None:
    served, names = noted([("käse", "zone1", "a", [("personal", ["x"]), ("generic", ['"y"'])])])
    [answer] = messages(served, names)
    assert answer.cookie == "käse".encode()
    assert answer.values[1].decode() == (
        '{"ts":"2017-12-03T00:00:00.250000Z","cookie_id":"käse","location":"zone1","device":null,'
        '"event_type":"impression","request_id":"a","release":"r1","product_id":"\\"y\\"","route":"generic",'
        '"position":1}'
    )
    assert set(json.loads(answer.values[0])) == set(SCHEMA.names)
