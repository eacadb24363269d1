"""Writes the demo's events as those of a shop without repeats, where nothing is bought twice and the shelf is viewed.

Of each household and product only the first purchase is left, and a promoted product counts as a view. `make demo` must
have written its events. FOLDER then holds `events` and a `larder.toml` with default settings, for `larder
aggregate-hours` and `larder backtest`.
"""

from __future__ import annotations

import argparse
from pathlib import Path

import pyarrow as pa
import pyarrow.compute as pc
import pyarrow.parquet as pq

from larder.settings import load_settings

SETTINGS = '[storage]\nevents = "events"\ntables = "tables"\n[spark]\nmaster = "local[2]"\ndriver_memory = "4g"\n'


def main() -> None:
    parser = argparse.ArgumentParser(prog="python -m bench.first_purchases", description=__doc__)
    parser.add_argument("folder", type=Path, metavar="FOLDER")
    folder: Path = parser.parse_args().folder
    source = Path(load_settings(Path("demo/larder.toml")).storage.events)
    bought: set[tuple[str, str]] = set()
    hours = sorted(source.glob("dt=*/hr=*/*.parquet"))
    if not hours:
        raise SystemExit(f"there are no events in {source}; run `make demo` first")
    for hour in hours:
        target = folder / "events" / hour.relative_to(source)
        target.parent.mkdir(parents=True, exist_ok=True)
        pq.write_table(_first_purchases(pq.ParquetFile(hour).read(), bought), target)
    (folder / "larder.toml").write_text(SETTINGS)
    print(f"{len(hours):,} hours with {len(bought):,} purchases in {folder}")


def _first_purchases(events: pa.Table, bought: set[tuple[str, str]]) -> pa.Table:
    """Returns an hour's events without purchases of pairs that are in `bought`, and adds its pairs to `bought`."""
    events = events.sort_by("ts")
    pairs = zip(*(events[name].to_pylist() for name in ("cookie_id", "product_id", "event_type")), strict=True)
    kept = []
    for cookie, product, type_ in pairs:
        is_again = type_ == "purchase" and (cookie, product) in bought
        kept.append(not is_again)
        if type_ == "purchase":
            bought.add((cookie, product))
    left = events.filter(pa.array(kept, pa.bool_()))
    types = pc.replace_substring_regex(left["event_type"], "^impression$", "view")
    return left.set_column(left.schema.get_field_index("event_type"), "event_type", types)


if __name__ == "__main__":
    main()
