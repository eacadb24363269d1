"""What Spark's tasks do to roll up: turn hours' counts into terms dealt to ranges; add a range's terms to its state."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator, Mapping
from itertools import groupby
from typing import NamedTuple, TypeAlias

import pyarrow as pa
import pyarrow.parquet as pq

from larder.jobs.runtime.python_workers import leaves_worker_ready
from larder.models import columns as C
from larder.models.interactions.decay import Decay
from larder.models.interactions.running_sums import (
    context_terms,
    dealt_by_cookie,
    dealt_by_product,
    interaction_terms,
    joined,
    moved,
    rolled_up_contexts,
    rolled_up_interactions,
)
from larder.storage.filesystems import StoragePath
from larder.storage.manifests import DataFile, StoredFile
from larder.storage.parquet_parts import Part, PartOptions, part_name

ROWS_A_TASK = 2_000_000
READ = [C.HOUR, C.COOKIE_KEY, C.PRODUCT_ID, C.LOCATION, C.DEVICE, *C.COUNT_OF_TYPE.values()]
TEXTS = [C.PRODUCT_ID, C.LOCATION, C.DEVICE]
INTERACTIONS_ARROW = pa.schema(
    [
        (C.COOKIE_KEY, pa.int64()),
        (C.PRODUCT_ID, pa.string()),
        (C.STRENGTH, pa.int64()),
        (C.PURCHASES, pa.int64()),
        (C.LAST_HOUR, pa.int32()),
        (C.LAST_PURCHASE_HOUR, pa.int32()),
    ]
)
CONTEXTS_ARROW = pa.schema(
    [(C.LOCATION, pa.string()), (C.DEVICE, pa.string()), (C.PRODUCT_ID, pa.string()), (C.STRENGTH, pa.int64())]
)
INTERACTIONS_OPTIONS = PartOptions(
    [C.PRODUCT_ID, C.PURCHASES, C.LAST_HOUR, C.LAST_PURCHASE_HOUR], [C.COOKIE_KEY], 1 << 20
)
CONTEXTS_OPTIONS = PartOptions(TEXTS, [], 1 << 20)
Deal: TypeAlias = "Callable[[pa.Table, int], list[tuple[int, pa.Table]]]"


class HourFile(NamedTuple):
    """One file of hourly counts."""

    hour: int
    stored: StoredFile
    rows: int


class RollUpRules(NamedTuple):
    """The window and the settings that decide what its events weigh."""

    start: int
    end: int
    weights: Mapping[str, float]
    interactions_half_life_days: float
    contexts_half_life_days: float
    horizon_hours: int
    ranges: int

    def decays(self, hour: int) -> tuple[Decay, Decay]:
        """What the terms of an hour are relative to: the landmarks in force at the hour's end."""
        half_lives = (self.interactions_half_life_days, self.contexts_half_life_days)
        return Decay.at(hour + 1, half_lives[0]), Decay.at(hour + 1, half_lives[1])


class StatePlan(NamedTuple):
    """Where a state goes, and what it goes on from: files of that many ranges, relative to a landmark."""

    place: StoragePath
    before: tuple[StoredFile, ...]
    rows_before: int
    ranges_before: int
    decay_before: Decay | None


class Terms(NamedTuple):
    """Packed terms on their way to their range; relative to `landmark`, of hours from `hour` on."""

    landmark: float
    hour: int
    uri: str
    table: bytes


RoutedTerms: TypeAlias = tuple[int, Terms]  # a place: a range of interactions, or, after those, of contexts


