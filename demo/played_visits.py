"""Plays visits at a running endpoint, and writes what the visitors did as events, with the truth beside it."""

from __future__ import annotations

import time
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc
import pyarrow.parquet as pq
from rich.console import Console

from demo.simulated_visitors import (
    VISIT_SCHEMA,
    Behaviour,
    Floats,
    Integers,
    Visitor,
    click_probabilities,
    events_of,
    numbers_of_visits,
    reactions,
    relevance_of,
)
from demo.visit_truth import Truth
from larder.client import Answer, LookupClient, Question
from larder.models.hours import hour_partition

BATCH = 250  # visits in a request
DEADLINE = 30.0  # seconds for a batch
HOUR = 3_600_000_000  # microseconds
FILE = "visits.parquet"
OF_VISITS, OF_DRAWS = 0, 1  # the first number of a random generator's key


class NoAnswerError(RuntimeError):
    """The endpoint did not answer a batch; the message says why."""


@dataclass(frozen=True)
class Play:
    """Visitors at an endpoint. The same seed gives the same visits, and for the same answers the same clicks."""

    url: str
    experiment: str
    visitors: Sequence[Visitor]
    behaviour: Behaviour
    prices: Mapping[str, float]
    seed: int
    api_key: str = ""

    def visits(self) -> Integers:
        """Returns the number of visits of each visitor."""
        return numbers_of_visits(np.random.default_rng((self.seed, OF_VISITS)), len(self.visitors), self.behaviour)

    def order(self) -> Integers:
        """Returns the visitor of each visit, by its place in `visitors`, in random order."""
        visits = np.repeat(np.arange(len(self.visitors)), self.visits())
        return np.random.default_rng((self.seed, OF_VISITS, 1)).permutation(visits)

    def run(self) -> tuple[pa.Table, Truth]:
        """Plays every visit; returns the events in VISIT_SCHEMA and the truth of the answers given.

        Raises NoAnswerError, and BadQuestionError for what the endpoint refuses.
        """
        truth, tables = Truth(self.behaviour, self.prices), [VISIT_SCHEMA.empty_table()]
        order = self.order()
        with self._client() as client, _progress("visits", len(order)) as progress:
            for batch, first in enumerate(range(0, len(order), BATCH)):
                chosen = [self.visitors[place] for place in order[first : first + BATCH]]
                answers, clicks = self._answered(client, chosen, request_id=f"visits-{self.seed}-{batch}")
                moment = time.time_ns() // 1000
                for visitor, answer, row in zip(chosen, answers, clicks, strict=True):
                    truth.add(answer.arms.get(self.experiment, ""), visitor.cookie, answer, row)
                reacted = reactions(np.random.default_rng((self.seed, OF_DRAWS, batch)), clicks, self.behaviour)
                cookies = [visitor.cookie for visitor in chosen]
                tables.append(events_of(cookies, answers, reacted, moment, self.prices))
                progress(first + len(chosen))
        return pa.concat_tables(tables), truth

    def everybody_in(self, arms: Sequence[str]) -> Truth:
        """Returns the truth if every visitor were in each of these arms, which takes an API key that may name arms.

        A visitor counts as often as it visits, so its answers in an arm must always be the same: no exploration.
        """
        truth, visits = Truth(self.behaviour, self.prices), self.visits()
        with self._client() as client:
            for arm in arms:
                for first in range(0, len(self.visitors), BATCH):
                    chosen = self.visitors[first : first + BATCH]
                    answers, clicks = self._answered(client, chosen, arm=f"{self.experiment}:{arm}")
                    for place, (visitor, answer, row) in enumerate(zip(chosen, answers, clicks, strict=True), first):
                        truth.add(arm, visitor.cookie, answer, row, float(visits[place]))
        return truth

    def _client(self) -> LookupClient:
        return LookupClient(self.url, self.api_key, DEADLINE)

    def _answered(
        self, client: LookupClient, visitors: Sequence[Visitor], arm: str = "", request_id: str = ""
    ) -> tuple[list[Answer], Floats]:
        """Returns the visitors' answers, and the probability of a click on each product. Raises NoAnswerError."""
        shown = self.behaviour.shown
        answers = client.recommend_all([Question(each.cookie, n=shown, arm=arm) for each in visitors], request_id)
        if problems := {answer.problem for answer in answers} - {""}:
            raise NoAnswerError(f"no answer from {self.url}: {', '.join(sorted(problems))}")
        return answers, click_probabilities(relevance_of(visitors, answers, shown), self.behaviour)


def write_visits(folder: Path, events: pa.Table, hours: range) -> None:
    """Writes events to the hour partitions of `hours`, an empty file where an hour has none.

    Every event must lie in one of the hours.
    """
    number = events["ts"].cast(pa.int64()).to_numpy() // HOUR
    for hour in hours:
        rows = events.filter(pa.array(number == hour))
        target = folder / hour_partition(hour) / FILE
        target.parent.mkdir(parents=True, exist_ok=True)
        pq.write_table(rows, target, compression="zstd")


def hours_of(events: pa.Table, begun: int) -> range:
    """Returns the hours from `begun`, in microseconds since 1970, to that of the last event."""
    last = pc.max(events["ts"].cast(pa.int64())).as_py()
    return range(begun // HOUR, max(begun, last or begun) // HOUR + 1)


class _Counter:
    """Says on a terminal how many of a total are done."""

    def __init__(self, console: Console, what: str, total: int) -> None:
        self._console, self._what, self._total = console, what, total
        self._begun = time.perf_counter()

    def __call__(self, done: int) -> None:
        if self._console.is_terminal:
            rate = done / (time.perf_counter() - self._begun)
            self._console.print(f"{self._what}  {done:,}/{self._total:,}  {rate:,.0f}/s", end="\r", highlight=False)


@contextmanager
def _progress(what: str, total: int) -> Iterator[_Counter]:
    console = Console(stderr=True)
    yield _Counter(console, what, total)
    if console.is_terminal:
        console.print()
