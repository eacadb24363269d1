"""Measures publishing a release: ours from Parquet to live (checked, counted, switched) beside what one would use
instead.

All use one server, which is emptied before each. The peers write no dictionary and check nothing. redis-benchmark
writes values of the same size, which it does not have to compute: its rate is the server's limit.
"""

from __future__ import annotations

import argparse
import contextlib
import json
import shutil
import subprocess
import tempfile
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow.parquet as pq
import redis

from bench.outcome import outcome
from bench.release import AS_OF, ITEMS, write_release
from larder.loaders.embedded import embedded_server

PIPELINED = 1000
JSON_COOKIES = 200_000  # redis-py is slow, and its rate does not depend on the size
LIMIT_SETS = 1_000_000


def main() -> None:
    parser = argparse.ArgumentParser(prog="python -m bench.load", description=__doc__)
    parser.add_argument("--cookies", type=float, default=500e3, help="lists of the release (default: 500,000)")
    parser.add_argument("--products", type=float, default=1e6, help="products of the catalogue (default: a million)")
    parser.add_argument("--runs", type=int, default=2, help="runs of ours and of redis-benchmark; the best counts")
    parser.add_argument("--scores", action="store_true", help="publish scores, too")
    arguments = parser.parse_args()
    cookies, products = int(arguments.cookies), int(arguments.products)
    with tempfile.TemporaryDirectory() as work, contextlib.ExitStack() as stack:
        tables = Path(work) / "tables"
        files = write_release(tables, cookies, products)
        url = stack.enter_context(embedded_server(Path(work) / "redis", at_port=True))
        client = stack.enter_context(redis.Redis.from_url(url))
        client.config_set("save", "")
        settings = _settings(Path(work), tables, url, arguments.scores)
        payload = _payload(files[0])
        runs, limits = [], []
        for _ in range(arguments.runs):  # by turns, so that both meet the same load of the machine
            limits.append(_server_limit(client, payload))
            runs.append(_measured(client, cookies, lambda: _ours(settings)))
        rate, size = max(run[0] for run in runs), runs[0][1]
        peers, sizes = {}, {"ours": size}
        some = min(cookies, JSON_COOKIES)
        loops: dict[str, Callable[[], None]] = {
            "redis_py_json": lambda: _with_redis_py(client, files, some, _as_json),
            "redis_py_packed": lambda: _with_redis_py(client, files, some, _as_packed),
        }
        for name, loop in loops.items():
            peers[name], sizes[name] = _measured(client, some, loop)
        if None in limits:
            print("redis-benchmark is not installed (Debian: redis-tools); its rate is left out")
        else:
            peers["redis_benchmark"] = max(limit for limit in limits if limit is not None)
    for name, figure in {"ours": rate, **peers}.items():
        print(f"{name:<16} {figure:>10,.0f} cookies/s {sizes.get(name, 0):>8.1f} bytes a cookie")
    more: dict[str, Any] = {name: round(value, 1) for name, value in sizes.items()}
    print(outcome("load", "cookies/s", rate, peers, cookies=cookies, bytes_a_cookie=more, payload=payload))


def _settings(work: Path, tables: Path, url: str, scores: bool) -> Path:
    file = work / "larder.toml"
    options = f'url = "{url}"\nscores = {str(scores).lower()}\nbucket_size = 96\nthreads = 2'
    file.write_text(f'[storage]\ntables = "{tables}"\n[redis]\n{options}\n')
    return file


def _measured(client: redis.Redis, cookies: int, work: Callable[[], None]) -> tuple[float, float]:
    """Returns cookies per second, and bytes of used_memory per cookie."""
    client.execute_command("FLUSHALL", "SYNC")
    before, begun = client.info("memory")["used_memory"], time.perf_counter()
    work()
    seconds = time.perf_counter() - begun
    return cookies / seconds, (client.info("memory")["used_memory"] - before) / cookies


def _ours(settings: Path) -> None:
    from larder.jobs import load_redis

    argv = ["--settings", str(settings), "--as-of", AS_OF, "--without-spark"]
    load_redis.run(None, load_redis.parse_arguments(argv))


def _payload(file: Path) -> int:
    """Returns the mean bytes of one of our records: the size of the values that redis-benchmark writes."""
    from larder.jobs.publishing.load_files import as_lists
    from larder.jobs.publishing.release_loading import record_lengths
    from larder.loaders.keys import COOKIES

    batch = next(pq.ParquetFile(file).iter_batches(10_000))
    return int(record_lengths([as_lists(COOKIES, batch)], False).mean())


def _with_redis_py(client: redis.Redis, files: list[Path], cookies: int, packed: Callable[[np.ndarray], bytes]) -> None:
    """Writes lists as a script would: a key per cookie, a thousand commands per pipeline."""
    left, pipeline = cookies, client.pipeline(transaction=False)
    for file in files:
        for batch in pq.ParquetFile(file).iter_batches(50_000, columns=["cookie_key", "items"]):
            keys = batch.column("cookie_key").to_numpy()[:left]
            items = batch.column("items").flatten().to_numpy().reshape(-1, ITEMS)
            for number, key in enumerate(keys):
                pipeline.set(f"rec:{key}", packed(items[number]))
                if number % PIPELINED == PIPELINED - 1:
                    pipeline.execute()
            pipeline.execute()
            left -= len(keys)
            if not left:
                return


def _as_json(items: np.ndarray) -> bytes:
    return json.dumps([f"p{item:08d}" for item in items]).encode()


def _as_packed(items: np.ndarray) -> bytes:
    return items.astype("<u4").tobytes()


def _server_limit(client: redis.Redis, payload: int) -> float | None:
    """Returns the SET commands per second of redis-benchmark, 64 at a time."""
    binary = shutil.which("redis-benchmark") or shutil.which("valkey-benchmark")
    if binary is None:
        return None
    client.execute_command("FLUSHALL", "SYNC")
    port = client.connection_pool.connection_kwargs["port"]
    command = [binary, "-p", str(port), "-n", str(LIMIT_SETS), "-r", str(LIMIT_SETS), "-P", "64", "-t", "set"]
    done = subprocess.run([*command, "-d", str(payload), "--csv"], check=True, capture_output=True, text=True)
    line = next(line for line in done.stdout.splitlines() if line.startswith('"SET"'))
    return float(line.split(",")[1].strip('"'))


if __name__ == "__main__":
    main()
