"""Raw events to hourly counts: every row ends in the counts, in quarantine with its reason, or as a duplicate."""

from __future__ import annotations

import os
import random
from datetime import datetime, time
from pathlib import Path
from typing import Any

import pyarrow as pa
import pytest
from event_folders import (
    START,
    aggregate,
    counts_of,
    hour_folder,
    manifest_of,
    moment,
    reasons,
    rejected,
    rows_of,
    settings_in,
    visible,
    write_lines,
    write_parquet,
)
from pyspark.sql import SparkSession

from larder.jobs.events import hour_aggregation
from larder.jobs.events.hour_aggregation import CountedHour, CountsDoNotReconcileError
from larder.jobs.events.hour_tasks import AggregationRules, HourPlan, TaskOutput, read_pieces
from larder.jobs.runtime.stage_report import StageReport
from larder.models.tables import HOURLY_COUNTS, QUARANTINE
from larder.settings import Settings
from larder.storage import StoragePath
from larder.storage.event_folders import EventHour
from larder.storage.event_reading import Piece
from larder.storage.frames import FileWrittenTwiceError
from larder.storage.manifests import DataFile

pytestmark = pytest.mark.end_to_end

WRONG: dict[str, dict[str, Any]] = {
    "missing:cookie_id": {"cookie_id": None},
    "missing:product_id": {"product_id": ""},
    "unknown_event_type": {"event_type": "wishlist"},
    "future_timestamp": {"ts": moment(START + 1, 0)},
    "too_late": {"ts": moment(START - 200)},
    "quantity_not_positive": {"quantity": -1},
    "negative_price": {"price": -0.5},
}
(SOUND, BROKEN, FEW_COLUMNS, MORE_COLUMNS, NANOSECONDS, ABSENT, DUPLICATES, NO_COOKIE, EMPTY, TWO_FILES) = range(10)
HOURS = 10
# What should become of each hour: rows in, events, quarantined, duplicates, files quarantined.
OUTCOMES = {
    SOUND: (1 + len(WRONG), 1, len(WRONG), 0, 0),
    BROKEN: (2, 2, 0, 0, 2),
    FEW_COLUMNS: (1, 1, 0, 0, 0),
    MORE_COLUMNS: (2, 1, 1, 0, 0),
    NANOSECONDS: (2, 1, 1, 0, 0),
    ABSENT: (0, 0, 0, 0, 0),
    DUPLICATES: (6, 4, 0, 2, 0),
    NO_COOKIE: (2, 0, 2, 0, 0),
    EMPTY: (0, 0, 0, 0, 0),
    TWO_FILES: (3, 3, 0, 0, 0),
}
Done = tuple[Settings, StageReport]


def write_parquet_hours(folder: Path) -> None:
    write_parquet(folder, START + SOUND, [{"quantity": 2, "event_type": "purchase"}, *WRONG.values()])
    write_parquet(folder, START + BROKEN, [{}, {}])
    (hour_folder(folder, START + BROKEN) / "garbage.parquet").write_bytes(b"not parquet")
    (hour_folder(folder, START + BROKEN) / "nothing.parquet").write_bytes(b"")
    write_parquet(folder, START + FEW_COLUMNS, [{}])
    more = {"user.agent": "Mozilla", "basket": {"size": 2}, "hour": 99, "reason": "promotion"}
    write_parquet(folder, START + MORE_COLUMNS, [more, {**more, "cookie_id": None}])
    late = moment(START + NANOSECONDS + 1, 0)
    write_parquet(folder, START + NANOSECONDS, [{}, {"ts": late}], ts=pa.timestamp("ns", "UTC"))
    write_parquet(folder, START + DUPLICATES, [{"event_id": "e1"}, {"event_id": "e2"}, {"event_id": None}])
    again = [{"event_id": "e1", "ts": moment(START + DUPLICATES, 20)}, {"event_id": "e2"}, {"event_id": None}]
    write_parquet(folder, START + DUPLICATES, again, "part-1.parquet")
    write_parquet(folder, START + NO_COOKIE, [{"cookie_id": None}] * 2, cookie_id=pa.null())
    hour_folder(folder, START + EMPTY)
    write_parquet(folder, START + TWO_FILES, [{}, {"location": "north"}])
    write_parquet(folder, START + TWO_FILES, [{"price": 2}], "part-1.parquet", price=pa.int32())


