"""Measures lookups over HTTP: ours with every feature on, a bare loop, a floor, and FastAPI with redis-py.

Redis, wrk and the server share the machine. Ours is built and installed for the run, as on a web server. Each round
drives the servers one after the other over the same lists; the median round counts. The peers read one key per cookie
and answer ten numbers; ours answers ten products, routed. Bare does what the peers do, in one process, with the
endpoint's own HTTP and Redis connection. With own ids, no two requests are alike, as behind a proxy that numbers them.
With four arms, an experiment gives each quarter of the cookies another arm, from three releases of these sizes; one of
the arms explores three positions, and all is logged.
"""

from __future__ import annotations

import argparse
import json
import random
import tempfile
import time
from collections.abc import Mapping
from contextlib import ExitStack
from datetime import datetime, timezone
from pathlib import Path
from typing import NamedTuple
from urllib.request import Request, urlopen

import redis

from bench.lookup_release import DEVICES, LOCATIONS, cookie_id, product_id, write_lookup_release
from bench.lookup_servers import KEY, ROOT, bare, fastapi, floor, installed, ours, processor_seconds, resident_megabytes
from bench.outcome import outcome
from bench.wrk import Load, drive, find_wrk, write_requests
from larder.experiments.running import RunningExperiments, started
from larder.loaders.embedded import embedded_server
from larder.loaders.keys import Keys
from larder.settings import ExperimentSettings

QUESTIONS = 20_000
BATCHES = 200
BATCH = 100
WARM_SECONDS = 2
SOAK_RATE = 11_600
PATH = "/v1/recommendations"
ALL_ON = """
workers = {workers}
seen = true
{journey}
snapshot = "snapshot"
[lookup.api_keys]
bench = "{key}"
spare = "another-key-0123456789"
"""
HEADERS = {"X-API-Key": KEY}
JOURNEY = 'journey = "journey"'
TO_KAFKA, FOUR_ARMS = "ours, journey to Kafka", "ours, four arms"
TESTED = "tested"  # the namespace with an experiment
ARMS = {
    "control": {"share": 0.25},
    "second": {"share": 0.25, "release": "second"},
    "third": {"share": 0.25, "release": "third"},
    "explored": {
        "share": 0.25,
        "explore": {"policy": "plackett_luce", "temperature": 0.2, "positions": [3, 6, 9], "candidates": 20},
    },
}
LOGGED, DROPPED, NO_COOKIE = ("ours", TO_KAFKA, FOUR_ARMS), "larder_lookup_journey_dropped_total", "no_cookie"


class Measured(NamedTuple):
    """One case: what wrk measured, and the CPU time of the server per request, in microseconds."""

    load: Load
    microseconds: float


def main() -> None:
    parser = argparse.ArgumentParser(prog="python -m bench.lookup", description=__doc__)
    parser.add_argument("--cookies", type=float, default=200e3, help="lists of cookies (default: 200,000)")
    parser.add_argument("--products", type=float, default=50e3, help="products of the catalogue (default: 50,000)")
    parser.add_argument("--seconds", type=float, default=10, help="seconds of each measurement (default: 10)")
    parser.add_argument("--rounds", type=int, default=3, help="rounds over all servers; the median counts")
    parser.add_argument("--workers", type=int, default=1, help="workers of each server (default: 1)")
    parser.add_argument("--soak", type=float, default=0, help=f"seconds to hold {SOAK_RATE:,} requests/s; 0: no soak")
    parser.add_argument("--kafka", metavar="HOST:PORT", help="also measure with the journey log sent to this broker")
    arguments = parser.parse_args()
    find_wrk()
    workers = arguments.workers
    with tempfile.TemporaryDirectory() as folder, ExitStack() as stack:
        work = Path(folder)
        url = stack.enter_context(embedded_server(work / "redis", at_port=True))
        client = stack.enter_context(redis.Redis.from_url(url))
        client.config_set("save", "")
        port = int(client.connection_pool.connection_kwargs["port"])
        settings = ALL_ON.format(key=KEY, workers=workers, journey=JOURNEY)
        unlogged = ALL_ON.format(key=KEY, workers=workers, journey="")
        build = installed(work)
        questions = write_questions(work, int(arguments.cookies), int(arguments.products))
        write_lookup_release(client, int(arguments.cookies), int(arguments.products))
        write_experiment(client, int(arguments.cookies), int(arguments.products))
        served = {
            "ours": stack.enter_context(ours(work / "ours", url, settings, build)),
            "ours, no journey log": stack.enter_context(ours(work / "unlogged", url, unlogged, build)),
            "ours, not compiled": stack.enter_context(ours(work / "source", url, settings, ROOT)),
            FOUR_ARMS: stack.enter_context(ours(work / "arms", url, settings, build, namespace=TESTED)),
            "bare": stack.enter_context(bare(port, build)),
            "floor": stack.enter_context(floor(port, workers)),
            "fastapi_redis_py": stack.enter_context(fastapi(port, workers)),
        }
        if arguments.kafka:
            to_kafka = ALL_ON.format(key=KEY, workers=workers, journey=f'kafka = "{arguments.kafka}"')
            served[TO_KAFKA] = stack.enter_context(ours(work / "kafka", url, to_kafka, build))
        cases = {
            name: (*each, questions["known" if name.startswith("ours") else "peers"]) for name, each in served.items()
        }
        cases |= {name: (*served["ours"], questions[name]) for name in ("own ids", "mix", "batch")}
        found = _measured(cases, arguments.rounds, arguments.seconds)
        soak = _soak(*served["ours"], questions["mix"], arguments.soak) if arguments.soak else {}
        dropped = {name: _not_logged(served[name][0]) for name in served if name in LOGGED}
    loads = {name: each.load for name, each in found.items()}
    rates = {name: load.rate for name, load in loads.items()}
    latencies = {name: {"p50": load.p50, "p99": load.p99, "p999": load.p999} for name, load in loads.items()}
    print(
        outcome(
            "lookup",
            "requests/s",
            rates["ours"],
            {name: rates[name] for name in served if name != "ours"},
            milliseconds=latencies,
            own_ids=round(rates["own ids"]),
            mix=round(rates["mix"]),
            batch_answers=round(rates["batch"] * BATCH),
            processor_microseconds={name: round(each.microseconds, 1) for name, each in found.items()},
            failed=sum(load.refused + load.broken for load in loads.values()),
            not_logged=dropped,
            cookies=int(arguments.cookies),
            workers=workers,
            **soak,
        )
    )


