"""Served answers as JSON messages: an impression for each product, with the columns of the Parquet log."""

from __future__ import annotations

import json
from collections.abc import Iterator, Sequence
from itertools import pairwise
from typing import NamedTuple

import numpy as np
import numpy.typing as npt

from larder.journey.served import ServedAnswers
from larder.journey.served_columns import INT32, counts_of, moments_of, positions_of

as_json = json.JSONEncoder(ensure_ascii=False).encode


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
    cookies = _texts(served.cookies, served.cookie_ends)
    start = 0
    for head, cookie, count, moment in zip(heads, cookies, counts.tolist(), (moments // 1000).tolist(), strict=True):
        end = start + count
        items = zip(ordinals[start:end], places[start:end], strict=True)
        yield AnswerMessages([head + names[ordinal] + endings[place] for ordinal, place in items], cookie, moment)
        start = end


def _heads(served: ServedAnswers, moments: npt.NDArray[np.int64]) -> Iterator[bytes]:
    """Yields the common beginning of the messages of each answer."""
    texts = [*map(as_json, served.texts), "null"]
    release = as_json(served.release)
    columns = zip(
        np.datetime_as_string(moments.view("M8[us]"), "us", "UTC").tolist(),
        _texts(served.cookies, served.cookie_ends),
        np.frombuffer(served.locations, INT32).tolist(),
        np.frombuffer(served.devices, INT32).tolist(),
        _texts(served.request_ids, served.request_id_ends),
        strict=True,
    )
    for moment, cookie, location, device, request_id in columns:
        # Index -1, the last, stands for None.
        yield (
            f'{{"ts":"{moment}","cookie_id":{as_json(cookie.decode())},"location":{texts[location]},'
            f'"device":{texts[device]},"event_type":"impression","request_id":{as_json(request_id.decode())},'
            f'"release":{release},"product_id":'
        ).encode()


def _endings(served: ServedAnswers, counts: npt.NDArray[np.int32]) -> tuple[list[bytes], list[int]]:
    """Returns the possible ends of a message, and for each item the index of its end."""
    most = int(counts.max(initial=0))
    routes, found = np.unique(np.frombuffer(served.routes, INT32), return_inverse=True)
    endings = [
        f',"route":{as_json(served.texts[route])},"position":{position}}}'.encode()
        for route in routes
        for position in range(most)
    ]
    runs = np.repeat(found, np.frombuffer(served.route_counts, INT32))
    return endings, (runs * most + positions_of(counts)).tolist()


def _texts(data: bytes, ends: bytes) -> Iterator[bytes]:
    places = np.frombuffer(ends, INT32).tolist()
    return (data[start:end] for start, end in pairwise(places))
