"""The right result of processing a synthetic log: rows by outcome, exact counts, and the cookies' tastes."""

from __future__ import annotations

import json
from collections import Counter
from dataclasses import asdict
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt
import pyarrow as pa
import pyarrow.compute as pc
import pyarrow.parquet as pq

from demo.synthetic_files import decoded
from demo.synthetic_hashes import cookie_ids
from demo.synthetic_parts import CLEAN, COPY, Part
from demo.synthetic_rows import traits
from demo.synthetic_shape import DEVICES, EVENT_TYPES, HourPlan, Shape

GROUP = ("cookie_id", "product_id", "location", "device")
COUNTS = ("impressions", "views", "add_to_carts", "purchases")
PEOPLE_AT_A_TIME = 500_000


class HourTruth:
    """Adds up an hour part by part. Exact counts of groups are kept only if asked for: they grow with the hour."""

    def __init__(self, shape: Shape, plan: HourPlan, exact: bool) -> None:
        self.shape, self.plan, self.exact = shape, plan, exact
        self.rows = self.late = self.duplicates = self.units = 0
        self.events, self.bot_events = np.zeros(len(EVENT_TYPES), np.int64), np.zeros(len(EVENT_TYPES), np.int64)
        self.quarantined: Counter[str] = Counter()
        self.events_of = np.zeros(shape.people, np.int32)
        self.bots: Counter[str] = Counter()
        self.bot_ids = cookie_ids(np.arange(shape.bot_count) + shape.people, shape.seed)
        self.counted: list[pa.Table] = []

    def add(self, part: Part) -> None:
        self.late += part.late
        self.events_of += np.bincount(part.events_of, minlength=self.shape.people).astype(np.int32)
        for batch, kind in zip(part.batches, part.kinds, strict=True):
            self._add(batch, kind)

    def _add(self, batch: pa.RecordBatch, kind: npt.NDArray[np.int8]) -> None:
        self.rows += batch.num_rows
        self.duplicates += int(np.count_nonzero(kind == COPY))
        reasons = list(self.shape.dirt_kinds.values())
        for number, rows in zip(*np.unique(kind[kind >= 0], return_counts=True), strict=True):
            self.quarantined[reasons[number]] += int(rows)
        is_clean = kind == CLEAN
        types = batch.column("event_type").indices.to_numpy(zero_copy_only=False)
        self.events += _by_type(types[is_clean])
        self.units += pc.sum(_units(batch).filter(pa.array(is_clean))).as_py() or 0
        if self.shape.bot_count:
            cookie = batch.column("cookie_id")
            found = pc.index_in(cookie.dictionary, self.bot_ids).fill_null(-1).to_numpy()
            bot = found[cookie.indices.fill_null(0).to_numpy()]
            bot[~is_clean] = -1  # bots' rows are never dirty and never copied
            self.bot_events += _by_type(types[bot >= 0])
            for number, rows in zip(*np.unique(bot[bot >= 0], return_counts=True), strict=True):
                self.bots[self.bot_ids[int(number)].as_py()] += int(rows)
        if self.exact:
            self.counted.append(_counted(batch, kind))

    def as_json(self, files: int) -> str:
        return json.dumps(
            {
                "hour": self.plan.hour,
                "files": files,
                "rows": self.rows,
                "late": self.late,
                "events": _named(self.events),
                "units": self.units,
                "quarantined": dict(sorted(self.quarantined.items())),
                "duplicates": self.duplicates,
                "bots": dict(sorted(self.bots.items())),
                "bot_events": _named(self.bot_events),
                "busiest_person": int(self.events_of.max()),
            },
            indent=1,
        )

    def counts(self) -> pa.Table:
        """Returns per cookie, product, location and device: events by type, units, last ts (ms), duplicates, is_bot."""
        sums = [(name, "sum") for name in (*COUNTS, "quantity", "duplicates")]
        all_parts = pa.concat_tables(self.counted).combine_chunks()
        found = all_parts.group_by(list(GROUP)).aggregate([*sums, ("last_ts", "max")])
        found = found.rename_columns([name.removesuffix("_sum").removesuffix("_max") for name in found.column_names])
        is_bot = pc.is_in(found["cookie_id"], value_set=self.bot_ids)
        return found.append_column("is_bot", is_bot).sort_by([(name, "ascending") for name in GROUP])


def write_people(folder: Path, shape: Shape) -> None:
    """Writes people.parquet (cookie_id, taste, location, device, is_bot) and products.parquet (product_id, taste)."""
    everyone = shape.people + shape.bot_count
    writer = None
    for start in range(0, everyone, PEOPLE_AT_A_TIME):
        number = np.arange(start, min(everyone, start + PEOPLE_AT_A_TIME))
        taste, home, device = traits(shape, number)
        table = pa.table(
            {
                "cookie_id": cookie_ids(number, shape.seed),
                "taste": pa.array(taste.astype(np.int32)),
                "location": pa.array([f"loc{place}" for place in range(shape.locations)]).take(pa.array(home)),
                "device": pa.array(DEVICES).take(pa.array(device)),
                "is_bot": pa.array(number >= shape.people),
            }
        )
        writer = writer or pq.ParquetWriter(folder / "people.parquet", table.schema, compression="zstd")
        writer.write_table(table)
    if writer is not None:
        writer.close()
    products = np.arange(shape.products)
    tastes = pa.array((products % shape.tastes).astype(np.int32))
    names = pa.array([f"p{number:08d}" for number in products])
    pq.write_table(pa.table({"product_id": names, "taste": tastes}), folder / "products.parquet", compression="zstd")


def write_arguments(folder: Path, shape: Shape, **more: Any) -> None:
    (folder / "arguments.json").write_text(json.dumps({**asdict(shape), **more}, indent=1) + "\n")


def _units(batch: pa.RecordBatch) -> pa.Array:
    """Returns the units bought: a purchase without a quantity is one unit."""
    bought = pc.equal(batch.column("event_type").indices, EVENT_TYPES.index("purchase"))
    return pc.if_else(bought, pc.fill_null(batch.column("quantity"), 1), 0)


def _counted(batch: pa.RecordBatch, kind: npt.NDArray[np.int8]) -> pa.Table:
    valid = pa.array(kind < 0)
    columns = {name: decoded(batch.column(name)) for name in GROUP}
    columns |= {name: pc.fill_null(columns[name], "") for name in ("location", "device")}
    is_copy = kind == COPY
    types = batch.column("event_type").indices.fill_null(-1).to_numpy()
    for number, name in enumerate(COUNTS):
        columns[name] = pa.array(((types == number) & ~is_copy).astype(np.int32))
    columns["quantity"] = pc.if_else(pa.array(is_copy), 0, _units(batch))
    columns["duplicates"] = pa.array(is_copy.astype(np.int32))
    columns["last_ts"] = batch.column("ts")
    return pa.table(columns).filter(valid)


def _by_type(types: npt.NDArray[np.float64] | npt.NDArray[np.int8]) -> npt.NDArray[np.int64]:
    return np.bincount(types.astype(np.int64), minlength=len(EVENT_TYPES))[: len(EVENT_TYPES)]


def _named(counts: npt.NDArray[np.int64]) -> dict[str, int]:
    return {name: int(count) for name, count in zip(EVENT_TYPES, counts, strict=True)}
