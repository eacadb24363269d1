"""Served answers in columns of bytes, in the layout of Arrow buffers, so that no Python object is made per item."""

from __future__ import annotations

from typing import Final, NamedTuple, final

from librt.strings import BytesWriter, write_f32_le, write_f64_le, write_i32_le

# Bits of `run_details`: which numbers a run of items has.
HAS_SCORES: Final = 1
HAS_PROPENSITIES: Final = 2
NO_SCORE: Final = float("nan")


class NotedTreatment(NamedTuple):
    """What the experiments in force gave to an answer: experiment, arm and policy as indices into `texts`, or -1."""

    experiment: int
    arm: int
    forced: bool
    policy: int


class ServedAnswers(NamedTuple):
    """Answers from one loaded release within one hour (since 1970 UTC). `load` is the number of the loaded release.

    Each column has one value an answer, except those of items (`ordinals`) and those of runs, which are items of the
    same route that follow each other (`routes`, `route_counts` and `run_details`). Only items of runs with HAS_SCORES
    in `run_details` have a value in `scores`, and only those of runs with HAS_PROPENSITIES have one in `propensities`.
    Numbers are little-endian int32; `times` are float64, in seconds since 1970 UTC; `scores` (NO_SCORE for none) and
    `propensities` are float32, and `run_details` is a byte. Text columns are concatenated UTF-8 with `ends`, which
    begin with 0. Locations, devices and routes are indices into `texts`, and `answer_treatments` into `treatments`; -1
    stands for none.
    """

    hour: int
    release: str
    load: int
    answers: int
    times: bytes
    cookies: bytes
    cookie_ends: bytes
    request_ids: bytes
    request_id_ends: bytes
    locations: bytes
    devices: bytes
    answer_treatments: bytes
    counts: bytes
    ordinals: bytes
    routes: bytes
    route_counts: bytes
    run_details: bytes
    scores: bytes
    propensities: bytes
    texts: list[str]
    treatments: list[NotedTreatment]


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
        self._answer_treatments = BytesWriter()
        self._counts = BytesWriter()
        self._ordinals = BytesWriter()
        self._routes = BytesWriter()
        self._route_counts = BytesWriter()
        self._run_details = BytesWriter()
        self._scores = BytesWriter()
        self._propensities = BytesWriter()
        self._places: dict[str, int] = {"": -1}
        self._texts: list[str] = []
        self._treatment_places: dict[tuple[str, str, bool, str], int] = {}
        self._treatments: list[NotedTreatment] = []

    def run(
        self, route: str, ordinals: list[int], scores: list[float | None] | None, propensities: list[float] | None
    ) -> int:
        """Adds items of one route to the next answer; returns their number.

        `scores` and `propensities` have one value an item. They are None if the release has no scores, and if nothing
        was drawn.
        """
        count = len(ordinals)
        write_i32_le(self._routes, self._place(route))
        write_i32_le(self._route_counts, count)
        out = self._ordinals
        for ordinal in ordinals:
            write_i32_le(out, ordinal)
        details = 0
        if scores is not None:
            details |= HAS_SCORES
            out = self._scores
            for score in scores:
                write_f32_le(out, NO_SCORE if score is None else score)
        if propensities is not None:
            details |= HAS_PROPENSITIES
            out = self._propensities
            for propensity in propensities:
                write_f32_le(out, propensity)
        self._run_details.append(details)
        return count

    def answer(
        self,
        now: float,
        cookie: str,
        request_id: bytes,
        location: str,
        device: str,
        items: int,
        experiment: str,
        arm: str,
        forced: bool,
        policy: str,
    ) -> None:
        """Adds an answer, whose `items` items were added by `run`.

        `experiment` and `arm` are "" for an answer outside of experiments, `policy` if nothing is drawn.
        """
        self.answers += 1
        write_f64_le(self._times, now)
        self._cookies.add(cookie.encode())
        self._request_ids.add(request_id)
        write_i32_le(self._locations, self._place(location))
        write_i32_le(self._devices, self._place(device))
        treatment = self._treatment(experiment, arm, forced, policy) if experiment or policy else -1
        write_i32_le(self._answer_treatments, treatment)
        write_i32_le(self._counts, items)

    def served(self) -> ServedAnswers:
        """Returns the answers added so far."""
        return ServedAnswers(
            self.hour,
            self.release,
            self.load,
            self.answers,
            self._times.getvalue(),
            self._cookies.data.getvalue(),
            self._cookies.ends.getvalue(),
            self._request_ids.data.getvalue(),
            self._request_ids.ends.getvalue(),
            self._locations.getvalue(),
            self._devices.getvalue(),
            self._answer_treatments.getvalue(),
            self._counts.getvalue(),
            self._ordinals.getvalue(),
            self._routes.getvalue(),
            self._route_counts.getvalue(),
            self._run_details.getvalue(),
            self._scores.getvalue(),
            self._propensities.getvalue(),
            self._texts,
            self._treatments,
        )

    def _place(self, text: str) -> int:
        place = self._places.get(text)
        if place is None:
            place = self._places[text] = len(self._texts)
            self._texts.append(text)
        return place

    def _treatment(self, experiment: str, arm: str, forced: bool, policy: str) -> int:
        key = (experiment, arm, forced, policy)
        place = self._treatment_places.get(key)
        if place is None:
            place = self._treatment_places[key] = len(self._treatments)
            noted = NotedTreatment(self._place(experiment), self._place(arm), forced, self._place(policy))
            self._treatments.append(noted)
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
