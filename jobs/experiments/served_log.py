"""The journey log as served rows: one for each run of impressions of one request in an arm, with their products.

The products of an answer lie side by side in the log, so that there are some twenty times fewer served rows than
impressions. Files from before experiments lack columns; their impressions are in no arm.
"""

from __future__ import annotations

from collections.abc import Iterator

import numpy as np
import numpy.typing as npt
import pyarrow as pa
import pyarrow.compute as pc
from pyspark.sql import DataFrame, SparkSession

from larder.experiments.running import BETWEEN_NAMES
from larder.jobs.experiments import experiment_columns as E
from larder.jobs.experiments.hour_pieces import read_in_tasks
from larder.models import columns as C
from larder.models.encoding.hashing import xxh64
from larder.models.events.casting import as_codes, as_moment
from larder.models.events.id_texts import as_text
from larder.storage.event_reading import Piece, read_piece, told_as_unreadable

OF_LOG = (
    *(C.TS, C.COOKIE_ID, C.LOCATION, C.DEVICE, C.PRODUCT_ID, C.EVENT_TYPE, C.REQUEST_ID),
    *(E.EXPERIMENT, E.ARM, E.FORCED),
)
# Columns that Parquet's own dictionaries hand over: an answer's values are repeated for each product.
REPEATED = (C.COOKIE_ID, C.LOCATION, C.DEVICE, C.EVENT_TYPE, C.REQUEST_ID, E.EXPERIMENT, E.ARM)
SERVED = pa.schema(
    [
        (E.STATE, pa.string()),
        (E.UNIT, pa.int64()),
        (E.ARM, pa.string()),
        (E.REQUEST, pa.int64()),
        (E.MOMENT, pa.int64()),
        (E.LOCATION, pa.string()),
        (E.DEVICE, pa.string()),
        (E.IMPRESSIONS, pa.int64()),
        (E.PRODUCTS, pa.list_(pa.int64())),
    ]
)
SERVED_DDL = (
    f"{E.STATE} string, {E.UNIT} long, {E.ARM} string, {E.REQUEST} long, {E.MOMENT} long, {E.LOCATION} string, "
    f"{E.DEVICE} string, {E.IMPRESSIONS} long, {E.PRODUCTS} array<long>"
)
Codes = npt.NDArray[np.int32]


def served_in_arms(spark: SparkSession, pieces: list[Piece], experiment: str, by_request: bool) -> DataFrame:
    """Returns the served rows of an experiment, and rows that only count impressions in no arm of it, by STATE.

    UNIT is the cookie, or the request. Raises UnreadableError in a task.
    """

    def read(piece: Piece) -> Iterator[pa.RecordBatch]:
        for batch in _batches(piece):
            with told_as_unreadable():
                yield served_rows(batch, experiment, by_request)

    return read_in_tasks(spark, pieces, read, SERVED_DDL)


def served_before(spark: SparkSession, pieces: list[Piece], experiment: str) -> DataFrame:
    """Returns the served rows of all cookies, with NO_ARM; those in the experiment are in its arms, as they should
    not be there before its start."""

    def read(piece: Piece) -> Iterator[pa.RecordBatch]:
        for batch in _batches(piece):
            with told_as_unreadable():
                yield served_rows(batch, experiment, by_request=False, with_others=True)

    return read_in_tasks(spark, pieces, read, SERVED_DDL)


def experiments_of(spark: SparkSession, pieces: list[Piece]) -> list[str]:
    """Returns the names of all experiments in the log, sorted."""

    def read(piece: Piece) -> Iterator[pa.RecordBatch]:
        for batch in read_piece(piece, (E.EXPERIMENT,), (E.EXPERIMENT,)):
            if E.EXPERIMENT in batch.columns.schema.names:
                _, texts, _ = as_codes(batch.columns.column(E.EXPERIMENT))
                yield pa.record_batch({E.EXPERIMENT: texts})

    rows = read_in_tasks(spark, pieces, read, f"{E.EXPERIMENT} string").distinct().collect()
    return sorted({name for row in rows for name in row[0].split(BETWEEN_NAMES)})


def served_rows(batch: pa.RecordBatch, experiment: str, by_request: bool, with_others: bool = False) -> pa.RecordBatch:
    """Returns a batch of the log as SERVED.

    Args:
        batch: columns of OF_LOG; those of experiments may be missing.
        by_request: whether UNIT is the request; else the cookie.
        with_others: whether impressions that are in no arm of the experiment are rows too, with NO_ARM.
    """
    code, arms = arm_codes(batch, experiment)
    is_forced = _is_forced(batch) & (code >= 0)
    if with_others:
        code, arms = np.where(code < 0, np.int32(len(arms)), code), [*arms, E.NO_ARM]
    rows = np.flatnonzero(_is_impression(batch) & (code >= 0) & ~is_forced)
    forced = int(is_forced.sum())
    left_out = [(E.BY_FORCE, forced), (E.ELSEWHERE, batch.num_rows - forced - len(rows))]
    return _with_counts(_runs(batch, code, arms, rows, by_request), left_out)


