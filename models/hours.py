"""Hours as numbers, as texts and as the names of partitions. All hours are UTC."""

from __future__ import annotations

from datetime import datetime, timezone

HOUR_FORMAT = "%Y-%m-%dT%H"
SECONDS_AN_HOUR = 3600
HOURS_A_DAY = 24
_ACCEPTED = (HOUR_FORMAT, "%Y-%m-%d", "%Y-%m-%dT%H:%M", "%Y-%m-%dT%H:%M:%SZ", "%Y-%m-%dT%H:%M:%S+00:00")


class NotAnHourError(ValueError):
    """A text is not an hour, or not a time; the message quotes it and shows a valid one."""


def hour(text: str) -> int:
    """Returns the number of hours from 1970-01-01T00 UTC to `2017-12-04T00`.

    Also reads `2017-12-04` and `2017-12-04T00:00:00Z`. Raises NotAnHourError.
    """
    for pattern in _ACCEPTED:
        try:
            moment = datetime.strptime(text, pattern).replace(tzinfo=timezone.utc)
        except ValueError:
            continue
        seconds = int(moment.timestamp())
        if seconds % SECONDS_AN_HOUR:
            raise NotAnHourError(f"{text!r} is not a whole hour")
        return seconds // SECONDS_AN_HOUR
    raise NotAnHourError(f"{text!r} is not an hour like 2017-12-04T00")


def moment(text: str) -> datetime:
    """Returns the time written as `2017-12-04T01:10:00Z`; a text without a zone is UTC. Raises NotAnHourError."""
    try:
        found = datetime.fromisoformat(text[:-1] + "+00:00" if text.endswith("Z") else text)
    except ValueError:
        raise NotAnHourError(f"{text!r} is not a time like 2017-12-04T01:10:00Z") from None
    return found if found.tzinfo else found.replace(tzinfo=timezone.utc)


def as_text(hour_number: int) -> str:
    """Returns the text of an hour number, such as `2017-12-04T00`."""
    return datetime.fromtimestamp(hour_number * SECONDS_AN_HOUR, timezone.utc).strftime(HOUR_FORMAT)


def partition_of_moment(moment: datetime) -> str:
    """Returns the hour partition that a UTC time falls into, such as `dt=2017-12-04/hr=00`."""
    return f"dt={moment:%Y-%m-%d}/hr={moment:%H}"


def hour_partition(hour_number: int) -> str:
    """Returns the folder of an hour in events and in hourly tables, such as `dt=2017-12-04/hr=00`."""
    return partition_of_moment(datetime.fromtimestamp(hour_number * SECONDS_AN_HOUR, timezone.utc))


def as_of_partition(hour_number: int) -> str:
    """Returns the partition of a table that holds the state at an instant, such as `as_of=2017-12-04T00`."""
    return f"as_of={as_text(hour_number)}"


def window(start: str, end: str) -> range:
    """Returns the hour numbers from `start` up to, not including, `end`. Raises NotAnHourError, also if empty."""
    found = range(hour(start), hour(end))
    if not found:
        raise NotAnHourError(f"--start {start} is not before --end {end}")
    return found