@pytest.fixture(scope="module")
def from_parquet(spark: SparkSession, tmp_path_factory: pytest.TempPathFactory) -> Done:
    folder = tmp_path_factory.mktemp("parquet")
    write_parquet_hours(folder)
    settings = settings_in(folder)
    return settings, aggregate(spark, settings, START, START + HOURS)


def outcome(settings: Settings, hour: int) -> tuple[int, ...]:
    counts = manifest_of(settings, hour).counts
    names = ("rows_in", "events", "quarantined", "duplicates", "files_quarantined")
    return tuple(counts[name] for name in names)


@pytest.mark.parametrize("hour", OUTCOMES)
def test_every_row_ends_somewhere(from_parquet: Done, hour: int) -> None:
    settings, _ = from_parquet
    found = outcome(settings, START + hour)
    assert found == OUTCOMES[hour]
    rows_in, events, quarantined, duplicates, _ = found
    assert rows_in == events + quarantined + duplicates


def test_the_report_adds_up(from_parquet: Done) -> None:
    _, report = from_parquet
    totals = [sum(column) for column in zip(*OUTCOMES.values(), strict=True)]
    assert [report.rows_in, report.rows_out, report.quarantined, report.duplicates] == totals[:4]
    assert report.details["files_quarantined"] == totals[4]
    assert report.details["without_input"] == 2
    assert (report.details["hours"], report.details["up_to_date"]) == (HOURS, 0)


def test_every_reason_is_named_with_the_row_and_its_file(from_parquet: Done) -> None:
    settings, _ = from_parquet
    assert reasons(settings, START + SOUND) == dict.fromkeys(WRONG, 1)
    for row in rejected(settings, START + SOUND):
        assert list(row) == QUARANTINE.schema.fieldNames()
        assert row["source"].endswith("/dt=2017-12-03/hr=00/part-0.parquet")
        assert row["raw"].startswith("{")


def test_files_that_cannot_be_read_are_named(from_parquet: Done) -> None:
    settings, _ = from_parquet
    rows = rejected(settings, START + BROKEN)
    assert [(Path(row["source"]).name, row["reason"]) for row in rows] == [
        ("garbage.parquet", "unreadable_file"),
        ("nothing.parquet", "unreadable_file"),
    ]
    assert all(row["raw"] for row in rows)


def test_columns_that_the_contract_does_not_know_are_carried_past(from_parquet: Done) -> None:
    settings, _ = from_parquet
    [row] = counts_of(settings, START + MORE_COLUMNS)
    assert (row["hour"], row["views"]) == (START + MORE_COLUMNS, 1)
    [wrong] = rejected(settings, START + MORE_COLUMNS)
    assert wrong["reason"] == "missing:cookie_id"
    assert '"user.agent":"Mozilla"' in wrong["raw"]
    assert '"basket":{"size":2}' in wrong["raw"]


def test_nanoseconds_are_read(from_parquet: Done) -> None:
    settings, _ = from_parquet
    [row] = counts_of(settings, START + NANOSECONDS)
    assert row["last_ts"] == moment(START + NANOSECONDS)
    assert reasons(settings, START + NANOSECONDS) == {"future_timestamp": 1}


def test_counts_have_the_columns_of_their_table(from_parquet: Done) -> None:
    settings, _ = from_parquet
    [row] = counts_of(settings, START + SOUND)
    assert list(row) == HOURLY_COUNTS.schema.fieldNames()
    assert (row["hour"], row["product_id"], row["location"], row["device"]) == (START, "p1", "", "")
    assert (row["views"], row["purchases"], row["quantity"], row["last_ts"]) == (0, 1, 2, moment(START))


def test_hours_without_events_are_there_too(from_parquet: Done) -> None:
    settings, _ = from_parquet
    for hour in (ABSENT, EMPTY):
        assert manifest_of(settings, START + hour).files == ()
        assert manifest_of(settings, START + hour, "quarantine").files == ()


