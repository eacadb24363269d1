"""The Spark tasks that aggregate hours: one reads a piece of the logs and routes its events, one counts them."""

from __future__ import annotations

import time
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
from larder.storage.event_reading import Piece, RawBatch, UnreadableError, read_piece, told_as_unreadable
from larder.storage.filesystems import StoragePath
from larder.storage.json_lines import ColumnNames
from larder.storage.manifests import DataFile
from larder.storage.parquet_parts import Part, PartOptions

REPORT = -1  # the destination of what is meant for the driver
# A store that stumbles gets a second look. A piece's events are kept back until it is read, up to so many bytes.
READINGS, PAUSE_SECONDS, MOST_KEPT_BACK = 2, 0.5, 256 << 20
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
    """A file that can't be read to its end. `is_sure`: because of its content, not perhaps because of the store."""

    hour: int
    uri: str
    error: str
    is_sure: bool


class FoundColumns(NamedTuple):
    """Which of the columns that were looked for a file has, and which it has in another letter case only."""

    uri: str
    seen: tuple[str, ...]
    other_case: tuple[str, ...]


class PackedEvents(NamedTuple):
    """Packed events on their way to where they are counted; `piece` and `batch` say in which order they came."""

    piece: int
    batch: int
    events: bytes


Report = TaskOutput | BrokenFile | FoundColumns
Parcel = tuple[int, Report | PackedEvents]  # a destination (a file of counts, or REPORT), and what goes there


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
    placeholders: tuple[str, ...] = ()


@leaves_worker_ready
def read_pieces(pieces: Iterable[Piece], hours: Mapping[int, HourPlan], rules: AggregationRules) -> Iterator[Parcel]:
    """Sends valid events to the file in which their cookies are counted, and writes the others to quarantine."""
    for piece in pieces:
        yield from _read_again(piece, hours[piece.hour], rules)


def _read_again(piece: Piece, plan: HourPlan, rules: AggregationRules) -> Iterator[Parcel]:
    """Reads a piece, and once more if that fails; nothing of a reading that failed is sent if it can be kept back."""
    for reading in range(1, READINGS + 1):
        kept_back: list[Parcel] = []
        size = 0
        try:
            for parcel in _read(piece, plan, rules):
                kept_back.append(parcel)
                size += len(parcel[1].events) if isinstance(parcel[1], PackedEvents) else 0
                if size > MOST_KEPT_BACK:
                    reading = READINGS  # what is sent can't be taken back: the driver begins the hour anew
                    yield from kept_back
                    kept_back.clear()
        except UnreadableError as error:
            if reading == READINGS or error.is_sure:
                yield REPORT, BrokenFile(piece.hour, piece.uri, first_line(error), error.is_sure)
                return
            time.sleep(PAUSE_SECONDS)
        else:
            yield from kept_back
            return


def _read(piece: Piece, plan: HourPlan, rules: AggregationRules) -> Iterator[Parcel]:
    columns = [rules.column_names.get(name, name) for name in READ]
    few = [rules.column_names.get(name, name) for name in OF_FEW_VALUES]
    rows = 0
    names = ColumnNames()
    quarantine: Part | None = None
    for batch_number, batch in enumerate(read_piece(piece, columns, few, names)):
        rows += len(batch.columns)
        with told_as_unreadable():
            events, reason = validated(
                batch.columns,
                rules.column_names,
                piece.hour,
                rules.max_lateness_hours,
                rules.placeholders,
            )
            rejected = _rejected(piece.uri, batch, reason) if len(events) < len(reason) else None
        for number, some in split_by_cookie(events, plan.files):
            yield plan.first_file + number, PackedEvents(piece.number, batch_number, packed(some))
        if rejected is not None:
            quarantine = quarantine or Part(QUARANTINE_ARROW)
            quarantine.add(rejected)
    file = quarantine.write(plan.quarantine, piece.number) if quarantine else None
    counts = {"rows_in": rows, "quarantined": quarantine.rows if quarantine else 0}
    yield REPORT, TaskOutput("quarantine", piece.hour, file, counts)
    yield REPORT, FoundColumns(piece.uri, tuple(sorted(names.seen)), tuple(sorted(names.other_case)))


def _rejected(uri: str, batch: RawBatch, reason: np.ndarray) -> pa.Table:
    rows = np.flatnonzero(reason)
    reasons = [REASONS[code] for code in reason[rows]]
    return pa.table([[uri] * len(rows), reasons, batch.texts_of(rows)], schema=QUARANTINE_ARROW)


@leaves_worker_ready
def count_files(parcels: Iterable[Parcel], hours: Mapping[int, HourPlan], rules: AggregationRules) -> Iterator[Report]:
    """Counts each destination's events and writes its file. `parcels`: all of some destinations, in any order."""
    first_files = {plan.first_file + file: (hour, file) for hour, plan in hours.items() for file in range(plan.files)}
    for destination, group in groupby(sorted(parcels, key=_order), key=lambda parcel: parcel[0]):
        if destination == REPORT:
            yield from (content for _, content in group if not isinstance(content, PackedEvents))
            continue
        hour, number = first_files[destination]
        events = unpacked([content.events for _, content in group if isinstance(content, PackedEvents)])
        found = hourly_counts(events, hour, rules.max_events)
        counts = {"events": found.events, "duplicates": found.duplicates, "bot_events": 0}
        if found.bots.num_rows:
            counts["bot_events"] = sum(found.bots.column(C.EVENTS).to_pylist())
            yield TaskOutput("bots", hour, _write(found.bots, hours[hour].bots, number, None), {})
        written = _write(found.table, hours[hour].counts, number, COUNTS_OPTIONS) if found.table.num_rows else None
        yield TaskOutput("hourly_counts", hour, written, counts)


def _order(parcel: Parcel) -> tuple[int, int, int]:
    destination, content = parcel
    return (destination, content.piece, content.batch) if isinstance(content, PackedEvents) else (destination, 0, 0)


def _write(table: pa.Table, folder: StoragePath, number: int, options: PartOptions | None) -> DataFile:
    """Writes a table that has no nulls, and says so in its schema: a quarter of the writing is saved."""
    schema = pa.schema([field.with_nullable(False) for field in table.schema])
    part = Part(schema, options)
    part.add(table.cast(schema))
    return part.write(folder, number)
