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
from larder.lookup.answer.treatment import GivenArm, Treatment
from larder.lookup.http.query import RecommendationQuery
from larder.lookup.operations.journal import FULL, MOST_LOADS, UNUSED_SECONDS, Journal, WriterProcess
from larder.lookup.release.generic_lists import GenericLists
from larder.lookup.release.served_release import ReleaseMeta, ServedRelease

if TYPE_CHECKING:
    from pyspark.sql import SparkSession

# Release and second product: one release came twice under its name.
SIDE_BY_SIDE = [("r1", b'"a"'), ("r2", b'"b"'), ("r1", b'"c"'), ("r3", b'"d"')]
MakeEndpoint = Callable[..., Endpoint]
QUESTION = RecommendationQuery(Scene("default", [], False, 10), 10, "c1")
TAKEN = [PickedItems("personal", [1], None)]
POPULAR = Treatment([GivenArm("order", "popular", False)])


def rows_in(folder: Path) -> list[dict[str, object]]:
    files = sorted(folder.glob("dt=*/hr=*/[!_]*.parquet"))
    return [row for file in files for row in pq.read_table(file, partitioning=None).to_pylist()]


def release_named(name: str, names: tuple[bytes, ...] = (b'"w"', b'"x"')) -> ServedRelease:
    meta = ReleaseMeta(
        name, datetime(2026, 1, 1, tzinfo=timezone.utc), dict.fromkeys(KINDS, 1), 0, 2, 2, name, 0, 0, False, {}, 0
    )
    return ServedRelease(meta, Keys(""), list(names), GenericLists({}, 2, True, 1))


def shown_in(folder: Path) -> list[tuple[object, ...]]:
    """Release, request id and product of each row, sorted."""
    return sorted((row["release"], row["request_id"], row["product_id"]) for row in rows_in(folder))


def hand_over(journal: Journal) -> None:
    """Passes the answers to the writer, and waits until it has them."""
    journal._hand_over()
    journal._waiter.submit(int).result()


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

    def lost(answers: int) -> int:
        for number in range(answers):
            journal.note(QUESTION, release, b"%d" % number, TAKEN)
        hand_over(journal)
        return journal.dropped[DISK]

    assert lost(3) == 0
    [writer] = multiprocessing.active_children()
    writer.kill()
    writer.join()
    # Those that it had, and those that it could not be given any more.
    assert lost(2) == 5
    assert lost(4) == 5
    journal.stop()
    assert journal.done[DISK] == len(rows_in(tmp_path)) == 4


def test_what_an_answer_says_of_its_treatment(tmp_path: Path) -> None:
    journal, release = Journal(Destinations(tmp_path, 60, None), most=1000), release_named("r1")
    treated = Treatment([GivenArm("order", "popular", False), GivenArm("look", "red", True)])
    drawn = PickedItems("generic", [0, 1], [0.5, None])
    drawn.propensities = [0.25, 0.75]
    journal.note(QUESTION, release, b"a", [*TAKEN, drawn], treated)
    journal.note(QUESTION, release, b"b", TAKEN)
    journal.stop()
    in_arms, outside = ("order,look", "popular,red", True), (None, None, None)
    columns = ("request_id", "position", "product_id", "experiment", "arm", "forced", "policy", "propensity", "score")
    assert [tuple(row[name] for name in columns) for row in rows_in(tmp_path)] == [
        ("a", 0, "x", *in_arms, None, 1.0, None),
        ("a", 1, "w", *in_arms, None, 0.25, 0.5),
        ("a", 2, "x", *in_arms, None, 0.75, None),
        ("b", 0, "x", *outside, None, 1.0, None),
    ]


def test_releases_answer_side_by_side(tmp_path: Path) -> None:
    journal = Journal(Destinations(tmp_path, 60, None), most=1000)
    # The same ordinal is another product in each release, and one of them came twice under its name.
    releases = [release_named(name, (b'"w"', product)) for name, product in SIDE_BY_SIDE]
    expected = []
    for number in range(100):
        name, product = SIDE_BY_SIDE[number % 4]
        journal.note(QUESTION, releases[number % 4], b"%d" % number, TAKEN, POPULAR)
        expected.append((name, str(number), product[1:-1].decode()))
        if number == 50:
            hand_over(journal)
    # Nothing was handed over because the release changed.
    assert [notes.answers for notes in journal._notes.values()] == [13, 12, 12, 12]
    journal.stop()
    assert shown_in(tmp_path) == sorted(expected)
    assert (journal.done[DISK], sum(journal.dropped.values())) == (100, 0)
    [file] = tmp_path.glob("dt=*/hr=*/*.parquet")
    assert pq.ParquetFile(file).num_row_groups == 2 * 4