def write_questions(work: Path, cookies: int, products: int, seed: int = 0) -> dict[str, Path]:
    """Writes a file of requests for each case."""
    draw = random.Random(seed)
    known = [cookie_id(draw.randrange(cookies)) for _ in range(QUESTIONS)]
    mix = [_visitor(draw, cookies, products) for _ in range(QUESTIONS)]
    batches = [[_visitor(draw, cookies, products) for _ in range(BATCH)] for _ in range(BATCHES)]
    cases: dict[str, list[tuple[str, ...]]] = {
        "peers": [("GET", f"/r/{cookie}") for cookie in known],
        "known": [("GET", f"{PATH}?cookie={cookie}") for cookie in known],
        "own ids": [("GET", f"{PATH}?cookie={cookie}", "", f"{draw.getrandbits(128):032x}") for cookie in known],
        "mix": [("GET", f"{PATH}?{'&'.join(f'{name}={value}' for name, value in each.items())}") for each in mix],
        "batch": [("POST", f"{PATH}:batch", json.dumps({"requests": each})) for each in batches],
    }
    return {name: write_requests(work / f"{name}.txt", requests) for name, requests in cases.items()}


def write_experiment(client: redis.Redis, cookies: int, products: int) -> None:
    """Writes three releases into a namespace of their own, and an experiment with four arms."""
    for number, release in enumerate(("third", "second", "live")):
        write_lookup_release(client, cookies, products, number, TESTED, release)
    wanted = ExperimentSettings.model_validate({"arms": ARMS})
    running = started(
        wanted, {name: arm.release for name, arm in wanted.arms.items()}, datetime(2026, 1, 1, tzinfo=timezone.utc)
    )
    client.set(Keys(TESTED).experiments, RunningExperiments(running={"arms": running}).model_dump_json(by_alias=True))


def _visitor(draw: random.Random, cookies: int, products: int) -> dict[str, str]:
    """Returns a visitor: a third look at a product, a third have a list, a third are new; 20% of the cookies sent are
    unknown."""
    asked = {"location": draw.choice(LOCATIONS), "device": draw.choice(DEVICES)}
    kind = draw.randrange(3)
    if kind < 2:
        known = draw.random() >= 0.2
        asked["cookie"] = cookie_id(draw.randrange(cookies)) if known else f"unknown-{draw.randrange(10**9)}"
    if kind == 0:
        asked["product"] = product_id(draw.randrange(products))
    return asked


def _measured(cases: Mapping[str, tuple[str, int, Path]], rounds: int, seconds: float) -> dict[str, Measured]:
    """Returns the median round of each case, by rate."""
    found: dict[str, list[Measured]] = {name: [] for name in cases}
    for number in range(rounds):
        for name, (url, pid, requests) in cases.items():
            if number == 0:
                drive(url, requests, WARM_SECONDS, headers=HEADERS)
            before = processor_seconds(pid)
            load = drive(url, requests, seconds, headers=HEADERS)
            found[name].append(Measured(load, 1e6 * (processor_seconds(pid) - before) / load.requests))
            print(f"{_line(name, load)}   {found[name][-1].microseconds:6.1f} us of processor", flush=True)
    return {name: sorted(each, key=lambda one: one.load.rate)[len(each) // 2] for name, each in found.items()}


def _soak(url: str, pid: int, requests: Path, seconds: float) -> dict[str, object]:
    """Holds the rate of a billion requests a day, and watches memory."""
    before, began = resident_megabytes(pid), time.monotonic()
    load = drive(url, requests, seconds, rate=SOAK_RATE, headers=HEADERS)
    memory = [round(before), round(resident_megabytes(pid))]
    print(_line("soak", load), f"memory {memory} MB, {time.monotonic() - began:.0f} s", flush=True)
    return {"soak": {"rate": round(load.rate), **load._asdict(), "megabytes": memory}}


def _not_logged(url: str) -> int:
    """Returns how many answers with a cookie a server has not written to its journey log so far."""
    with urlopen(Request(f"{url}/metrics", headers=HEADERS), timeout=10) as answer:
        lines = answer.read().decode().splitlines()
    dropped = [line for line in lines if line.startswith(f"{DROPPED}{{") and NO_COOKIE not in line]
    return round(sum(float(line.rpartition(" ")[2]) for line in dropped))


def _line(name: str, load: Load) -> str:
    return (
        f"{name:<21}{load.rate:>9,.0f} requests/s   p50 {load.p50:6.2f}  p99 {load.p99:6.2f}  p99.9 {load.p999:6.2f}"
        f"  most {load.most:7.2f} ms   {load.refused + load.broken} failed"
    )


if __name__ == "__main__":
    main()
