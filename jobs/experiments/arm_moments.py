"""The sums over units from which the statistics of an experiment follow, for each arm, segment and metric.

Tasks sum up whole numbers, so that the order of units does not matter to any digit.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass
from itertools import combinations_with_replacement
from typing import Any, NamedTuple

import numpy as np
import numpy.typing as npt
import pyarrow as pa
from pyspark.sql import DataFrame
from pyspark.sql import functions as F

from larder.jobs.experiments import experiment_columns as E
from larder.jobs.runtime.python_workers import leaves_worker_ready
from larder.models.experiments.moments import QUANTITIES, Moments
from larder.settings import MetricSettings
from larder.settings.report_section import IMPRESSION, REQUEST

ALL = "all"
SEGMENTS = (E.VISITOR, E.LOCATION, E.DEVICE)
NONE = ""  # the segment of units without a location, or without a device
HUNDREDTHS = 100
PAIRS = list(combinations_with_replacement(range(len(QUANTITIES)), 2))
COUNTS = (E.IMPRESSIONS, E.REQUESTS, E.MOVED, "moved_units")  # beside the metrics
OF_COUNTS = ""  # stands where a metric's name does, in rows of COUNTS
DDL = "arm string, dimension string, segment string, metric string, units long, sums array<decimal(38,0)>"
SUMS = pa.schema(
    [
        *((name, pa.string()) for name in ("arm", "dimension", "segment", "metric")),
        ("units", pa.int64()),
        ("sums", pa.list_(pa.decimal128(38, 0))),
    ]
)
SAFE = 1 << 62
Integers = npt.NDArray[Any]  # of int64, or of Python's integers where products are too large for that


class SegmentKey(NamedTuple):
    """Where sums belong; `dimension` is ALL or one of SEGMENTS, and `metric` may be OF_COUNTS."""

    arm: str
    dimension: str
    segment: str
    metric: str


@dataclass(frozen=True)
class ArmSums:
    """Whole sums over some units: of the quantities and their products (PAIRS), and how many events had a value."""

    units: int
    sums: tuple[int, ...]

    def moments(self, metric: MetricSettings) -> Moments:
        """Returns the moments of a metric, of which y and x may be hundredths."""
        scale = np.array([HUNDREDTHS, 1, HUNDREDTHS, 1] if metric.value else [1, 1, 1, 1], np.float64)
        count = len(QUANTITIES)
        products = np.zeros((count, count))
        for (one, other), total in zip(PAIRS, self.sums[count:], strict=False):
            products[one, other] = products[other, one] = total
        return Moments(self.units, np.array(self.sums[:count], np.float64) / scale, products / np.outer(scale, scale))

    @property
    def valued_events(self) -> int:
        """The events of a metric that have a value."""
        return self.sums[-1]


def arm_sums(units: DataFrame, metrics: Mapping[str, MetricSettings]) -> dict[SegmentKey, ArmSums]:
    """Returns the sums of each arm and segment of `unit_sums`' units.

    No unit comes to the driver: of each arm and segment, one row for each metric does.
    """

    @leaves_worker_ready
    def sum_up(batches: Iterable[pa.RecordBatch]) -> Iterator[pa.RecordBatch]:
        totals: dict[SegmentKey, ArmSums] = {}
        for batch in batches:
            _add(totals, batch, metrics)
        rows = [{**key._asdict(), "units": each.units, "sums": list(each.sums)} for key, each in totals.items()]
        yield pa.RecordBatch.from_pylist(rows, SUMS)

    width = len(QUANTITIES) + len(PAIRS) + 1
    keys = list(SegmentKey._fields)
    parts = units.drop(E.UNIT, E.SINCE).mapInArrow(sum_up, DDL)
    sums = [F.sum(F.col("sums").getItem(place)).alias(f"sum_{place}") for place in range(width)]
    found = parts.groupBy(*keys).agg(F.sum("units").alias("units"), *sums).collect()
    return {
        SegmentKey(*(row[key] for key in keys)): ArmSums(
            row["units"], tuple(int(row[f"sum_{place}"] or 0) for place in range(width))
        )
        for row in found
    }


def _add(totals: dict[SegmentKey, ArmSums], batch: pa.RecordBatch, metrics: Mapping[str, MetricSettings]) -> None:
    quantities = {name: _quantities(batch, name, metric) for name, metric in metrics.items()}
    moved = _numbers(batch, E.MOVED)
    counts = [_numbers(batch, E.IMPRESSIONS), _numbers(batch, E.REQUESTS), moved, (moved > 0).astype(np.int64)]
    quantities[OF_COUNTS] = np.stack(counts)
    arms = _texts(batch, E.ARM)
    for dimension in (ALL, *(name for name in SEGMENTS if name in batch.schema.names)):
        segments = [ALL] * batch.num_rows if dimension == ALL else _texts(batch, dimension)
        pairs, order, starts, units = _groups(arms, segments)
        for name, values in quantities.items():
            sums = np.add.reduceat(values[:, order], starts, axis=1).T.tolist() if pairs else []
            for pair, count, found in zip(pairs, units, sums, strict=True):
                key = SegmentKey(pair[0], dimension, pair[1], name)
                before = totals.get(key, ArmSums(0, (0,) * len(found)))
                added = tuple(one + other for one, other in zip(before.sums, found, strict=True))
                totals[key] = ArmSums(before.units + count, added)


def _groups(
    arms: list[str], segments: list[str]
) -> tuple[list[tuple[str, str]], npt.NDArray[np.int64], npt.NDArray[np.int64], list[int]]:
    """Returns the pairs of arm and segment, an order of rows by pair, where each pair begins, and how many it has."""
    codes: dict[tuple[str, str], int] = {}
    code = np.array([codes.setdefault(pair, len(codes)) for pair in zip(arms, segments, strict=True)], np.int64)
    units = np.bincount(code, minlength=len(codes))
    return list(codes), np.argsort(code, kind="stable"), np.cumsum(units) - units, units.tolist()


def _quantities(batch: pa.RecordBatch, name: str, metric: MetricSettings) -> Integers:
    """Returns y, d, x and e of each unit, their products, and the number of events with a value: (15, units)."""
    denominator = {IMPRESSION: E.IMPRESSIONS, REQUEST: E.REQUESTS}.get(metric.per)
    ones = np.ones(batch.num_rows, np.int64)
    has_before = f"{E.sum_column(name)}{E.BEFORE}" in batch.schema.names
    of_unit = []
    for end in ("", E.BEFORE):
        if end and not has_before:
            of_unit += [0 * ones, 0 * ones]
        else:
            below = ones if denominator is None else _numbers(batch, f"{denominator}{end}")
            of_unit += [_numbers(batch, f"{E.sum_column(name)}{end}"), below]
    largest = max((int(np.abs(each).max(initial=0)) for each in of_unit), default=0)
    if largest**2 * batch.num_rows >= SAFE:
        of_unit = [each.astype(object) for each in of_unit]
    valued = _numbers(batch, E.valued_column(name)) if metric.value else 0 * ones
    return np.stack([*of_unit, *(of_unit[one] * of_unit[other] for one, other in PAIRS), valued])


def _numbers(batch: pa.RecordBatch, name: str) -> Integers:
    numbers: Integers = batch.column(name).to_numpy(zero_copy_only=False)
    return numbers


def _texts(batch: pa.RecordBatch, name: str) -> list[str]:
    return [NONE if text is None else text for text in batch.column(name).to_pylist()]