def test_memory_is_bounded_for_all_releases_together(tmp_path: Path) -> None:
    journal = Journal(Destinations(tmp_path, 60, None), most=10)
    releases = [release_named(f"r{number}") for number in range(3)]
    for number in range(25):
        journal.note(QUESTION, releases[number % 3], b"%d" % number, TAKEN)
    journal.stop()
    assert journal.done[DISK] + journal.dropped[FULL] == 25
    assert len(rows_in(tmp_path)) == journal.done[DISK] == 10


def test_a_new_writer_learns_the_products_of_all_releases_again(tmp_path: Path) -> None:
    journal = Journal(Destinations(tmp_path, 60, None), most=100)
    releases = [release_named(name, (b'"w"', product)) for name, product in SIDE_BY_SIDE]

    def note_all() -> None:
        for number, release in enumerate(releases):
            journal.note(QUESTION, release, b"%d" % number, TAKEN)
        hand_over(journal)

    note_all()
    [writer] = multiprocessing.active_children()
    writer.kill()
    writer.join()
    note_all()
    # The answers that the killed writer had, and the first of the next, by which its end was noticed.
    assert journal.dropped[DISK] == 4 + 1
    note_all()
    journal.stop()
    assert journal.done[DISK] == 3 + 4
    known = [(name, str(number), product[1:-1].decode()) for number, (name, product) in enumerate(SIDE_BY_SIDE)]
    assert shown_in(tmp_path) == sorted(known[1:] + known)


def test_products_of_releases_used_longest_ago_are_sent_again(tmp_path: Path) -> None:
    journal = Journal(Destinations(tmp_path, 60, None), most=1000)
    releases = [release_named(f"r{number}", (b'"w"', b'"p%d"' % number)) for number in range(MOST_LOADS + 2)]
    expected: list[tuple[str, str, str]] = []

    def note(number: int) -> list[int]:
        """Notes an answer from this release; returns the releases that the writer knows then."""
        request_id = b"%d" % len(expected)
        journal.note(QUESTION, releases[number], request_id, TAKEN)
        expected.append((f"r{number}", request_id.decode(), f"p{number}"))
        hand_over(journal)
        return [each for each, release in enumerate(releases) if release.load in journal._writer._used]

    known = [note(number) for number in range(MOST_LOADS)]
    assert known[-1] == list(range(MOST_LOADS))
    assert note(0) == list(range(MOST_LOADS))
    assert note(MOST_LOADS) == [0, *range(2, MOST_LOADS + 1)]
    assert note(1) == [0, 1, *range(3, MOST_LOADS + 1)]
    journal.stop()
    assert shown_in(tmp_path) == sorted(expected)
    assert journal.dropped[DISK] == 0


def test_products_of_a_release_that_was_not_used_for_a_while_are_forgotten(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    writer, clock = WriterProcess(Destinations(tmp_path, 60, None)), [0.0]
    monkeypatch.setattr("larder.lookup.operations.journal.time.monotonic", lambda: clock[0])
    told = []
    for load, seconds in [(1, 0.0), (2, 0.0), (2, UNUSED_SECONDS), (2, 1.0), (1, 0.0)]:
        clock[0] += seconds
        said = writer.know(load, [b'"w"'])
        told.append((len(said), sorted(writer._used)))
    writer.end()
    # Replies: to the names of 1, to those of 2, none, to the end of 1, to its names again.
    assert told == [(1, [1]), (1, [1, 2]), (0, [1, 2]), (1, [2]), (1, [1, 2])]


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
    done = CliRunner().invoke(app, ["report", "routes", *window, "--within", "0"])
    assert done.exit_code == 0, done.output
    [personal] = [line.split() for line in done.output.splitlines() if "personal" in line]
    assert personal == ["r1", "personal", "30", "3", "0", "0", "10.00%", "0.000%"]  # of one cookie: no interval
    shutil.rmtree(clicks)