def test_a_second_run_finds_everything_up_to_date(spark: SparkSession, from_parquet: Done) -> None:
    settings, _ = from_parquet
    before = visible(settings.storage.tables)
    report = aggregate(spark, settings, START, START + HOURS)
    assert (report.details["hours"], report.details["up_to_date"], report.rows_in) == (0, HOURS, 0)
    assert visible(settings.storage.tables) == before


def test_hour_by_hour_gives_the_same_bytes_as_all_at_once(spark: SparkSession, from_parquet: Done) -> None:
    settings, _ = from_parquet
    folder = Path(settings.storage.events).parent
    apart = settings_in(folder, "tables_of_hours")
    for start, end in ((0, 1), (1, 3), (3, HOURS)):
        aggregate(spark, apart, START + start, START + end)
    assert visible(apart.storage.tables) == visible(settings.storage.tables)
    assert len(visible(apart.storage.tables)) > 2 * HOURS


def test_an_hour_whose_input_changed_is_made_again_and_no_other(spark: SparkSession, tmp_path: Path) -> None:
    settings = settings_in(tmp_path)
    for hour in range(2):
        write_parquet(tmp_path, START + hour, [{}])
    aggregate(spark, settings, START, START + 2)
    first = [manifest_of(settings, START + hour) for hour in range(2)]
    write_parquet(tmp_path, START + 1, [{}, {}], "late.parquet")
    report = aggregate(spark, settings, START, START + 2)
    assert (report.details["hours"], report.details["up_to_date"], report.rows_in) == (1, 1, 3)
    second = [manifest_of(settings, START + hour) for hour in range(2)]
    assert second[0] == first[0]
    assert second[1].run != first[1].run
    [row] = counts_of(settings, START + 1)
    assert row["views"] == 3
    # Who reads by the old manifest still finds its files.
    assert (Path(settings.storage.tables) / "hourly_counts/runs" / first[1].run / "part-00000.parquet").exists()


def test_columns_of_other_names(spark: SparkSession, tmp_path: Path) -> None:
    row = {"visitor": "v1", "when": moment(START), "sku": "p9", "product_id": None, "cookie_id": None}
    write_parquet(tmp_path, START, [row, {**row, "visitor": None}], when=pa.timestamp("us", "UTC"))
    names = {"cookie_id": "visitor", "ts": "when", "product_id": "sku"}
    settings = settings_in(tmp_path, columns=names)
    aggregate(spark, settings, START, START + 1)
    assert [(row["product_id"], row["views"]) for row in counts_of(settings, START)] == [("p9", 1)]
    assert reasons(settings, START) == {"missing:cookie_id": 1}


def test_data_that_break_below_a_sound_footer_are_set_aside(spark: SparkSession, tmp_path: Path) -> None:
    broken = write_parquet(tmp_path, START, [{"cookie_id": f"c{number}"} for number in range(3000)], "broken.parquet")
    data = bytearray(broken.read_bytes())
    data[4:9000] = b"\xff" * 8996
    broken.write_bytes(data)
    write_parquet(tmp_path, START, [{}, {}])
    write_parquet(tmp_path, START + 1, [{}])
    settings = settings_in(tmp_path)
    aggregate(spark, settings, START, START + 2)
    assert outcome(settings, START) == (2, 2, 0, 0, 1)
    assert outcome(settings, START + 1) == (1, 1, 0, 0, 0)
    assert reasons(settings, START) == {"unreadable_file": 1}
    assert aggregate(spark, settings, START, START + 2).details["up_to_date"] == 2


def test_columns_that_nobody_asked_for_may_be_of_any_type(spark: SparkSession, tmp_path: Path) -> None:
    write_parquet(tmp_path, START, [{}])
    write_parquet(tmp_path, START, [{"opened": time(9, 30)}, {"opened": time(9, 30), "price": -1.0}], "time.parquet")
    write_parquet(tmp_path, START, [{"TS": "late"}], "same_name.parquet")
    settings = settings_in(tmp_path)
    aggregate(spark, settings, START, START + 1)
    assert outcome(settings, START) == (4, 3, 1, 0, 0)
    [row] = rejected(settings, START)
    assert '"opened":"09:30:00"' in row["raw"]


