"""Hours and windows as operators write them."""

from __future__ import annotations

import argparse
from datetime import datetime, timedelta, timezone
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from larder.jobs.runtime.job_arguments import parse
from larder.models.hours import NotAnHourError, as_of_partition, as_text, hour, hour_partition

EPOCH = datetime(1970, 1, 1, tzinfo=timezone.utc)
NOON = (datetime(2017, 12, 4, 12, tzinfo=timezone.utc) - EPOCH) // timedelta(hours=1)
WINDOW = ["--start", "2017-12-03T00", "--end", "2017-12-04T00"]


@pytest.fixture(autouse=True)
def empty_folder(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)


@pytest.mark.parametrize(
    "text",
    ["2017-12-04T12", "2017-12-04T12:00", "2017-12-04T12:00:00Z", "2017-12-04T12:00:00+00:00"],
)
def test_an_hour_may_be_written_in_many_ways(text: str) -> None:
    assert hour(text) == NOON


def test_a_day_is_its_first_hour() -> None:
    assert hour("2017-12-04") == NOON - 12


@given(st.integers(0, 2_000_000))
def test_an_hour_comes_back_from_its_text(number: int) -> None:
    assert hour(as_text(number)) == number


@pytest.mark.parametrize("text", ["2017-12-04T12:30", "2017-12-04T12:00:01Z"])
def test_a_part_of_an_hour_is_refused(text: str) -> None:
    with pytest.raises(NotAnHourError, match="not a whole hour"):
        hour(text)


@pytest.mark.parametrize("text", ["", "noon", "2017-13-04T12", "2017-12-04T24", "12/04/2017", "2017-12-04T12+01:00"])
def test_what_is_no_hour_is_refused_with_an_example(text: str) -> None:
    with pytest.raises(NotAnHourError, match="2017-12-04T00"):
        hour(text)


def test_partitions_are_named_after_their_hour() -> None:
    assert hour_partition(NOON) == "dt=2017-12-04/hr=12"
    assert as_of_partition(NOON) == "as_of=2017-12-04T12"


def window(*arguments: str) -> argparse.Namespace:
    return parse("aggregate_hours", list(arguments))


def test_a_window_is_two_hours_and_settings() -> None:
    arguments = window(*WINDOW)
    assert (arguments.start, arguments.end) == (NOON - 36, NOON - 12)
    assert arguments.settings.als.rank > 0


@pytest.mark.parametrize(
    ("arguments", "complaint"),
    [
        (["--start", "2017-12-04T00", "--end", "2017-12-04T00"], "--start 2017-12-04T00 is not before"),
        (["--start", "2017-12-04T01", "--end", "2017-12-04T00"], "is not before --end 2017-12-04T00"),
        (WINDOW[:2], "--end"),
        (["--start", "noon", *WINDOW[2:]], "not an hour like"),
        ([*WINDOW, "--settings", "absent.toml"], "no settings file at absent.toml"),
        ([*WINDOW, "--more"], "--more"),
    ],
)
def test_what_does_not_fit_ends_the_job_with_a_word(
    arguments: list[str], complaint: str, capsys: pytest.CaptureFixture[str]
) -> None:
    with pytest.raises(SystemExit) as ended:
        window(*arguments)
    assert ended.value.code == 2
    assert complaint in capsys.readouterr().err


def test_settings_are_those_of_the_file_named(tmp_path: Path) -> None:
    (tmp_path / "shop.toml").write_text("[als]\nrank = 3\n")
    assert window(*WINDOW, "--settings", "shop.toml").settings.als.rank == 3


def test_settings_that_do_not_fit_end_the_job(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    (tmp_path / "larder.toml").write_text("[als]\nrank = 0\n")
    with pytest.raises(SystemExit):
        window(*WINDOW)
    assert "als.rank" in capsys.readouterr().err


def test_an_instant_is_an_hour() -> None:
    assert parse("train_als", ["--as-of", "2017-12-04T12"]).as_of == NOON
