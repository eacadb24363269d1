"""Measures the exact 30 best of all items for every user: ours, Parquet to Parquet and masked, beside peers.

Factors are trained on the data of the ALS bench. MLlib, faiss and the bare matrix product do only some of the users, to
finish in time; ours does all, and two and four times as many.
"""

from __future__ import annotations

import argparse
import json
import sys
import tempfile
from pathlib import Path

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq

from bench.als_engines import Implicit
from bench.outcome import outcome
from bench.process_memory import watched
from bench.tastes import tastes, write_interactions
from bench.topn_engines import ENGINES
from larder.models import columns as C

ITERATIONS, ROWS_A_GROUP = 3, 50_000


def main() -> None:
    parser = argparse.ArgumentParser(prog="python -m bench.topn", description=__doc__)
    parser.add_argument("--users", type=float, default=300e3)
    parser.add_argument("--interactions", type=float, default=10.5e6)
    parser.add_argument("--items", type=float, default=50e3)
    parser.add_argument(
        "--peers", type=float, default=20e3, help="users that peers compute lists for (default: 20,000)"
    )
    parser.add_argument("--scales", default="1,2,4", help="multiples of the users")
    arguments = parser.parse_args()
    users, few = int(arguments.users), int(min(arguments.peers, arguments.users))
    scales: dict[int, dict[str, int]] = {}
    ours: dict[int, float] = {}
    rates: dict[str, float] = {}
    with tempfile.TemporaryDirectory() as work:
        folder = Path(work)
        _write_factors(folder, [int(arguments.interactions), users, int(arguments.items)], few)
        for scale in map(int, arguments.scales.split(",")):
            _repeat_users(folder, scale)
            seconds, memory = _run("ours", folder)
            ours[scale] = scale * users / seconds
            scales[scale] = {"users_per_second": round(ours[scale]), **memory}
            print(f"ours, {scale * users:,} users: {scales[scale]}", flush=True)
        for name in ENGINES:
            if name != "ours":
                rates[name] = few / _run(name, folder)[0]
                print(f"{name}, {few:,} users: {rates[name]:,.0f} users/s", flush=True)
    rate = next(iter(ours.values()))
    print(
        outcome("topn", "users/s", rate, rates, of_gemm_limit=round(rate / rates["gemm"], 3), peak_mb_and_rates=scales)
    )


def _write_factors(folder: Path, shape: list[int], few: int) -> None:
    made = tastes(*shape)
    write_interactions(folder / "interactions", made)
    engine = Implicit(folder)
    engine.train(ITERATIONS)
    users = pq.read_table(engine.users / "part.parquet")
    offsets = np.searchsorted(made.users, np.append(users[C.COOKIE_KEY].to_numpy(), made.n_users))
    counts = np.diff(offsets)
    starts = pa.array(np.concatenate(([0], np.cumsum(counts))), pa.int32())
    bought = pa.array(made.items)
    ids = pq.read_table(engine.items / "part.parquet")[C.PRODUCT_ID].to_pylist()
    number = np.full(made.n_items, -1, np.int32)
    number[[int(id_[1:]) for id_ in ids]] = np.arange(len(ids))
    items = pq.read_table(engine.items / "part.parquet").select([C.FACTORS])
    table = pa.table(
        {
            C.COOKIE_KEY: users[C.COOKIE_KEY],
            C.FACTORS: users[C.FACTORS].cast(pa.list_(pa.float32())),
            C.HISTORY_ITEMS: pa.ListArray.from_arrays(starts, pa.array(number[bought.to_numpy()])),
            C.HISTORY_STRENGTHS: pa.ListArray.from_arrays(starts, pa.array(np.ones(len(bought), np.float32))),
        }
    )
    pq.write_table(table, folder / "base.parquet", compression="zstd", row_group_size=ROWS_A_GROUP)
    spread = np.linspace(0, len(table) - 1, few).astype(np.int64)
    pq.write_table(table.select([C.COOKIE_KEY, C.FACTORS]).take(spread), folder / "few.parquet")
    items = items.append_column(C.PRODUCT_NUMBER, pa.array(np.arange(len(ids), dtype=np.int32)))
    items = items.set_column(0, C.FACTORS, items[C.FACTORS].cast(pa.list_(pa.float32())))
    pq.write_table(items, folder / "items.parquet")


def _repeat_users(folder: Path, times: int) -> None:
    base = pq.read_table(folder / "base.parquet")
    with pq.ParquetWriter(folder / "users.parquet", base.schema, compression="zstd") as writer:
        for _ in range(times):
            writer.write_table(base, row_group_size=ROWS_A_GROUP)


def _run(engine: str, folder: Path) -> tuple[float, dict[str, int]]:
    done = watched([sys.executable, "-m", "bench.topn_engines", engine, str(folder)])
    return float(json.loads(done.output.splitlines()[-1])), done.megabytes()


if __name__ == "__main__":
    main()
