"""Every exposure of The Complete Journey: all products that the visited store promoted in the week of the visit.

The year has 568 million, so they are made an hour at a time, as numbers, and never held in memory together.
"""

from __future__ import annotations

from collections.abc import Iterable
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import numpy as np
import numpy.typing as npt
import pandas as pd
import pyarrow as pa
import pyarrow.compute as pc
import pyarrow.parquet as pq

WEEK_BITS, PRODUCT_BITS = 6, 25
THREADS = 2
Ints = npt.NDArray[np.int64]


class Shelves:
    """The distinct products that each store promoted in each week, ordered by their ids."""

    def __init__(self, promotions: Iterable[pa.RecordBatch], nowhere: str) -> None:
        """`promotions` has product_id, store_id, week and display_location, which is `nowhere` for the mailer alone."""
        packed = np.concatenate([_packed(batch, nowhere) for batch in promotions])
        packed.sort()  # a product on display comes before the same product in the mailer only
        packed = packed[np.flatnonzero(np.diff(packed >> 1, prepend=-1))]
        self.on_display = packed & 1 == 0
        packed >>= 1
        shelf = packed >> PRODUCT_BITS
        self.starts = np.flatnonzero(np.diff(shelf, prepend=-1))
        self.sizes = np.diff(self.starts, append=len(shelf))
        self.shelves = shelf[self.starts]
        packed &= (1 << PRODUCT_BITS) - 1
        is_used = np.zeros(1 << PRODUCT_BITS, bool)
        is_used[packed] = True
        self.names = pa.array(np.flatnonzero(is_used)).cast(pa.string())
        self.products = (np.cumsum(is_used, dtype=np.int32) - np.int32(1))[packed]

    def find(self, store: Ints, week: Ints) -> tuple[Ints, Ints]:
        """Returns where the products of each store and week begin, and their number; 0 without promotions."""
        wanted = store << WEEK_BITS | week
        found = np.minimum(np.searchsorted(self.shelves, wanted), len(self.shelves) - 1)
        is_there = self.shelves[found] == wanted
        return self.starts[found], np.where(is_there, self.sizes[found], 0)


def _packed(batch: pa.RecordBatch, nowhere: str) -> Ints:
    """Packs store, week, product and whether it is only in the mailer into one integer."""
    packed = batch["store_id"].to_numpy() << WEEK_BITS
    packed |= batch["week"].to_numpy()
    packed <<= PRODUCT_BITS
    packed |= batch["product_id"].to_numpy()
    packed <<= 1
    packed |= pc.equal(batch["display_location"], nowhere).to_numpy(zero_copy_only=False)
    return packed


def visits(transactions: pd.DataFrame) -> pd.DataFrame:
    """Returns one row per basket, by time: basket_id, household_id, store_id, week, transaction_timestamp."""
    columns = ["transaction_timestamp", "basket_id", "household_id", "store_id", "week"]
    return transactions[columns].drop_duplicates("basket_id").sort_values(columns[:2]).reset_index(drop=True)


def count(transactions: pd.DataFrame, shelves: Shelves) -> int:
    """Returns how many exposures there are, without making them."""
    made = visits(transactions)
    return int(shelves.find(made.store_id.to_numpy(), made.week.to_numpy())[1].sum())


def exposures(made: pd.DataFrame, shelves: Shelves, schema: pa.Schema) -> pa.Table:
    """Returns the exposures of visits, as events whose strings are dictionaries. They need no ids, because none comes
    twice."""
    start, size = shelves.find(made.store_id.to_numpy(), made.week.to_numpy())
    rows = int(size.sum())
    visit = np.repeat(np.arange(len(made), dtype=np.int32), size)
    place = np.arange(rows) + np.repeat(start - (np.cumsum(size) - size), size)
    product, names = _used(shelves.products[place], shelves.names)
    ts = made.transaction_timestamp.to_numpy().astype("datetime64[us]").astype(np.int64)
    devices = shelves.on_display[place].astype(np.int32)
    columns = {
        "event_id": pa.DictionaryArray.from_arrays(pa.nulls(rows, pa.int32()), pa.array([], pa.string())),
        "ts": pa.array(ts[visit], pa.timestamp("us", "UTC")),
        "cookie_id": _of_visit(visit, made.household_id),
        "session_id": _of_visit(visit, made.basket_id),
        "location": _of_visit(visit, made.store_id),
        "device": pa.DictionaryArray.from_arrays(devices, pa.array(["mailer", "display"])),
        "product_id": pa.DictionaryArray.from_arrays(product, names),
        "event_type": pa.DictionaryArray.from_arrays(np.zeros(rows, np.int32), pa.array(["impression"])),
        "quantity": pa.array(np.ones(rows, np.int32)),
        "price": pa.nulls(rows, pa.float64()),
    }
    return pa.table(columns, schema=with_dictionaries(schema))


def write_all(folder: Path, hours: pd.DatetimeIndex, purchases: pa.Table, made: pd.DataFrame, shelves: Shelves) -> int:
    """Writes an hour partition for each of `hours`: its purchases (in the order of ts), then its exposures."""
    schema = purchases.schema
    bought = _edges(purchases["ts"].cast(pa.int64()).to_numpy(), hours)
    visited = _edges(made.transaction_timestamp.to_numpy().astype("datetime64[us]").astype(np.int64), hours)

    def write(number: int) -> int:
        some = purchases.slice(bought[number], bought[number + 1] - bought[number]).cast(with_dictionaries(schema))
        shown = exposures(made.iloc[visited[number] : visited[number + 1]], shelves, schema)
        table = pa.concat_tables([some, shown]).unify_dictionaries().combine_chunks()
        target = folder / f"dt={hours[number]:%Y-%m-%d}" / f"hr={hours[number]:%H}" / "events.parquet"
        target.parent.mkdir(parents=True, exist_ok=True)
        pq.write_table(table, target, compression="zstd", store_schema=False)  # readers see plain strings
        return table.num_rows

    with ThreadPoolExecutor(THREADS) as pool:
        return sum(pool.map(write, range(len(hours))))


def with_dictionaries(schema: pa.Schema) -> pa.Schema:
    """Returns the schema with dictionaries for strings."""
    coded = pa.dictionary(pa.int32(), pa.string())
    return pa.schema([(field.name, coded if field.type == pa.string() else field.type) for field in schema])


def _edges(ts: Ints, hours: pd.DatetimeIndex) -> list[int]:
    """Returns where each hour begins in sorted microseconds, and where the last one ends."""
    ends = hours.append(hours[-1:] + pd.Timedelta(hours=1))
    return [int(edge) for edge in np.searchsorted(ts, ends.as_unit("us").asi8)]


def _of_visit(visit: npt.NDArray[np.int32], values: pd.Series) -> pa.DictionaryArray:
    return pa.DictionaryArray.from_arrays(visit, pa.array(values.to_numpy()).cast(pa.string()))


def _used(number: npt.NDArray[np.int32], names: pa.StringArray) -> tuple[npt.NDArray[np.int32], pa.StringArray]:
    """Returns a dictionary with only the names that occur, or each hour's file would hold those of all products."""
    is_used = np.zeros(len(names), bool)
    is_used[number] = True
    return (np.cumsum(is_used, dtype=np.int32) - np.int32(1))[number], names.filter(pa.array(is_used))
