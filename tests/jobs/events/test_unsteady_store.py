"""A store that fails for a while: nothing is set aside for it, no window is wasted, and nothing is counted twice."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest
from event_folders import START, aggregate, manifest_of, settings_in, write_lines, write_parquet
from pyspark.sql import SparkSession

from larder.jobs.events import hour_aggregation
from larder.jobs.events.hour_tasks import BrokenFile
from larder.models.hours import hour_partition
from larder.storage import StoragePath, Tables
from larder.storage.event_folders import EventHour, find_hours

pytestmark = pytest.mark.end_to_end


@pytest.mark.parametrize("name", ["footer.parquet", "rows.parquet", "lines.json"])
def test_a_store_that_stumbled_sets_nothing_aside(spark: SparkSession, tmp_path: Path, name: str) -> None:
    """Whether over a footer, as hours are looked for, or later, over rows."""
    kind = Path(name).suffix[1:]
    settings = settings_in(tmp_path, format=kind)
    file = (write_lines if kind == "json" else write_parquet)(tmp_path, START, [{}], name)
    sound = file.read_bytes()
    if name.startswith("footer"):
        file.write_bytes(b"")
    hours = find_hours(StoragePath(settings.storage.events), [START], hour_partition, kind)
    assert len(hours[0].broken) == name.startswith("footer")
    file.write_bytes(sound)
    hours = [hour.with_errors({str(file): ("timeout", False)}) for hour in hours]
    [counted], unsteady = hour_aggregation._aggregate(spark, Tables(settings.storage.tables), hours, settings)
    assert (counted.hour.broken, unsteady) == ([], [])
    assert sum(output.counts.get("events", 0) for output in counted.outputs) == 1


@pytest.mark.parametrize("stumbles", [1, 2])
def test_only_hours_in_which_a_file_broke_are_read_again(
    spark: SparkSession, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, stumbles: int
) -> None:
    """A store that fails for a while, in tasks and on the driver, sets no rows aside and wastes no window."""
    for number in range(3):
        write_parquet(tmp_path, START + number, [{"cookie_id": f"c{number}"}])
    read: list[list[int]] = []
    in_spark, settings = hour_aggregation._in_spark, settings_in(tmp_path)

    def stumbling(spark_: SparkSession, hours: list[EventHour], *others: Any) -> list[Any]:
        read.append([hour.hour for hour in hours])
        found = in_spark(spark_, hours, *others)
        broken = [BrokenFile(START + 1, file.uri, "reset", False) for hour in hours[-2:-1] for file in hour.files]
        return [*found, *(broken if len(read) == 1 else [])]

    looks = iter([True] * (stumbles - 1) + [False] * 9)
    monkeypatch.setattr(hour_aggregation, "_in_spark", stumbling)
    monkeypatch.setattr(hour_aggregation, "_breaks", lambda *_: next(looks))
    aggregate(spark, settings, START, START + 3)
    assert read[0] == [START, START + 1, START + 2]
    assert set(read[1]) == {START + 1}
    assert [manifest_of(settings, START + n).counts["events"] for n in range(3)] == [1, 1, 1]


def test_a_store_that_stays_unsteady_is_named_and_the_other_hours_are_counted(
    spark: SparkSession, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    for number in range(2):
        write_parquet(tmp_path, START + number, [{}])
    in_spark, settings = hour_aggregation._in_spark, settings_in(tmp_path)

    def stumbling(spark_: SparkSession, hours: list[EventHour], *others: Any) -> list[Any]:
        found = in_spark(spark_, hours, *others)
        return [*found, *(BrokenFile(START, hour.files[0].uri, "reset", False) for hour in hours if hour.hour == START)]

    monkeypatch.setattr(hour_aggregation, "_in_spark", stumbling)
    with pytest.raises(hour_aggregation.UnsteadyStoreError, match="2017-12-03T00 could be read on one look"):
        aggregate(spark, settings, START, START + 2)
    assert Tables(settings.storage.tables).find("hourly_counts", hour_partition(START)) is None
    assert manifest_of(settings, START + 1).counts["events"] == 1
