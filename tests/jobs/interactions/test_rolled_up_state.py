"""A state that is missing is named with the whole command that makes it."""

from __future__ import annotations

from pathlib import Path

import pytest

from larder.jobs.interactions.rolled_up_state import rolled_up_state
from larder.models.hours import as_of_partition, hour, hour_partition
from larder.models.tables import HOURLY_COUNTS, INTERACTIONS
from larder.storage import Manifest, MissingPartitionError, Tables

NOW = hour("2017-12-04")


def tables_with(folder: Path, states: tuple[str, ...] = (), hours: tuple[str, ...] = ()) -> Tables:
    tables = Tables(str(folder))
    for state in states:
        tables.publish(Manifest(INTERACTIONS, as_of_partition(hour(state)), "run"))
    for begun in hours:
        tables.publish(Manifest(HOURLY_COUNTS, hour_partition(hour(begun)), "run"))
    return tables


@pytest.mark.parametrize(
    ("states", "hours", "command"),
    [
        (("2017-12-01", "2017-12-03"), ("2017-11-01",), "--start 2017-12-03T00 --end 2017-12-04T00`"),
        (
            ("2017-12-05",),
            ("2017-11-02T05", "2017-11-02T03", "2017-12-01"),
            "--start 2017-11-02T03 --end 2017-12-04T00 --from-empty`",
        ),
        ((), (), "--start FIRST_HOUR --end 2017-12-04T00 --from-empty`"),
    ],
    ids=["after the newest state before", "from the first hour counted", "nothing there yet"],
)
def test_the_command_is_whole(tmp_path: Path, states: tuple[str, ...], hours: tuple[str, ...], command: str) -> None:
    with pytest.raises(MissingPartitionError) as caught:
        rolled_up_state(tables_with(tmp_path, states, hours), INTERACTIONS, NOW)
    assert str(caught.value).endswith(f"make it with `larder roll-up {command}")


def test_a_state_that_is_there_is_returned(tmp_path: Path) -> None:
    found = rolled_up_state(tables_with(tmp_path, ("2017-12-04",)), INTERACTIONS, NOW)
    assert found.reference == "interactions/as_of=2017-12-04T00@run"
