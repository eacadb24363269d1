"""An experiment from start to report: `python -m demo.experiment`.

Half of The Complete Journey's households get the lists of a plain release, half those of a learned one. They are
simulated: what a household really bought after both releases were made is relevant to it, and other products are
hardly. So it is known which release is better, and by how much; the report of the experiment is printed beside that.
"""

from __future__ import annotations

import argparse
import json
import secrets
import shutil
import time
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import asdict
from datetime import datetime, timezone
from pathlib import Path
from types import ModuleType
from typing import Any

import pyarrow as pa
import pyarrow.compute as pc
import pyarrow.dataset as ds
import pyarrow.parquet as pq
from pyspark.sql import SparkSession

from demo.__main__ import endpoint, prepare_data
from demo.experiment_verdicts import verdict_lines
from demo.played_visits import FILE, HOUR, Play, hours_of, write_visits
from demo.simulated_visitors import Behaviour, Visitor
from larder.cli.connected_redis import connected
from larder.jobs import aggregate_hours, load_redis, precompute, report_experiment, roll_up, train_als
from larder.jobs.runtime.expected_errors import errors_in_a_line
from larder.jobs.runtime.session import spark_session
from larder.loaders.embedded import embedded_server
from larder.loaders.experiment_store import ExperimentStore
from larder.models.hours import as_text, hour, hour_partition
from larder.settings import Settings, load_settings

SETTINGS = Path(__file__).with_name("experiment.toml")
NAME = "lists"
# Events of both releases, the releases, and the end of the purchases that say what households like.
START, PLAIN_AS_OF, LEARNED_AS_OF, END = map(hour, ("2017-11-01", "2017-11-20", "2017-12-04", "2017-12-18"))
LIKED, OTHERS = 0.6, 0.02  # relevance of what a household bought afterwards, and of everything else
CALLER = "visitors"  # who may name an arm, to learn what everybody would get in it


def parse_arguments(argv: list[str] | None = None) -> argparse.Namespace:
    parser = argparse.ArgumentParser(prog="python -m demo.experiment", description=__doc__)
    parser.add_argument("--settings", type=Path, default=SETTINGS, metavar="FILE")
    parser.add_argument("--visitors", type=int, default=None, metavar="N", help="number of visitors (default: all)")
    parser.add_argument("--seed", type=int, default=1, metavar="S", help="seed of visits, clicks and purchases")
    parser.add_argument("--port", type=int, default=0, help="port of the endpoint (default: any that is free)")
    return parser.parse_args(argv)


def main(argv: list[str] | None = None) -> None:
    arguments = parse_arguments(argv)
    settings = load_settings(arguments.settings)
    prepare_data(settings, argparse.Namespace(start=START, end=END, impressions=1, pictures=0))
    with embedded_server(settings.redis.directory) as url, spark_session("experiment", settings) as spark:
        make_releases(spark, arguments.settings)
        forget_earlier_visits(settings)
        key = secrets.token_hex()
        callers = {
            "LARDER_LOOKUP__API_KEYS": json.dumps({CALLER: key}),
            "LARDER_LOOKUP__ARM_CALLERS": json.dumps([CALLER]),
        }
        with in_force(settings), endpoint(settings, arguments, url, **callers) as address:
            play = Play(address, NAME, visitors(settings)[: arguments.visitors], Behaviour(), prices(settings),
                        arguments.seed, key)  # fmt: skip
            hours, truth = played(settings, play)
        report = reported(spark, arguments.settings, hours)
    print(f"\nBeside the truth, if everybody were in either arm ({truth_file(settings)}):")
    print("\n".join(verdict_lines(report, truth["everybody_in_arm"])))


def make_releases(spark: SparkSession, settings_file: Path) -> None:
    """Makes the plain release and publishes it, then the learned one, which only stays beside it."""
    learned = load_settings(settings_file)
    run(spark, aggregate_hours, learned, "--start", as_text(START), "--end", as_text(LEARNED_AS_OF))
    for settings, as_of, stay in ((plain(learned), PLAIN_AS_OF, []), (learned, LEARNED_AS_OF, ["--stay"])):
        until = as_text(as_of)
        run(spark, roll_up, settings, "--start", as_text(START), "--end", until, "--from-empty")
        run(spark, train_als, settings, "--as-of", until)
        run(spark, precompute, settings, "--as-of", until)
        run(spark, load_redis, settings, "--as-of", until, *stay)


def plain(settings: Settings) -> Settings:
    """Returns settings of lists that are almost the same for everybody: two factors, and no learned order."""
    als = settings.als.model_copy(update={"rank": 2})
    lists = settings.lists.model_copy(update={"weights": "", "rebuy_weight": 0.0})
    return settings.model_copy(update={"als": als, "lists": lists})


