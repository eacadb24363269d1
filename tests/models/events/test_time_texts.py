"""Times as text mean the same on every version of Python; where Python 3.11 reads one too, they mean what it says."""

from __future__ import annotations

import sys
from datetime import datetime, timedelta, timezone

import pyarrow as pa
import pytest
from hypothesis import given
from hypothesis import strategies as st

from larder.models.events.time_texts import NO_TIME, times_of

EPOCH = datetime(1970, 1, 1, tzinfo=timezone.utc)
TEN_PAST = datetime(2017, 12, 3, 0, 10, tzinfo=timezone.utc)


DAY, CLOCK = r"(19|20)[0-9]{2}-?[01][0-9]-?[0-3][0-9]", r"[0-2][0-9](:?[0-5][0-9]){0,2}([.,][0-9]{1,7})?"
LIKE_A_TIME = rf"\A{DAY}([T ]{CLOCK}(Z|[+-][01][0-9](:?[0-5][0-9])?)?)?\Z"


def microseconds(moment: datetime) -> int:
    return (moment - EPOCH) // timedelta(microseconds=1)


def read(*texts: str | None) -> list[int | None]:
    return [None if time == NO_TIME else time for time in times_of(pa.array(texts, pa.string())).tolist()]


@pytest.mark.parametrize(
    ("text", "after"),
    [
        ("2017-12-03T00:10:00Z", 0),
        (" 2017-12-03t00:10:00z\n", 0),
        ("2017-12-03 00:10", 0),
        ("2017-12-03T0010", 0),
        ("20171203T001000Z", 0),
        ("2017-12-03T00:10:00.1", 100_000),
        ("2017-12-03T00:10:00,123456789Z", 123_456),
        ("2017-12-03T01:10:00+01", 0),
        ("2017-12-03T01:10:00+0100", 0),
        ("2017-12-02T23:40:00-00:30", 0),
        ("2017-12-03T01:10:30+01:00:30", 0),
        ("2017-12-03", -600_000_000),
        ("2017-12-03T01", 3_000_000_000),
    ],
)
def test_texts_that_are_times(text: str, after: int) -> None:
    assert read(text) == [microseconds(TEN_PAST) + after]


@pytest.mark.parametrize(
    "text",
    [
        "", " ", "noon", "2017", "2017-12", "20171203", "2017-13-01", "2017-00-01", "2017-12-00", "2017-02-29",
        "1900-02-29",
        "0000-01-01", "2017-12-3", "2017-12-03T", "2017-12-03T24:00", "2017-12-03T00:60", "2017-12-03T00:10:60",
        "2017-12-03T00:10:00.", "2017-12-03T00:10:00 UTC", "2017-12-03T00:10:00Z[UTC]", "2017-12-03T00:10:00+24:00",
        "2017-12-03T00:10:00+", "2017-12-03T00:10:00Zx", "2017/12/03 00:10:00", "Sun, 03 Dec 2017 00:10:00 GMT",
        "03/Dec/2017:00:10:00 +0000", "2017-12-0300:10", "2017-1203", "201712-03", "12017-12-03",
    ],
)  # fmt: skip
def test_texts_that_are_none(text: str) -> None:
    assert read(text, None, "2017-12-03T00:10:00Z") == [None, None, microseconds(TEN_PAST)]


@given(
    st.datetimes(timezones=st.sampled_from([timezone.utc, timezone(timedelta(hours=-5, minutes=-30))])),
    st.sampled_from(["auto", "minutes", "seconds", "milliseconds", "microseconds"]),
    st.sampled_from("T "),
)
def test_every_time_that_python_writes_is_read(moment: datetime, timespec: str, separator: str) -> None:
    text = moment.isoformat(separator, timespec)
    assert read(text) == [microseconds(datetime.fromisoformat(text))]


@pytest.mark.skipif(sys.version_info < (3, 11), reason="reads fewer forms")
@given(st.from_regex(LIKE_A_TIME))
def test_what_is_read_means_what_python_reads(text: str) -> None:
    [found] = read(text)
    if found is not None:
        moment = datetime.fromisoformat(text)
        assert found == microseconds(moment if moment.tzinfo else moment.replace(tzinfo=timezone.utc))