def test_an_hour_of_many_rows_is_split_into_files_whole(spark: SparkSession, tmp_path: Path) -> None:
    rows = [{"cookie_id": f"c{number % 40}", "event_id": f"e{number}"} for number in range(200)]
    write_parquet(tmp_path, START, rows + rows[:10])
    write_parquet(tmp_path, START + 1, [{}])
    settings = settings_in(tmp_path, rows_per_file=50)
    aggregate(spark, settings, START, START + 2)
    assert len(manifest_of(settings, START).files) == 8  # the power of two above 210 / 50
    assert len(manifest_of(settings, START + 1).files) == 1
    assert outcome(settings, START) == (210, 200, 0, 10, 0)
    found = counts_of(settings, START)
    assert len({row["cookie_key"] for row in found}) == len(found) == 40
    assert sum(row["views"] for row in found) == 200


def test_the_order_of_rows_and_files_does_not_matter(spark: SparkSession, tmp_path: Path) -> None:
    draw = random.Random(4)
    rows = [
        {"cookie_id": f"c{draw.randrange(5)}", "event_id": f"e{draw.randrange(60)}", "price": draw.choice([1.0, -1.0])}
        for _ in range(100)
    ]
    found = []
    for copy in range(2):
        folder = tmp_path / str(copy)
        draw.shuffle(rows)
        for part in range(3):
            write_parquet(folder, START, rows[part::3], f"part-{part}.parquet")
        settings = settings_in(folder)
        aggregate(spark, settings, START, START + 1)
        counts = counts_of(settings, START)
        found.append([counts, sorted(row["reason"] for row in rejected(settings, START))])
    assert found[0] == found[1]


def test_a_row_lost_is_noticed() -> None:
    found = {"rows_in": 7, "events": 3, "quarantined": 1, "duplicates": 1, "bot_events": 1}
    with pytest.raises(CountsDoNotReconcileError, match="dt=2017-12-03/hr=00"):
        hour_aggregation._manifests(
            CountedHour(EventHour(START, ()), [TaskOutput("hourly_counts", START, None, found)], []), Settings()
        )


def test_a_quarantine_that_cannot_be_written_is_no_fault_of_the_file(tmp_path: Path) -> None:
    """Rows must not be set aside as unreadable because a disk is full."""
    file = write_parquet(tmp_path, START, [{}, {"price": -1.0}])
    (tmp_path / "in the way").write_bytes(b"")
    place = StoragePath(str(tmp_path / "in the way" / "run"))
    piece = Piece(START, 0, str(file), (0,), 2)
    with pytest.raises(OSError):
        list(read_pieces([piece], {START: HourPlan(place, place, place, 0, 1)}, AggregationRules({}, 168, 100)))


def test_a_file_of_two_tasks_is_refused() -> None:
    written = TaskOutput("hourly_counts", START, DataFile("part-00000.parquet", 1, 100), {})
    with pytest.raises(FileWrittenTwiceError, match="hourly_counts dt=2017-12-03/hr=00"):
        hour_aggregation._manifests(CountedHour(EventHour(START, ()), [written, written], []), Settings())


def test_a_cookie_with_too_many_events_is_set_aside_and_counted(spark: SparkSession, tmp_path: Path) -> None:
    rows = [{"cookie_id": "robot", "product_id": f"p{n}", "event_id": f"e{n % 9}"} for n in range(12)]
    write_parquet(tmp_path, START, [*rows, *[{"cookie_id": "person"}] * 10, {"cookie_id": "robot", "price": -1.0}])
    settings = settings_in(tmp_path, max_events_an_hour=10)
    aggregate(spark, settings, START, START + 1)
    assert outcome(settings, START) == (23, 10, 1, 0, 0)
    assert manifest_of(settings, START).counts["bot_events"] == 12
    [bot] = rows_of(settings, manifest_of(settings, START, "bots"))
    assert (bot["hour"], bot["events"]) == (START, 12)
    assert [row["views"] for row in counts_of(settings, START)] == [10]


