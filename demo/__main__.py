"""From raw logs to a served list, on real data: `python -m demo`, or `make demo`."""

from __future__ import annotations

import argparse
import json
import os
import socket
import subprocess
import sys
import time
import urllib.error
import urllib.parse
import urllib.request
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import pyarrow.parquet as pq
from pyspark.sql import SparkSession

from demo.complete_journey import best_sellers, catalogue, per_visit, write_events
from demo.pack_shots import render_pack_shots
from larder.jobs import (
    aggregate_hours,
    embed_products,
    evaluate,
    ingest_images,
    load_redis,
    precompute,
    roll_up,
    train_als,
    train_vision,
)
from larder.jobs.runtime.expected_errors import errors_in_a_line
from larder.jobs.runtime.session import spark_session
from larder.loaders.embedded import embedded_server
from larder.models.hours import as_text, hour
from larder.settings import Settings, load_settings

SETTINGS = Path(__file__).with_name("larder.toml")
START_SECONDS, STOP_SECONDS, POLL_SECONDS = 30.0, 15.0, 0.1


def parse_arguments(argv: list[str] | None = None) -> argparse.Namespace:
    parser = argparse.ArgumentParser(prog="python -m demo", description=__doc__)
    parser.add_argument("--settings", type=Path, default=SETTINGS, metavar="FILE")
    parser.add_argument("--start", type=hour, default="2017-01-01", metavar="HOUR", help="first hour of events")
    parser.add_argument("--as-of", type=hour, default="2017-12-04", metavar="HOUR", help="end of training")
    parser.add_argument("--end", type=hour, default="2018-01-01", metavar="HOUR", help="end of the test")
    parser.add_argument(
        "--impressions", type=per_visit, default=10, metavar="N", help="impressions sampled per visit, or all"
    )
    parser.add_argument(
        "--pictures", type=int, default=3000, metavar="N", help="number of best sellers to draw pack shots of"
    )
    parser.add_argument("--port", type=int, default=None, help="port of the endpoint (default: lookup.port)")
    return parser.parse_args(argv)


def main(argv: list[str] | None = None) -> None:
    arguments = parse_arguments(argv)
    settings = load_settings(arguments.settings)
    begun = time.perf_counter()
    prepare_data(settings, arguments)
    with embedded_server(settings.redis.directory) as url:
        with spark_session("demo", settings) as spark:
            run_jobs(spark, str(arguments.settings), arguments)
        with endpoint(settings, arguments, url) as address:
            print_lookups(address, settings, arguments)
            print(f"\nDone in {time.perf_counter() - begun:.0f} s.", flush=True)
            if sys.stdout.isatty() and sys.stdin.isatty():
                wait(address)


def prepare_data(settings: Settings, arguments: argparse.Namespace) -> None:
    """Writes events, pack shots and catalogue, unless an earlier run with the same arguments wrote them."""
    events = Path(settings.storage.events)
    done = events / "_complete.json"
    made_of = {name: getattr(arguments, name) for name in ("start", "end", "impressions", "pictures")}
    if done.exists() and json.loads(done.read_text()) == made_of:
        print("sample data is there from an earlier run")
        return
    begun = time.perf_counter()
    rows = write_events(events, as_text(arguments.start), as_text(arguments.end), arguments.impressions)
    print(f"{'events':<16} {rows:>11,} rows of The Complete Journey, {time.perf_counter() - begun:.1f} s", flush=True)
    begun = time.perf_counter()
    shots = render_pack_shots(best_sellers(arguments.pictures), Path(settings.storage.images))
    pq.write_table(catalogue(shots), settings.storage.catalogue)
    print(f"{'pack shots':<16} {len(shots):>11,} drawn, {time.perf_counter() - begun:.1f} s", flush=True)
    done.write_text(json.dumps(made_of))


def run_jobs(spark: SparkSession, settings_file: str, arguments: argparse.Namespace) -> None:
    """Runs every job once, as spark-submit would, in one Spark session."""
    start, as_of, end = as_text(arguments.start), as_text(arguments.as_of), as_text(arguments.end)
    flow: list[tuple[Any, list[str]]] = [
        (aggregate_hours, ["--start", start, "--end", end]),
        (roll_up, ["--start", start, "--end", as_of, "--from-empty"]),
        (train_als, ["--as-of", as_of]),
        (ingest_images, []),
        (train_vision, []),
        (embed_products, []),
        (precompute, ["--as-of", as_of]),
        (evaluate, ["--as-of", as_of, "--end", end]),
        (load_redis, ["--as-of", as_of]),
    ]
    for job, argv in flow:
        job.run(spark, job.parse_arguments(["--settings", settings_file, *argv]))


