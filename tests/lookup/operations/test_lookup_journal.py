"""The journey log of a running endpoint: complete where it can be, counted where not, and never in the way."""

from __future__ import annotations

import multiprocessing
import shutil
import subprocess
import time
from collections.abc import Callable
from datetime import datetime, timezone
from pathlib import Path
from typing import TYPE_CHECKING

import pyarrow.parquet as pq
import pytest
from lookup_servers import Endpoint, RedisServer, wait_until
from typer.testing import CliRunner

from larder.cli.main import app
from larder.journey.destinations import DISK, Destinations
from larder.loaders.keys import KINDS, Keys
from larder.lookup.answer.routing import PickedItems
from larder.lookup.answer.scenes import Scene
from larder.lookup.http.query import RecommendationQuery
from larder.lookup.operations.journal import FULL, Journal
from larder.lookup.release.generic_lists import GenericLists
from larder.lookup.release.served_release import ReleaseMeta, ServedRelease

if TYPE_CHECKING:
    from pyspark.sql import SparkSession

MakeEndpoint = Callable[..., Endpoint]
QUESTION = RecommendationQuery(Scene("default", [], False, 10), 10, "c1")
TAKEN = [PickedItems("personal", [1], None)]


def rows_in(folder: Path) -> list[dict[str, object]]:
    files = sorted(folder.glob("dt=*/hr=*/[!_]*.parquet"))
    return [row for file in files for row in pq.read_table(file, partitioning=None).to_pylist()]


def release_named(name: str) -> ServedRelease:
    meta = ReleaseMeta(
        name, datetime(2026, 1, 1, tzinfo=timezone.utc), dict.fromkeys(KINDS, 1), 0, 2, 2, name, 0, 0, False, {}, 0
    )
    return ServedRelease(meta, Keys(""), [b'"w"', b'"x"'], GenericLists({}, 2, True, 1))


def counted(served: Endpoint, series: str) -> float:
    text = served.client.get("/metrics").text
    return float(next(line.rpartition(" ")[2] for line in text.splitlines() if line.startswith(series)))


@pytest.mark.end_to_end
def test_what_was_served_is_logged_as_it_was(
    redis_server: RedisServer, own_endpoint: MakeEndpoint, tmp_path: Path
) -> None:
    served = own_endpoint(redis_server.url, journey=tmp_path, journey_seconds=1)
    served.wait_ready("r1")
    answers = [served.ask("cookie=c1&product=p1&location=zone1&n=7") for _ in range(3)]
    served.ask("location=zone1")
    batch = served.client.post("/v1/recommendations:batch", json={"requests": [{"cookie": "käse"}]})
    answers.append(batch.json()["responses"][0]["answer"])
    wait_until(lambda: rows_in(tmp_path))
    found = wait_until(lambda: len(rows := rows_in(tmp_path)) == sum(len(a["items"]) for a in answers) and rows)
    expected = [
        (answer["request_id"], position, item["id"], item["route"])
        for answer in answers
        for position, item in enumerate(answer["items"])
    ]
    assert [(row["request_id"], row["position"], row["product_id"], row["route"]) for row in found] == expected
    assert {row["release"] for row in found} == {"r1"}
    assert [row["cookie_id"] for row in found[-5:]] == ["käse"] * 5
    assert {row["location"] for row in found} == {"zone1", None}
    assert counted(served, 'larder_lookup_journey_dropped_total{reason="no_cookie"}') == 1
    wait_until(lambda: counted(served, "larder_lookup_journey_written_total") == len(answers))


@pytest.mark.end_to_end
def test_answers_go_to_kafka_instead(redis_server: RedisServer, own_endpoint: MakeEndpoint) -> None:
    # The broker that librdkafka has for tests; a real one is in test_lookup_kafka.py.
    options = '{"test.mock.num.brokers": 1}'
    served = own_endpoint(redis_server.url, kafka="127.0.0.1:1", kafka_options=options)
    served.wait_ready("r1")
    for _ in range(3):
        served.ask("cookie=c1")
    wait_until(lambda: counted(served, "larder_lookup_journey_delivered_total") == 3)
    assert counted(served, 'larder_lookup_journey_dropped_total{reason="kafka"}') == 0
    assert "journey_written" not in served.client.get("/metrics").text


@pytest.mark.end_to_end
def test_a_stop_writes_what_is_left(redis_server: RedisServer, own_endpoint: MakeEndpoint, tmp_path: Path) -> None:
    served = own_endpoint(redis_server.url, journey=tmp_path)
    served.wait_ready("r1")
    served.ask("cookie=c1")
    assert served.stop() == 0
    assert len(rows_in(tmp_path)) > 0
    assert not list(tmp_path.glob("dt=*/hr=*/_*"))


def test_memory_is_bounded(tmp_path: Path) -> None:
    journal = Journal(Destinations(tmp_path, 60, None), most=10)
    release = release_named("r1")
    for number in range(25):
        journal.note(QUESTION, release, b"%d" % number, TAKEN)
    journal.stop()
    assert journal.done[DISK] + journal.dropped[FULL] == 25
    assert len(rows_in(tmp_path)) == journal.done[DISK] == 10


