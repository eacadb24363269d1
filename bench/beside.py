"""Measures this build beside another: aggregating, ALS, loading and looking up, by turns on one machine.

The other is a clone with a `.venv` of its own: of an earlier commit, or of this one with other versions of packages.
Each round runs both builds once. The build that comes second in one round comes first in the next, so that a machine
that grows slower or faster harms neither. The ratio is that of the medians; the range is that of the rounds. For
lookups both servers run all the time, and each round asks them for some seconds, one after the other.
"""

from __future__ import annotations

import argparse
import json
import statistics
import subprocess
import sys
import tempfile
from collections.abc import Callable, Iterator, Sequence
from contextlib import ExitStack, contextmanager
from pathlib import Path

import redis

from bench.hour import write_hour
from bench.lookup import ALL_ON, HEADERS, JOURNEY, WARM_SECONDS, write_questions
from bench.lookup_release import write_lookup_release
from bench.lookup_servers import KEY, installed, ours
from bench.outcome import outcome
from bench.tastes import tastes, write_interactions
from bench.wrk import drive, find_wrk
from larder.loaders.embedded import embedded_server

HERE = Path(__file__).parent.parent
BENCHES = ("aggregate", "als", "load", "lookup")
ALS_SHAPE = (3_500_000, 100_000, 50_000)  # interactions, users, items
LOOKUP_COOKIES, LOOKUP_PRODUCTS, LOOKUP_SECONDS = 200_000, 50_000, 3
Rate = Callable[[Path], float]


def main() -> None:
    parser = argparse.ArgumentParser(prog="python -m bench.beside", description=__doc__)
    parser.add_argument("other", type=Path, metavar="FOLDER", help="the clone of the other build")
    parser.add_argument("benches", nargs="*", metavar="BENCH", help=f"of {', '.join(BENCHES)} (default: all)")
    parser.add_argument("--rounds", type=int, default=4, help="runs of each build (default: 4)")
    parser.add_argument("--rows", type=float, default=10e6, help="rows of the aggregated hour (default: 10 million)")
    parser.add_argument("--cookies", type=float, default=1e6, help="cookies of the loaded release (default: a million)")
    arguments = parser.parse_args()
    if strange := set(arguments.benches) - set(BENCHES):
        parser.error(f"there is no bench {', '.join(sorted(strange))}; there are {', '.join(BENCHES)}")
    with tempfile.TemporaryDirectory() as work:
        for bench in arguments.benches or BENCHES:
            if bench == "aggregate":
                folder = write_hour(Path(work) / "events", int(arguments.rows))
                compare(bench, "rows/s", _aggregating(folder, arguments.rows), arguments.other, arguments.rounds)
            elif bench == "als":
                folder = Path(work) / "als"
                write_interactions(folder / "interactions", tastes(*ALS_SHAPE))
                compare(bench, "iterations/h", _training(folder), arguments.other, arguments.rounds)
            elif bench == "load":
                load = ["bench.load", "--cookies", str(int(arguments.cookies)), "--runs", "3"]
                compare(bench, "cookies/s", _told(load), arguments.other, arguments.rounds)
            else:
                with lookups(Path(work), arguments.other.resolve()) as rate:
                    compare(bench, "requests/s", rate, arguments.other, arguments.rounds)


def compare(bench: str, unit: str, rate: Rate, other: Path, rounds: int) -> None:
    """Prints the rates of both builds round by round, then the outcome."""
    builds = {"other": other.resolve(), "this": HERE}
    rates: dict[str, list[float]] = {name: [] for name in builds}
    for number in range(rounds):
        for name in sorted(builds, reverse=number % 2 == 1):
            rates[name].append(rate(builds[name]))
            print(f"{bench:<10} {name:<7} {rates[name][-1]:,.0f} {unit}", flush=True)
    ratios = [this / that for this, that in zip(rates["this"], rates["other"], strict=True)]
    middle = {name: statistics.median(figures) for name, figures in rates.items()}
    by_round = [round(min(ratios), 3), round(max(ratios), 3)]
    print(outcome(bench, unit, middle["this"], {"other": middle["other"]}, ratio_by_round=by_round, rounds=rounds))


@contextmanager
def lookups(work: Path, other: Path) -> Iterator[Rate]:
    """Serves one release by both builds; gives the rate of lookups of known cookies, one worker, all features on."""
    find_wrk()
    settings = ALL_ON.format(key=KEY, workers=1, journey=JOURNEY)
    with ExitStack() as stack:
        url = stack.enter_context(embedded_server(work / "redis", at_port=True))
        client = stack.enter_context(redis.Redis.from_url(url))
        client.config_set("save", "")
        write_lookup_release(client, LOOKUP_COOKIES, LOOKUP_PRODUCTS)
        requests = write_questions(work, LOOKUP_COOKIES, LOOKUP_PRODUCTS)["known"]
        urls = {}
        for name, build in (("other", other), ("this", HERE)):
            place = work / name
            place.mkdir()
            python = _python(build)
            folder = installed(place, build, python)
            urls[build], _ = stack.enter_context(ours(place / "served", url, settings, folder, python))
            drive(urls[build], requests, WARM_SECONDS, headers=HEADERS)
        yield lambda build: drive(urls[build], requests, LOOKUP_SECONDS, headers=HEADERS).rate


def _aggregating(folder: Path, rows: float) -> Rate:
    """Returns the rate of the best of four runs in one process; the first of them starts Spark and compiles."""
    command = ["bench.aggregate_engines", "ours", str(folder), "4"]
    return lambda build: rows / min(json.loads(_last_line(build, command)))


def _training(folder: Path) -> Rate:
    """Returns the iterations an hour of the longest of the trainings that fit into half a minute."""
    command = ["bench.als_engines", "ours", str(folder), json.dumps(ALS_SHAPE), "2.0", "30"]  # NDCG@10 is at most 1

    def rate(build: Path) -> float:
        longest = json.loads(_last_line(build, command))
        return 3600 * longest["iterations"] / longest["fit"]

    return rate


def _told(command: Sequence[str]) -> Rate:
    """Returns the rate of the last line that a bench prints."""
    return lambda build: float(json.loads(_last_line(build, command))["ours"])


def _python(build: Path) -> str:
    python = build / ".venv" / "bin" / "python"
    return str(python) if python.exists() else sys.executable


def _last_line(build: Path, command: Sequence[str]) -> str:
    ran = [_python(build), "-m", *command]
    done = subprocess.run(ran, cwd=build, capture_output=True, text=True)
    if done.returncode:
        raise SystemExit(f"{' '.join(ran)} failed in {build}:\n{done.stderr}")
    return done.stdout.splitlines()[-1]


if __name__ == "__main__":
    main()