@leaves_worker_ready
def read_hours(files: Iterable[HourFile], rules: RollUpRules) -> Iterator[RoutedTerms]:
    """The terms of hours' counts, dealt to the ranges of both states; hours of the same landmarks together."""
    for (interactions_decay, contexts_decay), group in groupby(files, key=lambda file: rules.decays(file.hour)):
        together = list(group)
        counts = joined([_read(file.stored, READ) for file in together])
        interactions = interaction_terms(counts, rules.weights, interactions_decay)
        contexts = context_terms(counts, rules.weights, contexts_decay)
        first = together[0]
        for place, some in dealt_by_cookie(interactions, rules.ranges):
            yield place, Terms(interactions_decay.landmark, first.hour, first.stored.uri, _packed(some))
        for place, some in dealt_by_product(contexts, rules.ranges):
            yield rules.ranges + place, Terms(contexts_decay.landmark, first.hour, first.stored.uri, _packed(some))


def _read(file: StoredFile, columns: list[str]) -> pa.Table:
    """Reads the file whole, since its digest is of the whole. Raises DamagedTableError."""
    texts = [name for name in columns if name in TEXTS]
    source = pa.BufferReader(file.read())
    return pq.ParquetFile(source, read_dictionary=texts, pre_buffer=False).read(columns, use_threads=False)


def _packed(table: pa.Table) -> bytes:
    table = table.unify_dictionaries().combine_chunks()
    sink = pa.BufferOutputStream()
    with pa.ipc.new_stream(sink, table.schema) as stream:
        stream.write_table(table)
    return sink.getvalue().to_pybytes()


@leaves_worker_ready
def roll_up_ranges(
    places: Iterable[int], parcels: Iterable[RoutedTerms], states: tuple[StatePlan, StatePlan], rules: RollUpRules
) -> Iterator[tuple[int, DataFile]]:
    """Adds each place's terms to its state and writes it; a state without terms is carried on."""
    of_place: dict[int, list[Terms]] = {place: [] for place in places}
    for place, terms in parcels:
        of_place[place].append(terms)
    for place in list(of_place):
        yield from _roll_up_place(place, of_place.pop(place), states, rules)


def _roll_up_place(
    place: int, found: list[Terms], states: tuple[StatePlan, StatePlan], rules: RollUpRules
) -> Iterator[tuple[int, DataFile]]:
    is_context, number = divmod(place, rules.ranges)
    plan = states[is_context]
    found.sort()
    decay = rules.decays(rules.end - 1)[is_context]
    schema, deal = (CONTEXTS_ARROW, dealt_by_product) if is_context else (INTERACTIONS_ARROW, dealt_by_cookie)
    state = _state(plan, number, rules.ranges, schema, deal)
    current = plan.decay_before or decay
    for landmark, group in groupby(found, key=lambda terms: terms.landmark):
        tables = [pa.ipc.open_stream(terms.table).read_all() for terms in group]
        newer = Decay(decay.half_life, landmark)
        state, current = moved(state, current, newer), newer
        state = _rolled_up(state, tables, bool(is_context), rules)
    state = moved(state, current, decay)
    if current != decay or not found:
        state = _rolled_up(state, [], bool(is_context), rules)
    if state.num_rows:
        part = Part(state.schema, CONTEXTS_OPTIONS if is_context else INTERACTIONS_OPTIONS)
        part.add(state)
        yield place, part.write(plan.place, number)


def _rolled_up(state: pa.Table, terms: list[pa.Table], is_context: bool, rules: RollUpRules) -> pa.Table:
    if is_context:
        return rolled_up_contexts([state, *terms])
    return rolled_up_interactions(state, terms, rules.horizon_hours, rules.end)


def _state(plan: StatePlan, number: int, ranges: int, schema: pa.Schema, deal: Deal) -> pa.Table:
    """The rows of this range in the state before, however many ranges that has."""
    tables = [schema.empty_table()]
    for file in plan.before:
        before = next(n for n in range(plan.ranges_before) if file.uri.endswith(part_name(n)))
        if before * ranges < (number + 1) * plan.ranges_before and number * plan.ranges_before < (before + 1) * ranges:
            tables += [some for range_, some in deal(_read(file, schema.names), ranges) if range_ == number]
    return joined(tables)
