"""Served answers column by column, as bytes that Arrow takes as they are: no object is made of what was only shown."""

from __future__ import annotations

from collections.abc import Sequence
from typing import NamedTuple, final

from librt.strings import BytesWriter, write_f64_le, write_i32_le


class ServedAnswers(NamedTuple):
    """Answers of one release within one hour (since 1970 UTC).

    Columns of a value an answer, but for `ordinals` (one an item: the product's place in the release) and `routes`
    with `route_counts` (one a run of items of a route). Numbers are little-endian int32, `times` float64 (seconds since
    1970 UTC); texts follow each other in UTF-8, and their `ends` begin with 0. What has few values is a place in
    `texts`, or -1 for none.
    """

    hour: int
    release: str
    answers: int
    times: bytes
    cookies: bytes
    cookie_ends: bytes
    request_ids: bytes
    request_id_ends: bytes
    locations: bytes
    devices: bytes
    counts: bytes
    ordinals: bytes
    routes: bytes
    route_counts: bytes
    texts: list[str]


@final
class AnswerNotes:
    """Gathers what `served` returns. `names` are the release's products, named as in an answer: JSON.

    `load` tells one load of a release from another: a name may come again with other products.
    """

    def __init__(self, hour: int, release: str, load: int, names: list[bytes]) -> None:
        self.hour = hour
        self.release = release
        self.load = load
        self.names = names
        self.answers = 0
        self._times = BytesWriter()
        self._cookies = TextColumn()
        self._request_ids = TextColumn()
        self._locations = BytesWriter()
        self._devices = BytesWriter()
        self._counts = BytesWriter()
        self._ordinals = BytesWriter()
        self._routes = BytesWriter()
        self._route_counts = BytesWriter()
        self._places: dict[str, int] = {"": -1}
        self._texts: list[str] = []

    def run(self, route: str, ordinals: Sequence[int]) -> int:
        """Notes items of the next answer, and says how many."""
        count = len(ordinals)
        write_i32_le(self._routes, self._place(route))
        write_i32_le(self._route_counts, count)
        out = self._ordinals
        for ordinal in ordinals:
            write_i32_le(out, ordinal)
        return count

    def answer(self, now: float, cookie: str, request_id: bytes, location: str, device: str, items: int) -> None:
        """Notes an answer, whose `items` were noted in runs."""
        self.answers += 1
        write_f64_le(self._times, now)
        self._cookies.add(cookie.encode())
        self._request_ids.add(request_id)
        write_i32_le(self._locations, self._place(location))
        write_i32_le(self._devices, self._place(device))
        write_i32_le(self._counts, items)

    def served(self) -> ServedAnswers:
        """What was noted."""
        return ServedAnswers(
            self.hour,
            self.release,
            self.answers,
            self._times.getvalue(),
            self._cookies.data.getvalue(),
            self._cookies.ends.getvalue(),
            self._request_ids.data.getvalue(),
            self._request_ids.ends.getvalue(),
            self._locations.getvalue(),
            self._devices.getvalue(),
            self._counts.getvalue(),
            self._ordinals.getvalue(),
            self._routes.getvalue(),
            self._route_counts.getvalue(),
            self._texts,
        )

    def _place(self, text: str) -> int:
        place = self._places.get(text)
        if place is None:
            place = self._places[text] = len(self._texts)
            self._texts.append(text)
        return place


@final
class TextColumn:
    """Texts one after the other, and where each ends."""

    def __init__(self) -> None:
        self.data = BytesWriter()
        self.ends = BytesWriter()
        self._size = 0
        write_i32_le(self.ends, 0)

    def add(self, text: bytes) -> None:
        """Appends one."""
        self._size += len(text)
        self.data.write(text)
        write_i32_le(self.ends, self._size)