@contextmanager
def endpoint(settings: Settings, arguments: argparse.Namespace, url: str, **variables: str) -> Iterator[str]:
    """Starts the endpoint in a process of its own, waits until it is ready, and stops it at the end.

    `variables` are settings for it alone, as environment variables.
    """
    port = free_port(settings.lookup.host, settings.lookup.port if arguments.port is None else arguments.port)
    environment = {**os.environ, "LARDER_REDIS__URL": url, "LARDER_LOOKUP__PORT": str(port), **variables}
    command = [sys.executable, "-m", "larder", "serve", "--settings", str(arguments.settings)]
    process = subprocess.Popen(command, env=environment, stdin=subprocess.DEVNULL)
    address = f"http://{settings.lookup.host}:{port}"
    try:
        _wait_until_ready(process, address)
        yield address
    finally:
        process.terminate()
        try:
            process.wait(STOP_SECONDS)
        except subprocess.TimeoutExpired:
            process.kill()


def free_port(host: str, wanted: int) -> int:
    """Returns the wanted port, or a free one if it is taken or 0."""
    for port in (wanted, 0):
        with socket.socket() as probe:
            probe.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
            try:
                probe.bind((host, port))
            except OSError:
                print(f"port {port} is taken; using another")
                continue
            return int(probe.getsockname()[1])
    raise SystemExit(f"no free port on {host}")


def _wait_until_ready(process: subprocess.Popen[bytes], address: str) -> None:
    deadline = time.monotonic() + START_SECONDS
    while time.monotonic() < deadline and process.poll() is None:
        try:
            with urllib.request.urlopen(f"{address}/health/ready", timeout=1):
                return
        except (urllib.error.URLError, OSError):
            time.sleep(POLL_SECONDS)
    raise SystemExit(f"the endpoint did not get ready at {address}; is the port taken? Try --port")


def print_lookups(address: str, settings: Settings, arguments: argparse.Namespace) -> None:
    """Asks one question for each kind of visitor, and prints the answers."""
    titles = pq.read_table(settings.storage.catalogue, columns=["product_id", "title"])
    names = dict(zip(titles["product_id"].to_pylist(), titles["title"].to_pylist(), strict=True))
    product, bare = (str(best_sellers(n).product_id.iloc[n - 1]) for n in (3, arguments.pictures + 1))
    questions = [
        ("has bought before", {"cookie": "1228", "location": "367", "device": "till"}),
        (f"looks at {names[product]}", {"product": product, "location": "367", "device": "till"}),
        (f"looks at {names[bare]}, which has no picture", {"product": bare, "location": "367", "device": "till"}),
        ("is new", {"location": "367", "device": "till"}),
        ("has an unknown cookie", {"cookie": "nobody", "location": "367", "device": "till"}),
    ]
    for who, parameters in questions:
        url = f"{address}/v1/recommendations?{urllib.parse.urlencode({**parameters, 'n': 5})}"
        with urllib.request.urlopen(url, timeout=5) as reply:
            answer = json.load(reply)
        print(f"\nA visitor who {who}\n  curl '{url}'")
        for item in answer["items"]:
            score = "" if item["score"] is None else f"{item['score']:.3f}"
            print(f"  {item['route']:<9} {score:>6}  {item['id']:<9} {names.get(item['id'], '')}")
        print("  routes: " + ", ".join(_route(route) for route in answer["routes"]))


def _route(route: dict[str, Any]) -> str:
    why = route["reason"] or route["level"]
    return f"{route['route']} {route['status']}" + (f" ({why})" if why else "")


def wait(address: str) -> None:
    """Waits until Ctrl-C."""
    print(f"Serving at {address} until Ctrl-C. Try {address}/openapi.json, {address}/metrics", flush=True)
    try:
        while True:
            time.sleep(3600)
    except KeyboardInterrupt:
        print()


if __name__ == "__main__":
    with errors_in_a_line():
        main()