def test_answers_are_handed_over_before_they_are_too_many(tmp_path: Path) -> None:
    journal, release = Journal(Destinations(tmp_path, 60, None), most=1000), release_named("r1")
    for number in range(3000):
        journal.note(QUESTION, release, b"%d" % number, TAKEN)
        if number % 500 == 499:
            wait_until(lambda: journal._waiting == 0)
    journal.stop()
    assert (journal.done[DISK], journal.dropped[FULL]) == (3000, 0)


def test_a_writer_that_is_killed_is_replaced_and_what_it_had_counted(tmp_path: Path) -> None:
    journal, release = Journal(Destinations(tmp_path, 60, None), most=100), release_named("r1")

    def hand_over(answers: int) -> int:
        for number in range(answers):
            journal.note(QUESTION, release, b"%d" % number, TAKEN)
        journal._hand_over()
        journal._waiter.submit(int).result()
        return journal.dropped[DISK]

    assert hand_over(3) == 0
    [writer] = multiprocessing.active_children()
    writer.kill()
    writer.join()
    # Those that it had, and those that it could not be given any more.
    assert hand_over(2) == 5
    assert hand_over(4) == 5
    journal.stop()
    assert journal.done[DISK] == len(rows_in(tmp_path)) == 4


def test_hours_and_releases_are_kept_apart(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    journal, clock = Journal(Destinations(tmp_path, 60, None), most=1000), [3600.0 * 10]
    monkeypatch.setattr("larder.lookup.operations.journal.time.time", lambda: clock[0])
    first, second = release_named("r1"), release_named("r2")
    for hour, release in [(10, first), (10, second), (11, second), (12, second)]:
        clock[0] = 3600.0 * hour + 1
        journal.note(QUESTION, release, b"q", TAKEN)
    journal.stop()
    found = {path.parent.name: pq.read_table(path, partitioning=None)["release"] for path in tmp_path.glob("*/*/*")}
    assert {hour: releases.to_pylist() for hour, releases in found.items()} == {
        "hr=10": ["r1", "r2"], "hr=11": ["r2"], "hr=12": ["r2"]
    }  # fmt: skip


@pytest.mark.end_to_end
@pytest.mark.slow
def test_a_full_disk_costs_the_log_and_no_answer(
    redis_server: RedisServer, own_endpoint: MakeEndpoint, tmp_path: Path
) -> None:
    mounted = subprocess.run(["mount", "-t", "tmpfs", "-o", "size=200k", "tmpfs", str(tmp_path)], capture_output=True)
    if mounted.returncode:
        pytest.skip("a disk of its own needs the right to mount one")
    try:
        served = own_endpoint(redis_server.url, journey=tmp_path, journey_seconds=1)
        served.wait_ready("r1")
        filler = tmp_path / "filler"
        with pytest.raises(OSError, match="No space"), open(filler, "wb", buffering=0) as file:
            while True:
                file.write(b"x" * 4096)
        dropped = 'larder_lookup_journey_dropped_total{reason="disk"}'
        wait_until(lambda: served.ask("cookie=c1")["items"] and counted(served, dropped) > 0)
        filler.unlink()
        written = "larder_lookup_journey_written_total"
        wait_until(lambda: served.ask("cookie=c1")["items"] and counted(served, written) > 0)
        served.stop()
    finally:
        subprocess.run(["umount", "-l", str(tmp_path)], check=False)


@pytest.mark.end_to_end
@pytest.mark.slow
def test_the_log_goes_through_the_hourly_aggregation_and_the_report(
    spark: SparkSession,
    redis_server: RedisServer,
    own_endpoint: MakeEndpoint,
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    from larder.jobs import aggregate_hours
    from larder.models.hours import as_text

    served = own_endpoint(redis_server.url, journey=tmp_path / "events")
    served.wait_ready("r1")
    answers = [served.ask("cookie=c1&n=4") for _ in range(10)]
    served.stop()
    hour = int(time.time() // 3600)
    window = ["--start", as_text(hour - 1), "--end", as_text(hour + 1)]
    monkeypatch.setenv("LARDER_STORAGE__EVENTS", str(tmp_path / "events"))
    monkeypatch.setenv("LARDER_STORAGE__TABLES", str(tmp_path / "tables"))
    report = aggregate_hours.run(spark, aggregate_hours.parse_arguments(window))
    assert report.rows_in == report.rows_out == sum(len(answer["items"]) for answer in answers)

    clicks = tmp_path / "clicks" / f"dt={datetime.now(timezone.utc):%Y-%m-%d}" / f"hr={datetime.now(timezone.utc):%H}"
    clicks.mkdir(parents=True)
    lines = [
        f'{{"request_id": "{answer["request_id"]}", "product_id": "{answer["items"][0]["id"]}", "event_type": "view"}}'
        for answer in answers[:3]
    ]
    (clicks / "clicks.json").write_text("\n".join(lines))
    monkeypatch.setenv("LARDER_LOOKUP__JOURNEY", str(tmp_path / "events"))
    monkeypatch.setenv("LARDER_STORAGE__EVENTS", str(tmp_path / "clicks"))
    monkeypatch.setenv("LARDER_EVENTS__FORMAT", "json")
    monkeypatch.setenv("COLUMNS", "200")
    done = CliRunner().invoke(app, ["report", "routes", *window, "--within", "0"])
    assert done.exit_code == 0, done.output
    [personal] = [line.split() for line in done.output.splitlines() if "personal" in line]
    assert personal == ["r1", "personal", "30", "3", "0", "0", "10.00%", "0.000%"]
    shutil.rmtree(clicks)
