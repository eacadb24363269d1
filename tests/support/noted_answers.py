"""Answers as the endpoint notes them."""

from __future__ import annotations

import json

from hypothesis import strategies as st

from larder.journey.served import AnswerNotes, ServedAnswers

HOUR = 420_072  # 2017-12-03T00
texts = st.text(st.characters(codec="utf-8"), min_size=1, max_size=6)
runs = st.lists(st.tuples(st.sampled_from(["personal", "generic"]), st.lists(texts, max_size=4)), max_size=3)

Answers = list[tuple[str, str, str, list[tuple[str, list[str]]]]]


def noted(answers: Answers, hour: int = HOUR) -> tuple[ServedAnswers, list[bytes]]:
    """What was served, and the release's products. Each answer: cookie, location, request id, and per route its
    products; a second apart.
    """
    names: dict[bytes, int] = {}
    notes = AnswerNotes(hour, "r1", 1, [])
    for number, (cookie, location, request_id, of_routes) in enumerate(answers):
        items = 0
        for route, products in of_routes:
            shown = [json.dumps(product, ensure_ascii=False).encode() for product in products]
            items += notes.run(route, [names.setdefault(name, len(names)) for name in shown])
        notes.answer(hour * 3600 + number + 0.25, cookie, request_id.encode(), location, "", items)
    return notes.served(), list(names)
