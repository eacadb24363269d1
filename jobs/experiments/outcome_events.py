"""The events that may follow an impression, validated as `aggregate-hours` validates them."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import dataclass

import numpy as np
import numpy.typing as npt
import pyarrow as pa
from pyspark.sql import DataFrame, SparkSession

from larder.jobs.experiments import experiment_columns as E
from larder.jobs.experiments.hour_pieces import read_in_tasks
from larder.models import columns as C
from larder.models.encoding.hashing import xxh64
from larder.models.events.casting import as_codes, as_number
from larder.models.events.id_texts import as_text
from larder.models.events.validation import OF_FEW_VALUES, READ, validated
from larder.settings import EventsSettings, MetricSettings
from larder.storage.event_reading import Piece, read_piece, told_as_unreadable

IMPRESSION = C.EVENT_TYPES.index("impression")
ROWS_A_PIECE_BITS = 40  # an event's number is that of its piece, and of its row in it


@dataclass(frozen=True)
class EventRules:
    """How events are read: the settings of them, the metrics that have a value, and whether UNIT is the request."""

    events: EventsSettings
    valued: Mapping[str, MetricSettings]
    by_request: bool

    def raw(self, column: str) -> str:
        """Returns the name of a column in the logs."""
        return self.events.columns.get(column, column)

    def schema(self) -> pa.Schema:
        """Returns the schema of the events: of each, its UNIT, place and time, and the values of metrics."""
        numbers = (E.UNIT, E.HOUR, E.EVENT, E.MOMENT, E.EVENT_TYPE, E.REQUEST, E.PRODUCT)
        return pa.schema([(name, pa.int64()) for name in (*numbers, *map(E.value_column, self.valued))])


def outcome_events(spark: SparkSession, pieces: list[Piece], rules: EventRules) -> DataFrame:
    """Returns the valid events but impressions; an event may be there twice, with one EVENT number.

    REQUEST is null where no request id is told, and a value where the event has none. Raises UnreadableError in a task.
    """
    schema = rules.schema()
    ddl = ", ".join(f"`{name}` long" for name in schema.names)
    values = {rules.raw(metric.value) for metric in rules.valued.values()}
    wanted = [*{rules.raw(name) for name in (*READ, C.REQUEST_ID)} | values]
    few = [rules.raw(name) for name in OF_FEW_VALUES]

    def read(piece: Piece) -> Iterator[pa.RecordBatch]:
        row = piece.number << ROWS_A_PIECE_BITS
        for batch in read_piece(piece, wanted, few):
            with told_as_unreadable():
                yield event_rows(batch.columns, piece.hour, row, rules)
            row += len(batch.columns)

    return read_in_tasks(spark, pieces, read, ddl)


def event_rows(batch: pa.RecordBatch, hour: int, first_row: int, rules: EventRules) -> pa.RecordBatch:
    """Returns the valid events of a batch but impressions, in the schema of the rules.

    Args:
        batch: raw rows, with the columns that the file has.
        hour: the number of the partition's hour.
        first_row: a number in the hour for the batch's first row.
    """
    others = _not_impressions(batch, rules)
    raw = batch.take(pa.array(others))
    names, limits = rules.events.columns, rules.events
    events, reason = validated(raw, names, hour, limits.max_lateness_hours, limits.placeholder_ids)
    sound = np.flatnonzero(reason == 0)
    requests, _ = as_text(_column(raw, rules.raw(C.REQUEST_ID)).take(pa.array(sound)))
    has_request = requests.is_valid().to_numpy(zero_copy_only=False)
    request = xxh64(requests)
    number = first_row + others[sound]
    if events.event_key is not None:
        number = np.where(events.event_key == 0, number, events.event_key)
    columns = {
        E.UNIT: pa.array(request if rules.by_request else events.cookie_key),
        E.HOUR: pa.array(np.full(len(events), hour)),
        E.EVENT: pa.array(number),
        E.MOMENT: pa.array(events.ts),
        E.EVENT_TYPE: pa.array(events.event_type.astype(np.int64)),
        E.REQUEST: pa.array(request, mask=~has_request),
        E.PRODUCT: pa.array(xxh64(events.products)[events.product]),
    }
    for name, metric in rules.valued.items():
        quantity = events.quantity if metric.times_quantity else np.ones(len(events), np.int32)
        columns[E.value_column(name)] = _hundredths(_column(raw, rules.raw(metric.value)), sound, quantity)
    found = pa.record_batch(columns, schema=rules.schema())
    return found.filter(pa.array(has_request)) if rules.by_request else found


def _not_impressions(batch: pa.RecordBatch, rules: EventRules) -> npt.NDArray[np.int64]:
    """Returns the rows to validate: a log may have a hundred impressions for each other event."""
    code, texts, _ = as_codes(_column(batch, rules.raw(C.EVENT_TYPE)))
    is_other = np.array([*(text != "impression" for text in texts.to_pylist()), True])
    return np.flatnonzero(is_other[code])


def _column(batch: pa.RecordBatch, name: str) -> pa.Array:
    return batch.column(name) if name in batch.schema.names else pa.nulls(batch.num_rows)


def _hundredths(column: pa.Array, rows: npt.NDArray[np.int64], times: npt.NDArray[np.int32]) -> pa.Array:
    """Returns numbers in whole hundredths, whose sums are the same in any order; null where there is no number."""
    numbers = as_number(column)[0][rows] * times
    has_number = ~np.isnan(numbers)
    return pa.array(np.rint(np.where(has_number, numbers, 0.0) * 100).astype(np.int64), mask=~has_number)
