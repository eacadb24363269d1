"""Writes synthetic impression logs of any size, and the truth about them: `python -m demo.synthetic --rows 1e6 --to
FOLDER`.

FOLDER/events/dt=/hr=/ holds hour partitions in the event contract, and FOLDER/truth/ the right result of processing
them. The logs have tastes (cookies and products of one cluster), favourites, sessions, times of day, locations and
devices, bots, rows that come late, too late or from the future, duplicates by event_id, and invalid rows of every kind.
An hour is made in parts, so memory does not grow with it. The same arguments give the same bytes.
"""

from __future__ import annotations

import argparse
import time
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import pyarrow.parquet as pq

from demo.synthetic_files import ENDINGS, Files
from demo.synthetic_parts import Parts
from demo.synthetic_shape import Shape
from demo.synthetic_truth import HourTruth, write_arguments, write_people
from larder.models.hours import as_text, hour, hour_partition

EVENTS, TRUTH = "events", "truth"
ROWS_A_FILE = 2_500_000
SHARES = ("late", "duplicates", "dirt", "bots")


def main(argv: list[str] | None = None) -> None:
    arguments = parse_arguments(argv)
    names = ("seed", "cookies", "products", "tastes", "locations", "swing", *SHARES, "max_events_an_hour",
             "max_lateness_hours", "event_ids", "session_ids", "format")  # fmt: skip
    try:
        shape = Shape(rows=int(arguments.rows), **{name: getattr(arguments, name) for name in names})
    except ValueError as error:
        raise SystemExit(f"demo.synthetic: {error}") from None
    begun = time.perf_counter()
    hours = range(arguments.start, arguments.start + arguments.hours)
    compression = arguments.compression or ("none" if shape.format == "json" else "zstd")
    rows = write_log(arguments.to, shape, hours, int(arguments.rows_a_file), compression, arguments.exact)
    seconds = time.perf_counter() - begun
    print(f"{rows:,} rows in {len(hours)} hours, {seconds:.1f} s, {rows / seconds:,.0f} rows/s: {arguments.to}")


def parse_arguments(argv: list[str] | None = None) -> argparse.Namespace:
    defaults = Shape(rows=1_000_000)
    parser = argparse.ArgumentParser(
        prog="python -m demo.synthetic", description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    add = parser.add_argument
    add("--rows", type=float, default=1e6, help="rows of an average hour (default: a million)")
    add("--hours", type=int, default=1, metavar="N", help="how many hours (default: 1)")
    add("--start", type=hour, default="2026-11-20T08", metavar="HOUR", help="first hour (default: 2026-11-20T08)")
    add("--seed", type=int, default=0)
    add("--to", type=Path, required=True, metavar="FOLDER")
    add("--format", choices=("parquet", "json"), default="parquet")
    add("--compression", choices=ENDINGS, help="default: zstd for parquet, none for json")
    add(
        "--rows-a-file", type=float, default=ROWS_A_FILE, metavar="N", help=f"rows of a file (default: {ROWS_A_FILE:,})"
    )
    add("--exact", action="store_true", help="also write the exact counts of every group; memory grows with the hour")
    add(
        "--cookies",
        type=int,
        default=0,
        metavar="N",
        help="number of cookies (default: one per 20 rows of an average hour)",
    )
    for name in ("products", "tastes", "locations"):
        add(f"--{name}", type=int, default=getattr(defaults, name), metavar="N", help="default: %(default)s")
    add(
        "--swing",
        type=float,
        default=defaults.swing,
        help="amplitude of the day around its average; 0: all hours are alike",
    )
    for name in SHARES:
        add(f"--{name}", type=float, default=getattr(defaults, name), help="share of rows (default: %(default)s)")
    for name in ("max_events_an_hour", "max_lateness_hours"):
        option = f"--{name.replace('_', '-')}"
        add(option, type=int, default=getattr(defaults, name), metavar="N", help="default: %(default)s")
    add(
        "--no-event-ids",
        dest="event_ids",
        action="store_false",
        help="write events without ids, and so without duplicates",
    )
    add("--session-ids", action="store_true")
    return parser.parse_args(argv)


def write_log(folder: Path, shape: Shape, hours: range, rows_a_file: int, compression: str, exact: bool = False) -> int:
    """Writes the hours and the truth about them; returns the rows written."""
    truth, parts, rows = folder / TRUTH, Parts(shape), 0
    truth.mkdir(parents=True, exist_ok=True)
    write_arguments(truth, shape, hours=[as_text(number) for number in (hours.start, hours.stop)])
    write_people(truth, shape)
    for number in hours:
        rows += _write_hour(folder, parts, number, rows_a_file, compression, exact)
    return rows


def _write_hour(folder: Path, parts: Parts, number: int, rows_a_file: int, compression: str, exact: bool) -> int:
    plan = parts.shape.plan(number)
    found = HourTruth(parts.shape, plan, exact)
    files = Files(folder / EVENTS / hour_partition(number), parts.shape, rows_a_file, compression)
    with ThreadPoolExecutor(1) as pool:  # a part is written while the next one is made
        writing = None
        for part in parts.hour(plan):
            if writing is not None:
                writing.result()
            writing = pool.submit(files.write, part)
            found.add(part)
        if writing is not None:
            writing.result()
    truth = folder / TRUTH / hour_partition(number)
    truth.mkdir(parents=True, exist_ok=True)
    if exact:
        pq.write_table(found.counts(), truth / "counts.parquet", compression="zstd")
    (truth / "hour.json").write_text(found.as_json(files.finish()) + "\n")
    return found.rows


if __name__ == "__main__":
    main()
