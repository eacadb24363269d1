"""A run by hand is for the hour or day that it names, however it was started, or is refused."""

from __future__ import annotations

from datetime import datetime, timedelta, timezone
from types import SimpleNamespace

import pytest
from hypothesis import given
from hypothesis import strategies as st

pytest.importorskip("airflow")

from airflow.sdk.exceptions import AirflowFailException

from larder.dags.intervals import DAY, HOUR, interval_of

UTC = timezone.utc
FIRST = datetime(2025, 3, 1, 22, tzinfo=UTC)
NAMED = datetime(2025, 3, 5, 7, tzinfo=UTC)
NOW = datetime(2025, 4, 9, 10, 20, tzinfo=UTC)


def run(
    logical_date: datetime | None, begin: datetime | None, length: timedelta = HOUR, run_type: str = "manual"
) -> SimpleNamespace:
    end = begin + length if begin else None
    return SimpleNamespace(
        run_type=run_type, logical_date=logical_date, data_interval_start=begin, data_interval_end=end, run_after=NOW
    )


@pytest.mark.parametrize(
    "begin",
    [
        pytest.param(datetime(2025, 4, 9, 9, tzinfo=UTC), id="airflow dags trigger: the last hour of now"),
        pytest.param(NAMED - HOUR, id="airflow dags test, API: the hour before the date"),
        pytest.param(NAMED, id="API, with the interval named"),
        pytest.param(None, id="no interval"),
    ],
)
@pytest.mark.parametrize("run_type", ["manual", "operator_triggered"])
def test_a_run_by_hand_does_the_hour_it_names(begin: datetime | None, run_type: str) -> None:
    assert interval_of(run(NAMED, begin, run_type=run_type), HOUR, FIRST, NOW) == (NAMED, NAMED + HOUR)


@pytest.mark.parametrize("run_type", ["scheduled", "backfill"])
def test_a_run_by_schedule_or_backfill_does_its_interval(run_type: str) -> None:
    assert interval_of(run(NAMED, NAMED, run_type=run_type), HOUR, FIRST, NOW) == (NAMED, NAMED + HOUR)


def test_a_run_by_hand_does_the_day_it_names() -> None:
    named, now = datetime(2025, 3, 5, tzinfo=UTC), datetime(2025, 4, 8, tzinfo=UTC)
    assert interval_of(run(named, now, DAY), DAY, FIRST, NOW) == (named, named + DAY)
    in_tokyo = named.astimezone(timezone(timedelta(hours=9)))
    assert interval_of(run(in_tokyo, now, DAY), DAY, FIRST, NOW) == (named, named + DAY)


@pytest.mark.parametrize("length", [HOUR, DAY])
def test_a_run_without_a_date_is_refused_with_a_date_that_would_do(length: timedelta) -> None:
    with pytest.raises(AirflowFailException, match=r"names no (hour|day);.*--logical-date (\S+)$") as caught:
        interval_of(run(None, None), length, FIRST, NOW)
    example = datetime.fromisoformat(str(caught.value).rpartition(" ")[2])
    assert NOW - length < interval_of(run(example, None), length, FIRST, NOW).end <= NOW


@pytest.mark.parametrize(
    ("logical_date", "begin", "told"),
    [
        (NOW, NOW.replace(hour=9, minute=0), "2025-04-09T10:00 UTC has not ended yet"),
        (NOW + DAY, None, "2025-04-10T10:00 UTC has not ended yet"),
        (FIRST - HOUR, None, "2025-03-01T21:00 UTC is before the event log begins"),
        (NAMED, NAMED - 3 * HOUR, "data interval begins at 2025-03-05 04:00:00.*but its logical date is in the hour"),
    ],
)
def test_a_run_by_hand_that_cannot_be_meant_is_refused(logical_date: datetime, begin: datetime, told: str) -> None:
    with pytest.raises(AirflowFailException, match=told):
        interval_of(run(logical_date, begin), HOUR, FIRST, NOW)


@given(seconds=st.integers(0, 38 * 86_400), length=st.sampled_from([HOUR, DAY]), offset=st.integers(-12, 14))
def test_any_moment_of_an_hour_or_day_names_it(seconds: int, length: timedelta, offset: int) -> None:
    moment = (FIRST + timedelta(seconds=seconds)).astimezone(timezone(timedelta(hours=offset)))
    try:
        start, end = interval_of(run(moment, None), length, FIRST, NOW)
    except AirflowFailException as error:
        assert "has not ended yet" in str(error)
        return
    assert start <= moment < end <= NOW
    assert end - start == length
    assert start.minute == start.second == 0
    assert length == HOUR or start.hour == 0
