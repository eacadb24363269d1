"""Served answers as JSON messages: an impression for each product, with the columns of the Parquet log."""

from __future__ import annotations

import json
from collections.abc import Iterator, Sequence
from itertools import pairwise
from typing import NamedTuple

import numpy as np
import numpy.typing as npt

from larder.journey.served import NotedTreatment, ServedAnswers
from larder.journey.served_columns import INT32, counts_of, moments_of, positions_of, propensities_of, scores_of

as_json = json.JSONEncoder(ensure_ascii=False).encode
NO_TREATMENT = '"experiment":null,"arm":null,"forced":null,"policy":null'


class AnswerMessages(NamedTuple):
    """The messages of one answer: a JSON object for each product, in order; the cookie in UTF-8; the time served, in
    milliseconds since 1970 UTC.
    """

    values: list[bytes]
    cookie: bytes
    moment: int


def messages(served: ServedAnswers, names: Sequence[bytes]) -> Iterator[AnswerMessages]:
    """Yields the messages of each answer, in order. `names` has the product ids of the release, as JSON strings."""
    counts, moments = counts_of(served), moments_of(served)
    heads = _heads(served, moments)
    endings, places = _endings(served, counts)
    ordinals = np.frombuffer(served.ordinals, INT32).tolist()
    tails, tail_places = _tails(served)
    cookies = _texts(served.cookies, served.cookie_ends)
    start = 0
    for head, cookie, count, moment in zip(heads, cookies, counts.tolist(), (moments // 1000).tolist(), strict=True):
        end = start + count
        items = zip(ordinals[start:end], places[start:end], tail_places[start:end], strict=True)
        values = [head + names[ordinal] + endings[place] + tails[tail] for ordinal, place, tail in items]
        yield AnswerMessages(values, cookie, moment)
        start = end


def _heads(served: ServedAnswers, moments: npt.NDArray[np.int64]) -> Iterator[bytes]:
    """Yields the common beginning of the messages of each answer."""
    texts = [*map(as_json, served.texts), "null"]
    release = as_json(served.release)
    treatments = [*(_treatment(each, texts) for each in served.treatments), NO_TREATMENT]
    columns = zip(
        np.datetime_as_string(moments.view("M8[us]"), "us", "UTC").tolist(),
        _texts(served.cookies, served.cookie_ends),
        np.frombuffer(served.locations, INT32).tolist(),
        np.frombuffer(served.devices, INT32).tolist(),
        _texts(served.request_ids, served.request_id_ends),
        np.frombuffer(served.answer_treatments, INT32).tolist(),
        strict=True,
    )
    for moment, cookie, location, device, request_id, treatment in columns:
        # Index -1, the last, stands for None.
        yield (
            f'{{"ts":"{moment}","cookie_id":{as_json(cookie.decode())},"location":{texts[location]},'
            f'"device":{texts[device]},"event_type":"impression","request_id":{as_json(request_id.decode())},'
            f'"release":{release},{treatments[treatment]},"product_id":'
        ).encode()


def _treatment(noted: NotedTreatment, texts: list[str]) -> str:
    """Returns the fields of a treatment. `texts` are JSON, with null at the end."""
    forced = as_json(noted.forced) if noted.experiment >= 0 else "null"
    return (
        f'"experiment":{texts[noted.experiment]},"arm":{texts[noted.arm]},"forced":{forced},'
        f'"policy":{texts[noted.policy]}'
    )


def _endings(served: ServedAnswers, counts: npt.NDArray[np.int32]) -> tuple[list[bytes], list[int]]:
    """Returns what messages can say of route and position, and for each item the index of what is said of it."""
    most = int(counts.max(initial=0))
    routes, found = np.unique(np.frombuffer(served.routes, INT32), return_inverse=True)
    endings = [
        f',"route":{as_json(served.texts[route])},"position":{position},"propensity":'.encode()
        for route in routes
        for position in range(most)
    ]
    runs = np.repeat(found, np.frombuffer(served.route_counts, INT32))
    return endings, (runs * most + positions_of(counts)).tolist()


def _tails(served: ServedAnswers) -> tuple[list[bytes], list[int]]:
    """Returns the possible ends of a message, from the value of the propensity on, and the index of each item's."""
    pairs = np.stack([propensities_of(served), scores_of(served)], axis=1)
    # Few pairs differ: the scores of a list are multiples of a step.
    different, places = np.unique(pairs.view(np.uint64), return_inverse=True)
    tails = [
        f'{propensity!s},"score":{"null" if np.isnan(score) else str(score)}}}'.encode()
        for propensity, score in different.view(np.float32).reshape(-1, 2)
    ]
    return tails, places.ravel().tolist()


def _texts(data: bytes, ends: bytes) -> Iterator[bytes]:
    places = np.frombuffer(ends, INT32).tolist()
    return (data[start:end] for start, end in pairwise(places))
