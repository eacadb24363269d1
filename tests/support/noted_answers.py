"""Answers as the endpoint notes them."""

from __future__ import annotations

import json
from collections.abc import Sequence
from typing import Any, NamedTuple

import numpy as np
from hypothesis import strategies as st

from larder.journey.served import AnswerNotes, ServedAnswers

HOUR = 420_072  # 2017-12-03T00
OUTSIDE = ("", "", False, "")


class ShownList(NamedTuple):
    """Products of one route; scores and propensities by product, or None."""

    route: str
    products: list[str]
    scores: list[float | None] | None = None
    propensities: list[float] | None = None


class ShownAnswer(NamedTuple):
    """An answer; its treatment is experiment, arm, forced and policy."""

    cookie: str
    location: str
    request_id: str
    lists: Sequence[ShownList | tuple[str, list[str]]]
    treatment: tuple[str, str, bool, str] = OUTSIDE


Answers = Sequence[ShownAnswer | tuple[str, str, str, list[tuple[str, list[str]]]]]

texts = st.text(st.characters(codec="utf-8"), min_size=1, max_size=6)
routes = st.sampled_from(["personal", "generic"])
treatments = st.one_of(
    st.just(OUTSIDE),
    st.tuples(texts, st.sampled_from(["a", "b", '"']), st.booleans(), st.sampled_from(["", "softmax", '"\n'])),
    st.tuples(st.just(""), st.just(""), st.just(False), texts),
)


@st.composite
def shown_lists(draw: st.DrawFn) -> ShownList:
    """Lists of a release with or without scores, drawn or not."""
    products = draw(st.lists(texts, max_size=4))
    many = len(products)
    score = st.none() | st.floats(0, width=32, allow_nan=False, allow_infinity=False)
    scores = draw(st.none() | st.lists(score, min_size=many, max_size=many))
    propensity = st.floats(0, 1, width=32, exclude_min=True)
    propensities = draw(st.none() | st.lists(propensity, min_size=many, max_size=many))
    return ShownList(draw(routes), products, scores, propensities)


shown_answers = st.builds(
    ShownAnswer, texts, st.sampled_from(["", "zone1", '"\n\\']), texts, st.lists(shown_lists(), max_size=3), treatments
)


def noted(answers: Answers, hour: int = HOUR, release: str = "r1", load: int = 1) -> tuple[ServedAnswers, list[bytes]]:
    """What was served, a second apart, and the release's products."""
    names: dict[bytes, int] = {}
    notes = AnswerNotes(hour, release, load, [])
    for number, answer in enumerate(ShownAnswer(*each) for each in answers):
        items = 0
        for shown in [ShownList(*each) for each in answer.lists]:
            as_json = [json.dumps(product, ensure_ascii=False).encode() for product in shown.products]
            ordinals = [names.setdefault(name, len(names)) for name in as_json]
            items += notes.run(shown.route, ordinals, shown.scores, shown.propensities)
        moment = hour * 3600 + number + 0.25
        request_id = answer.request_id.encode()
        notes.answer(moment, answer.cookie, request_id, answer.location, "", items, *answer.treatment)
    return notes.served(), list(names)


def details(row: dict[str, Any]) -> tuple[Any, ...]:
    """What a row of the log says of experiments and numbers; the numbers as float32."""
    score = row["score"]
    numbers = (np.float32(row["propensity"]), None if score is None else np.float32(score))
    return (row["experiment"], row["arm"], row["forced"], row["policy"], *numbers)


def details_of(answers: Answers) -> list[tuple[Any, ...]]:
    """The details that the rows of these answers must have."""
    rows = []
    for answer in [ShownAnswer(*each) for each in answers]:
        experiment, arm, forced, policy = answer.treatment
        given = (experiment or None, arm or None, forced if experiment else None, policy or None)
        for shown in [ShownList(*each) for each in answer.lists]:
            for number in range(len(shown.products)):
                score = None if shown.scores is None else shown.scores[number]
                propensity = 1.0 if shown.propensities is None else shown.propensities[number]
                rows.append((*given, np.float32(propensity), None if score is None else np.float32(score)))
    return rows