PLAIN, GZIPPED, MALFORMED, TRUNCATED, NOTHING, TYPES = range(6)
BAD_LINES = ['{"cookie_id": ', "null", "[]", '[{"cookie_id": "a"}, {"cookie_id": "b"}]', '"text"', "3", "\x00"]
JSON_OUTCOMES = {
    PLAIN: (3, 2, 0, 1, 0),
    GZIPPED: (2, 2, 0, 0, 0),
    MALFORMED: (1 + len(BAD_LINES), 1, len(BAD_LINES), 0, 0),
    TRUNCATED: (1, 1, 0, 0, 1),
    NOTHING: (0, 0, 0, 0, 0),
    TYPES: (5, 2, 3, 0, 0),
}


@pytest.fixture(scope="module")
def from_json(spark: SparkSession, tmp_path_factory: pytest.TempPathFactory) -> Done:
    folder = tmp_path_factory.mktemp("json")
    write_lines(folder, START + PLAIN, [{"event_id": "e1"}, {"event_id": "e1"}, {"event_id": "e2", "more": [1]}])
    write_lines(folder, START + GZIPPED, [{}, {}], "part-0.json.gz")
    write_lines(folder, START + MALFORMED, [*BAD_LINES, "", "  ", "\t", {}])
    write_lines(folder, START + TRUNCATED, [{"cookie_id": str(n)} for n in range(500)], "part-0.json.gz", cut=30)
    write_lines(folder, START + TRUNCATED, [{}], "part-1.json")
    write_lines(folder, START + NOTHING, [])
    write_lines(folder, START + NOTHING, [], "part-1.json.gz", cut=20)
    odd = [{"quantity": "2"}, {"quantity": 2.0}, {"quantity": "two"}, {"ts": "noon"}, {"cookie_id": None}]
    write_lines(folder, START + TYPES, odd)
    settings = settings_in(folder, format="json")
    return settings, aggregate(spark, settings, START, START + len(JSON_OUTCOMES))


@pytest.mark.parametrize("hour", JSON_OUTCOMES)
def test_every_line_ends_somewhere(from_json: Done, hour: int) -> None:
    assert outcome(from_json[0], START + hour) == JSON_OUTCOMES[hour]


def test_lines_that_are_no_object_are_kept_as_they_are(from_json: Done) -> None:
    settings, _ = from_json
    assert reasons(settings, START + MALFORMED) == {"malformed_row": len(BAD_LINES)}
    assert {row["raw"] for row in rejected(settings, START + MALFORMED)} == {line.strip() for line in BAD_LINES}


def test_a_truncated_gzip_file_is_set_aside(from_json: Done) -> None:
    settings, _ = from_json
    [row] = rejected(settings, START + TRUNCATED)
    assert (Path(row["source"]).name, row["reason"]) == ("part-0.json.gz", "unreadable_file")


def test_values_of_a_wrong_type_are_named(from_json: Done) -> None:
    settings, _ = from_json
    assert reasons(settings, START + TYPES) == {"bad_type:quantity": 1, "bad_type:ts": 1, "missing:cookie_id": 1}


def test_json_lines_give_what_parquet_gives(spark: SparkSession, tmp_path: Path) -> None:
    rows = [{"cookie_id": f"c{number % 3}", "event_type": "purchase", "quantity": number + 1} for number in range(9)]
    write_lines(tmp_path / "json", START, rows)
    write_parquet(tmp_path / "parquet", START, rows)
    found = []
    for name in ("json", "parquet"):
        settings = settings_in(tmp_path / name, format=name)
        aggregate(spark, settings, START, START + 1)
        found.append(counts_of(settings, START))
    assert found[0] == found[1]
    assert isinstance(found[0][0]["last_ts"], datetime)


def test_tables_hold_nothing_hidden_behind(from_parquet: Done) -> None:
    """What a killed writer leaves has a name that begins with a dot; one that ended leaves none."""
    settings, _ = from_parquet
    left = [name for _, _, names in os.walk(settings.storage.tables) for name in names if name.startswith(".")]
    assert left == []
