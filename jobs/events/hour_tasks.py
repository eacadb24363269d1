"""What Spark's tasks do to aggregate hours: read a piece of the logs and deal it out; count what came together."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass
from itertools import groupby
from typing import NamedTuple

import numpy as np
import pyarrow as pa

from larder.jobs.runtime.python_workers import leaves_worker_ready
from larder.models import columns as C
from larder.models.events.hourly_counts import hourly_counts, packed, split_by_cookie, unpacked
from larder.models.events.validation import OF_FEW_VALUES, READ, REASONS, validated
from larder.storage.event_folders import first_line
from larder.storage.event_rows import Piece, RawBatch, UnreadableError, read_piece
from larder.storage.filesystems import StoragePath
from larder.storage.manifests import DataFile
from larder.storage.parts import Part, PartOptions

REPORT = -1  # the place of what is meant for the driver
# Cookie keys are sorted, times of day all different: a dictionary of either is work for nothing.
COUNTS_OPTIONS = PartOptions(
    of_few_values=[
        C.HOUR, C.PRODUCT_ID, C.LOCATION, C.DEVICE, *C.COUNT_OF_TYPE.values(), C.QUANTITY,
    ],
    searched=[C.HOUR, C.COOKIE_KEY],
    row_group_rows=1 << 20,
)  # fmt: skip
QUARANTINE_ARROW = pa.schema([(name, pa.string()) for name in (C.SOURCE, C.REASON, C.RAW)])


class TaskOutput(NamedTuple):
    """A file that a task wrote, and what it counted on the way."""

    table: str
    hour: int
    file: DataFile | None
    counts: dict[str, int]


class BrokenFile(NamedTuple):
    """A file that can't be read to its end."""

    uri: str
    error: str


class PackedEvents(NamedTuple):
    """Packed events on their way to where they are counted; `piece` and `batch` say in which order they came."""

    piece: int
    batch: int
    events: bytes


Parcel = tuple[int, TaskOutput | BrokenFile | PackedEvents]  # a place, and what goes there


@dataclass(frozen=True)
class HourPlan:
    """How one hour is aggregated: where its tables' runs lie, and into how many files its counts go."""

    counts: StoragePath
    quarantine: StoragePath
    bots: StoragePath
    first_file: int
    files: int


@dataclass(frozen=True)
class AggregationRules:
    """The settings that decide what becomes of a row."""

    column_names: Mapping[str, str]
    max_lateness_hours: int
    max_events: int


@leaves_worker_ready
def read_pieces(pieces: Iterable[Piece], hours: Mapping[int, HourPlan], rules: AggregationRules) -> Iterator[Parcel]:
    """Believed events go to the place where their cookies are counted; the others are written to quarantine."""
    for piece in pieces:
        try:
            yield from _read(piece, hours[piece.hour], rules)
        except UnreadableError as error:
            yield REPORT, BrokenFile(piece.uri, first_line(error))


def _read(piece: Piece, plan: HourPlan, rules: AggregationRules) -> Iterator[Parcel]:
    columns = [rules.column_names.get(name, name) for name in READ]
    few = [rules.column_names.get(name, name) for name in OF_FEW_VALUES]
    rows = 0
    quarantine: Part | None = None
    for batch_number, batch in enumerate(read_piece(piece, columns, few)):
        rows += len(batch.columns)
        events, reason = validated(batch.columns, rules.column_names, piece.hour, rules.max_lateness_hours)
        for number, some in split_by_cookie(events, plan.files):
            yield plan.first_file + number, PackedEvents(piece.number, batch_number, packed(some))
        if len(events) < len(reason):
            quarantine = quarantine or Part(QUARANTINE_ARROW)
            quarantine.add(_rejected(piece.uri, batch, reason))
    rejected = quarantine.rows if quarantine else 0
    file = quarantine.write(plan.quarantine, piece.number) if quarantine else None
    yield REPORT, TaskOutput("quarantine", piece.hour, file, {"rows_in": rows, "quarantined": rejected})


def _rejected(uri: str, batch: RawBatch, reason: np.ndarray) -> pa.Table:
    rows = np.flatnonzero(reason)
    reasons = [REASONS[code] for code in reason[rows]]
    return pa.table([[uri] * len(rows), reasons, batch.texts_of(rows)], schema=QUARANTINE_ARROW)


@leaves_worker_ready
def count_files(
    parcels: Iterable[Parcel], hours: Mapping[int, HourPlan], rules: AggregationRules
) -> Iterator[TaskOutput | BrokenFile]:
    """Counts the events of each place and writes its file. `parcels` are those of whole places, in any order."""
    first_files = {plan.first_file + file: (hour, file) for hour, plan in hours.items() for file in range(plan.files)}
    for place, group in groupby(sorted(parcels, key=_order), key=lambda parcel: parcel[0]):
        if place == REPORT:
            yield from (content for _, content in group if not isinstance(content, PackedEvents))
            continue
        hour, number = first_files[place]
        events = unpacked([content.events for _, content in group if isinstance(content, PackedEvents)])
        found = hourly_counts(events, hour, rules.max_events)
        counts = {"events": found.events, "duplicates": found.duplicates, "bot_events": 0}
        if found.bots.num_rows:
            counts["bot_events"] = sum(found.bots.column(C.EVENTS).to_pylist())
            yield TaskOutput("bots", hour, _write(found.bots, hours[hour].bots, number, None), {})
        written = _write(found.table, hours[hour].counts, number, COUNTS_OPTIONS) if found.table.num_rows else None
        yield TaskOutput("hourly_counts", hour, written, counts)


def _order(parcel: Parcel) -> tuple[int, int, int]:
    place, content = parcel
    return (place, content.piece, content.batch) if isinstance(content, PackedEvents) else (place, 0, 0)


def _write(table: pa.Table, folder: StoragePath, number: int, options: PartOptions | None) -> DataFile:
    """Writes a table that has no nulls, and says so in its schema: a quarter of the writing is saved."""
    schema = pa.schema([field.with_nullable(False) for field in table.schema])
    part = Part(schema, options)
    part.add(table.cast(schema))
    return part.write(folder, number)
