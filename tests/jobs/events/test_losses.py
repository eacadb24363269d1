"""What would be lost in silence is told, or fails the job; a file that fails once is looked at again."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
from event_folders import START, aggregate, hour_folder, manifest_of, reasons, settings_in, write_lines, write_parquet
from pyspark.sql import SparkSession

from larder.jobs.events import hour_tasks
from larder.jobs.events.hour_tasks import AggregationRules, BrokenFile, FoundColumns, HourPlan, PackedEvents
from larder.jobs.events.losses import QuarantinedHourError, check_folders, losses, told_of_columns
from larder.models.hours import hour_partition
from larder.settings import EventsSettings
from larder.storage import Manifest, StoragePath, Tables
from larder.storage.event_folders import EventFile, EventHour, find_hours
from larder.storage.event_layout import LAYOUT, LayoutError, partition_by
from larder.storage.event_reading import Piece, UnreadableError

PARTITION = hour_partition(START)
JSON_FILE, PARQUET_FILE = EventFile("a.json", "a", 10), EventFile("a.parquet", "a", 10, row_groups=())


def lost(rows: int, quarantined: int, hour: EventHour | None = None, **rules: Any) -> str | None:
    """What is told of an hour with such counts."""
    manifest = Manifest("hourly_counts", PARTITION, "run", counts={"rows_in": rows, "quarantined": quarantined})
    return losses([hour or EventHour(START, (JSON_FILE,))], [manifest], EventsSettings(**rules)).get(PARTITION)


@pytest.mark.parametrize(
    ("rows", "quarantined", "share", "is_lost"),
    [
        (100, 50, 0.5, False), (100, 51, 0.5, True), (1, 1, 0.5, True), (12, 9, 0.5, False), (12, 10, 0.5, True),
        (100, 100, 1.0, False), (1000, 10, 0.0, True), (1000, 9, 0.0, False), (5, 0, 0.0, False),
    ],
)  # fmt: skip
def test_an_hour_that_loses_most_of_its_rows_is_told(rows: int, quarantined: int, share: float, is_lost: bool) -> None:
    told = lost(rows, quarantined, max_quarantined_share=share)
    assert (told is not None) == is_lost
    if told:
        assert f"{quarantined:,} of {rows:,} rows" in told
        assert "larder quarantine --start 2017-12-03T00 --end 2017-12-03T01" in told


@pytest.mark.parametrize(
    ("hour", "rules", "is_lost"),
    [
        (EventHour(START, (JSON_FILE,)), {}, True),
        (EventHour(START, ()), {}, True),
        (EventHour(START, (), has_folder=False), {}, False),
        (EventHour(START, (PARQUET_FILE,)), {}, False),
        (EventHour(START, (EventFile("a.parquet", "a", error="torn"),)), {}, True),
        (EventHour(START, (JSON_FILE,)), {"empty_hours": "accept"}, False),
    ],
)
def test_an_hour_that_has_a_folder_and_no_rows_is_told(hour: EventHour, rules: dict[str, Any], is_lost: bool) -> None:
    assert (lost(0, 0, hour, **rules) is not None) == is_lost


@pytest.mark.parametrize(
    ("folder", "told"),
    [
        ("2017/12/03/00", "set events.layout to %Y/%m/%d/%H"),
        ("year=2017/month=12/day=03/hour=00", "set events.layout to year=%Y/month=%m/day=%d/hour=%H"),
        ("dt=2017-12-03/hr=0", "has no folder dt=2017-12-03/hr=00, but dt=2017-12-03/hr=0"),
        ("archive/old", "but archive"),
    ],
)
def test_folders_of_another_form_are_named(tmp_path: Path, folder: str, told: str) -> None:
    (tmp_path / folder).mkdir(parents=True)
    events = StoragePath(str(tmp_path))
    with pytest.raises(LayoutError) as error:
        check_folders(events, LAYOUT, find_hours(events, [START], partition_by(LAYOUT), "parquet"))
    assert told in str(error.value)


def test_other_folders_beside_are_told_and_do_no_harm(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    for name in ("dt=2017-12-02/hr=00", "archive", "_temporary"):
        (tmp_path / name).mkdir(parents=True)
    events = StoragePath(str(tmp_path))
    check_folders(events, LAYOUT, find_hours(events, [START], partition_by(LAYOUT), "parquet"))
    assert f"not read, since events.layout is {LAYOUT}: archive below" in capsys.readouterr().err


def test_columns_that_are_nowhere_or_of_other_letter_case_are_told_with_counts(
    capsys: pytest.CaptureFixture[str],
) -> None:
    found = [
        FoundColumns("a", ("store", "cookie_id"), ("Quantity",)),
        FoundColumns("a", ("cookie_id",), ("Quantity",)),  # another piece of the same file
        FoundColumns("b", ("cookie_id",), ("Quantity", "TS")),
    ]
    names = {"location": "store", "quantity": "qty", "session_id": "sid"}
    told = told_of_columns(found, names)
    assert told == {"columns_nowhere": "qty (quantity)", "columns_in_other_case": "Quantity in 2 files, TS in 1 files"}
    assert [line.split(":")[0] for line in capsys.readouterr().err.splitlines()] == ["larder"] * 2
    assert told_of_columns([], names) == {}


@pytest.mark.end_to_end
def test_a_lost_hour_is_not_counted_until_somebody_says_so(spark: SparkSession, tmp_path: Path) -> None:
    write_parquet(tmp_path, START, [{"product_id": ""}] * 3 + [{}], "a.parquet")
    write_parquet(tmp_path, START + 1, [{"product_id": ""}] * 2)
    write_parquet(tmp_path, START + 2, [{}])
    strict = settings_in(tmp_path, max_quarantined_share=0.5)
    for _ in range(2):  # a retry does not take it for done
        with pytest.raises(QuarantinedHourError, match="dt=2017-12-03/hr=01: 2 of 2 rows"):
            aggregate(spark, strict, START, START + 3)
    assert reasons(strict, START + 1) == {"missing:product_id": 2}
    found = Tables(strict.storage.tables).find_all("hourly_counts", [hour_partition(START + n) for n in range(3)])
    assert [manifest is not None for manifest in found] == [True, False, True]
    lenient = settings_in(tmp_path, max_quarantined_share=1.0)
    assert aggregate(spark, lenient, START, START + 3).details["up_to_date"] == 2
    assert manifest_of(lenient, START + 1).counts["quarantined"] == 2


@pytest.mark.end_to_end
def test_hours_are_read_by_another_layout(spark: SparkSession, tmp_path: Path) -> None:
    file = write_lines(tmp_path, START, [{}])
    place = tmp_path / "events" / "2017" / "12" / "03" / "00"
    place.mkdir(parents=True)
    file.rename(place / "stream-1")
    hour_folder(tmp_path, START).rmdir()
    (tmp_path / "events" / "dt=2017-12-03").rmdir()
    settings = settings_in(tmp_path, format="json", layout="%Y/%m/%d/%H")
    aggregate(spark, settings, START, START + 1)
    assert manifest_of(settings, START).counts["events"] == 1


def read_again(monkeypatch: pytest.MonkeyPatch, *readings: list[Any], most: int = 1 << 20) -> list[Any]:
    """What a task sends whose readings of a piece go so: parcels, and then perhaps an error."""
    left = iter(readings)

    def read(*_: Any) -> Iterator[Any]:
        for each in next(left):
            if isinstance(each, BaseException):
                raise each
            yield 0, each

    monkeypatch.setattr(hour_tasks, "_read", read)
    monkeypatch.setattr(hour_tasks, "PAUSE_SECONDS", 0)
    monkeypatch.setattr(hour_tasks, "MOST_KEPT_BACK", most)
    place = StoragePath("nowhere")
    plan = HourPlan(place, place, place, 0, 1)
    pieces = [Piece(START, 0, "a.json", None, 1)]
    found = hour_tasks.read_pieces.__wrapped__(pieces, {START: plan}, AggregationRules({}, 1, 1))  # type: ignore[attr-defined]
    return [content for _, content in found]


ONE, TWO = PackedEvents(0, 0, b"one"), PackedEvents(0, 1, b"two")
STUMBLE, WRONG = UnreadableError(OSError("reset by peer")), UnreadableError(ValueError("no such type"))


def test_a_stumble_in_a_task_is_read_again_and_nothing_is_sent_twice(monkeypatch: pytest.MonkeyPatch) -> None:
    assert read_again(monkeypatch, [ONE, STUMBLE], [ONE, TWO]) == [ONE, TWO]


def test_a_file_that_fails_twice_is_broken(monkeypatch: pytest.MonkeyPatch) -> None:
    broken = BrokenFile(START, "a.json", "reset by peer", False)
    assert read_again(monkeypatch, [ONE, STUMBLE], [ONE, STUMBLE]) == [broken]


def test_content_that_is_wrong_is_not_read_again(monkeypatch: pytest.MonkeyPatch) -> None:
    assert read_again(monkeypatch, [ONE, WRONG]) == [BrokenFile(START, "a.json", "no such type", True)]


def test_what_is_sent_is_not_read_again(monkeypatch: pytest.MonkeyPatch) -> None:
    """More events than are kept back: the driver begins the hour anew."""
    broken = BrokenFile(START, "a.json", "reset by peer", False)
    assert read_again(monkeypatch, [ONE, TWO, STUMBLE], most=4) == [ONE, TWO, broken]


@pytest.mark.parametrize(
    "error", [KeyError("x"), NotImplementedError("x"), OverflowError("too large"), ZeroDivisionError()]
)
def test_whatever_a_file_raises_is_its_own_reason(
    monkeypatch: pytest.MonkeyPatch, tmp_path: Path, error: Exception
) -> None:
    def raising(*_: Any) -> Any:
        raise error

    file = write_parquet(tmp_path, START, [{}])
    monkeypatch.setattr(hour_tasks, "validated", raising)
    place = StoragePath(str(tmp_path / "run"))
    plans = {START: HourPlan(place, place, place, 0, 1)}
    pieces = [Piece(START, 0, str(file), (0,), 1)]
    [(_, broken)] = hour_tasks.read_pieces.__wrapped__(pieces, plans, AggregationRules({}, 1, 1))  # type: ignore[attr-defined]
    assert isinstance(broken, BrokenFile)
    assert (broken.uri, broken.is_sure) == (str(file), True)
