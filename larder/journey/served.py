"""Served answers in columns of bytes, in the layout of Arrow buffers, so that no Python object is made per item."""

from __future__ import annotations

from collections.abc import Sequence
from typing import NamedTuple, final

from librt.strings import BytesWriter, write_f64_le, write_i32_le


class ServedAnswers(NamedTuple):
    """Answers of one release within one hour (since 1970 UTC).

    Each column has one value an answer, except `ordinals` (one an item) and `routes` with `route_counts` (one a run of
    items of the same route). Numbers are little-endian int32; `times` are float64, in seconds since 1970 UTC. Text
    columns are concatenated UTF-8 with `ends`, which begin with 0. Locations, devices and routes are indices into
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
    """Collects answers for `served`. `names` has the product ids of the release, as JSON strings.

    `load` is the number of the loaded release: a release name may come again with other products.
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
        """Adds items of one route to the next answer; returns their number."""
        count = len(ordinals)
        write_i32_le(self._routes, self._place(route))
        write_i32_le(self._route_counts, count)
        out = self._ordinals
        for ordinal in ordinals:
            write_i32_le(out, ordinal)
        return count

    def answer(self, now: float, cookie: str, request_id: bytes, location: str, device: str, items: int) -> None:
        """Adds an answer, whose `items` items were added by `run`."""
        self.answers += 1
        write_f64_le(self._times, now)
        self._cookies.add(cookie.encode())
        self._request_ids.add(request_id)
        write_i32_le(self._locations, self._place(location))
        write_i32_le(self._devices, self._place(device))
        write_i32_le(self._counts, items)

    def served(self) -> ServedAnswers:
        """Returns the answers added so far."""
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
    """Concatenated texts and their ends."""

    def __init__(self) -> None:
        self.data = BytesWriter()
        self.ends = BytesWriter()
        self._size = 0
        write_i32_le(self.ends, 0)

    def add(self, text: bytes) -> None:
        """Appends a text."""
        self._size += len(text)
        self.data.write(text)
        write_i32_le(self.ends, self._size)
