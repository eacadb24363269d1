"""Which hour or day a DAG run is for, however the run was started.

A run by schedule or backfill has the right data interval. A run by hand has not: `airflow dags trigger` gives it the
interval of the moment it is typed, whatever `--logical-date` says, `airflow dags test` and the API the interval before
the date, and a run without a date has none at all. So a run by hand is for the hour, or day, that its logical date lies
in, as if the schedule had made it, and is refused where it names none.
"""

from __future__ import annotations

from datetime import datetime, timedelta, timezone
from typing import NamedTuple, Protocol

from airflow.sdk.exceptions import AirflowFailException

HOUR, DAY = timedelta(hours=1), timedelta(days=1)
# Runs whose data interval Airflow takes from the schedule.
FROM_SCHEDULE = ("scheduled", "backfill")
EPOCH = datetime(1970, 1, 1, tzinfo=timezone.utc)


class RunOfDag(Protocol):
    """What is needed of Airflow's DAG run."""

    run_type: str
    logical_date: datetime | None
    data_interval_start: datetime | None
    data_interval_end: datetime | None
    run_after: datetime


class Interval(NamedTuple):
    """The hours from `start` to `end`, in UTC, that a run is for."""

    start: datetime
    end: datetime


def interval_of(run: RunOfDag, length: timedelta, first: datetime, now: datetime) -> Interval:
    """Returns the interval of `length` (HOUR or DAY) that a run is for.

    `first` is the beginning of the event log. Raises AirflowFailException, after which a task is not tried again, where
    a run by hand names no date, an interval that has not ended by `now` or that lies before `first`, or a data interval
    that contradicts its date.
    """
    if run.run_type in FROM_SCHEDULE and run.data_interval_start and run.data_interval_end:
        begin, end = run.data_interval_start, run.data_interval_end
        return Interval(begin.astimezone(timezone.utc), end.astimezone(timezone.utc))
    name = {HOUR: "hour", DAY: "day"}[length]
    if run.logical_date is None:
        example = f"{_beginning(now - length, length):%Y-%m-%dT%H:%M:%S+00:00}"
        raise AirflowFailException(
            f"this run was started by hand and names no {name}; start another with a logical date, the beginning of "
            f"the {name}: airflow dags trigger DAG --logical-date {example}"
        )
    start = _beginning(run.logical_date, length)
    end = start + length
    named = f"the {name} that begins at {start:%Y-%m-%dT%H:%M} UTC"
    if end > now:
        raise AirflowFailException(f"{named} has not ended yet; start another run with an earlier logical date")
    if end <= first:
        raise AirflowFailException(f"{named} is before the event log begins (LARDER_FIRST_HOUR)")
    if _contradicts(run, start, length):
        raise AirflowFailException(
            f"the run's data interval begins at {run.data_interval_start}, but its logical date is in {named}; start "
            "another run without a data interval"
        )
    return Interval(start, end)


def _contradicts(run: RunOfDag, start: datetime, length: timedelta) -> bool:
    """Whether somebody named a data interval that is neither the one meant nor one that Airflow derives."""
    given = (run.data_interval_start, run.data_interval_end)
    ends = [start + length, start, _beginning(run.run_after, length)]
    return None not in given and given not in [(end - length, end) for end in ends]


def _beginning(moment: datetime, length: timedelta) -> datetime:
    """The beginning of the hour or day, in UTC, that a moment lies in."""
    return moment.astimezone(timezone.utc) - (moment - EPOCH) % length