def arm_codes(batch: pa.RecordBatch, experiment: str) -> tuple[Codes, list[str]]:
    """Returns the arm of each row in an experiment, -1 for none, as a place in the arms, which are returned too.

    An answer of several experiments has their names in one text, and their arms in the same order in another.
    """
    if not {E.EXPERIMENT, E.ARM} <= set(batch.schema.names):
        return np.full(batch.num_rows, -1, np.int32), []
    name_code, names, _ = as_codes(batch.column(E.EXPERIMENT))
    arm_code, joined, _ = as_codes(batch.column(E.ARM))
    found: dict[str, int] = {}
    # A row and a column more, which stay -1, are where the code -1 of a null leads.
    table = np.full((len(names) + 1, len(joined) + 1), -1, np.int32)
    for row, text in enumerate(names.to_pylist()):
        for column, arms in enumerate(joined.to_pylist()):
            arm = dict(zip(text.split(BETWEEN_NAMES), arms.split(BETWEEN_NAMES), strict=False)).get(experiment)
            if arm is not None:
                table[row, column] = found.setdefault(arm, len(found))
    return table[name_code, arm_code], list(found)


def _batches(piece: Piece) -> Iterator[pa.RecordBatch]:
    return (batch.columns for batch in read_piece(piece, OF_LOG, REPEATED))


def _is_forced(batch: pa.RecordBatch) -> npt.NDArray[np.bool_]:
    if E.FORCED not in batch.schema.names:
        return np.zeros(batch.num_rows, bool)
    forced: npt.NDArray[np.bool_] = pc.fill_null(batch.column(E.FORCED), False).to_numpy(zero_copy_only=False)
    return forced


def _is_impression(batch: pa.RecordBatch) -> npt.NDArray[np.bool_]:
    """The log may be the folder of all events."""
    code, texts, _ = as_codes(batch.column(C.EVENT_TYPE))
    return np.array([*(text == "impression" for text in texts.to_pylist()), False])[code]


def _runs(
    batch: pa.RecordBatch, arm: Codes, arms: list[str], rows: npt.NDArray[np.int64], by_request: bool
) -> pa.Table:
    """Returns the given rows of the log, which are in an arm, as SERVED."""
    cookie, request = (_hashes(batch.column(name)).take(rows) for name in (C.COOKIE_ID, C.REQUEST_ID))
    moment = as_moment(batch.column(C.TS))[0][rows]
    products, _ = as_text(batch.column(C.PRODUCT_ID))
    arm = arm[rows]
    goes_on = np.ones(len(rows), bool)
    goes_on[:1] = False
    for column in (cookie, request, arm):
        goes_on[1:] &= column[1:] == column[:-1]
    starts = np.flatnonzero(~goes_on)
    ends = np.append(starts, len(rows)).astype(np.int32)
    columns = {
        E.STATE: pa.array([E.IN_ARM] * len(starts), pa.string()),
        E.UNIT: (request if by_request else cookie)[starts],
        E.ARM: pa.array(arms, pa.string()).take(pa.array(arm[starts])),
        E.REQUEST: request[starts],
        E.MOMENT: np.minimum.reduceat(moment, starts) if len(starts) else moment,
        E.LOCATION: _texts(batch, C.LOCATION, rows[starts]),
        E.DEVICE: _texts(batch, C.DEVICE, rows[starts]),
        E.IMPRESSIONS: np.diff(ends).astype(np.int64),
        E.PRODUCTS: pa.ListArray.from_arrays(pa.array(ends), pa.array(xxh64(products)[rows])),
    }
    return pa.table(columns, schema=SERVED)


def _hashes(ids: pa.Array) -> npt.NDArray[np.int64]:
    code, texts, _ = as_codes(ids)
    return np.append(xxh64(texts), np.int64(0))[code]


def _texts(batch: pa.RecordBatch, name: str, rows: npt.NDArray[np.int64]) -> pa.StringArray:
    if name not in batch.schema.names:
        return pa.nulls(len(rows), pa.string())
    code, texts, _ = as_codes(batch.column(name))
    return texts.take(pa.array(code[rows], mask=code[rows] < 0))


def _with_counts(rows: pa.Table, left_out: list[tuple[str, int]]) -> pa.RecordBatch:
    counted = [{E.STATE: state, E.IMPRESSIONS: count} for state, count in left_out if count]
    table = pa.concat_tables([rows, pa.Table.from_pylist(counted, SERVED)]).combine_chunks()
    return table.to_batches()[0] if table.num_rows else pa.RecordBatch.from_pylist([], SERVED)