def run(spark: SparkSession, job: ModuleType, settings: Settings, *argv: str) -> Any:
    """Runs a job with these settings; returns its StageReport."""
    arguments = job.parse_arguments([*argv])
    arguments.settings = settings
    return job.run(spark, arguments)


def forget_earlier_visits(settings: Settings) -> None:
    """Removes the journey log and the events of an earlier run, whose visitors had the same names."""
    shutil.rmtree(settings.lookup.journey, ignore_errors=True)
    for file in Path(settings.storage.events).glob(f"dt=*/hr=*/{FILE}"):
        file.unlink()


@contextmanager
def in_force(settings: Settings) -> Iterator[None]:
    """Has the experiment in force meanwhile, started anew."""
    with connected(settings) as client:
        store = ExperimentStore(client, settings.redis.namespace)
        if NAME in store.all().running:
            store.stop(NAME)
        store.start(NAME, settings.experiments[NAME], datetime.now(timezone.utc))
        try:
            yield
        finally:
            store.stop(NAME)


def visitors(settings: Settings) -> list[Visitor]:
    """Returns every household that bought something after the later release was made, and what it likes."""
    bought: dict[str, dict[str, float]] = {}
    for household, product in zip(*purchases_afterwards(settings), strict=True):
        bought.setdefault(household, {})[product] = LIKED
    return [Visitor(household, bought[household], OTHERS) for household in sorted(bought)]


def purchases_afterwards(settings: Settings) -> tuple[list[str], list[str]]:
    """Returns households and products of the purchases from LEARNED_AS_OF to END."""
    folders = [Path(settings.storage.events) / hour_partition(each) for each in range(LEARNED_AS_OF, END)]
    files = [str(folder / "events.parquet") for folder in folders]
    is_sold = (pc.field("event_type") == "purchase") & (pc.field("quantity") > 0)
    found: pa.Table = ds.dataset(files).to_table(["cookie_id", "product_id"], filter=is_sold)
    return found["cookie_id"].to_pylist(), found["product_id"].to_pylist()


def prices(settings: Settings) -> dict[str, float]:
    """Returns the prices of the catalogue, by product."""
    found = pq.read_table(settings.storage.catalogue, columns=["product_id", "price"])
    return dict(zip(found["product_id"].to_pylist(), found["price"].to_pylist(), strict=True))


def played(settings: Settings, play: Play) -> tuple[range, dict[str, Any]]:
    """Plays all visits, and writes their events and the truth; returns the hours of the visits, and the truth."""
    arms = [*settings.experiments[NAME].arms]
    begun = time.time_ns() // 1000
    events, of_answers = play.run()
    asked = time.time_ns() // 1000
    seconds = (asked - begun) / 1e6
    visits = int(play.visits().sum())
    print(
        f"{'visits':<16} {visits:>11,} of {len(play.visitors):,} visitors, {seconds:.1f} s, {visits / seconds:,.0f}/s, "
        f"{events.num_rows:,} events",
        flush=True,
    )
    # The hour after the last answer too, empty or not: because of --within, the report reads it.
    write_visits(Path(settings.storage.events), events, range(begun // HOUR, max(hours_of(events, asked)) + 2))
    truth = {
        "seed": play.seed,
        "behaviour": asdict(play.behaviour),
        "answers_given": of_answers.as_json(),
        "everybody_in_arm": play.everybody_in(arms).as_json(),
    }
    truth_file(settings).write_text(json.dumps(truth, indent=1) + "\n")
    return range(begun // HOUR, asked // HOUR + 1), truth


def reported(spark: SparkSession, settings_file: Path, hours: range) -> dict[str, Any]:
    """Writes and prints the report of these hours as `larder report experiment` does; returns what it says."""
    window = ["--start", as_text(hours.start), "--end", as_text(hours.stop), "--within", "1", "--before", "0"]
    print(f"\nlarder report experiment {NAME} --settings {settings_file} {' '.join(window)}", flush=True)
    folder = Path(load_settings(settings_file).storage.tables).with_name("report")
    try:
        run(spark, report_experiment, load_settings(settings_file), NAME, *window, "--to", str(folder))
    except report_experiment.SampleRatioError as error:  # a result of chance or of a fault, and no failure to run
        print(error)
    found: dict[str, Any] = json.loads((folder / "report.json").read_text())
    return found


def truth_file(settings: Settings) -> Path:
    """Returns where the truth is written."""
    return Path(settings.lookup.journey).with_name("truth.json")


if __name__ == "__main__":
    with errors_in_a_line():
        main()
