"""`larder report`: clicks and purchases of the lists that were served."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from typing import TYPE_CHECKING, Annotated

import typer
from rich.console import Console
from rich.table import Table

from larder.cli.settings_option import SettingsFile
from larder.settings import Settings, SettingsError, load_settings

if TYPE_CHECKING:
    import pyarrow as pa

    from larder.journey.click_through import RateInterval
    from larder.storage import StoragePath

verbs = typer.Typer(help="Clicks and purchases of the lists that were served.", no_args_is_help=True)
HOURS_TO_CLICK = 24
UNCUT = 1000  # columns: a table is rather wider than the terminal than without some of its digits


@verbs.callback()
def _group() -> None:
    """Keeps `routes` a verb of its own: without a callback, typer would drop the name of a single verb."""


@verbs.command()
def routes(
    start: Annotated[str, typer.Option(help="First hour of served lists, like 2017-12-03T00 (UTC).")],
    end: Annotated[str, typer.Option(help="The hour after the last one (UTC).")],
    within: Annotated[int, typer.Option(help="Hours afterwards in which clicks still count.", min=0)] = HOURS_TO_CLICK,
    settings_file: SettingsFile = None,
) -> None:
    """Products shown, clicked and bought by release and route, with 95% intervals of the rates."""
    from larder.journey.click_through import LOG_COLUMNS, events_of_lists
    from larder.journey.click_through import routes as by_route
    from larder.models.hours import window

    settings = load_settings(settings_file)
    if not settings.lookup.journey:
        raise SettingsError("lookup.journey is empty: nothing was logged; set it to a folder and restart the endpoint")
    hours = window(start, end)
    later = range(hours.start, hours.stop + within)
    clicks = events_of_lists(_events(settings, later), settings.events.columns)
    found = by_route(_served(settings, hours, LOG_COLUMNS), clicks)
    names = ["release", "route", "shown", "clicked", "added", "bought"]
    table = Table(*names, "click-through", "low", "high", "bought of shown", "low", "high", box=None)
    for row in found:
        counts = [f"{count:,}" for count in row[2:6]]
        clicked = [f"{row.clicked / row.shown:.2%}", *_interval(row.click_through, 2)]
        bought = [f"{row.bought / row.shown:.3%}", *_interval(row.bought_of_shown, 3)]
        table.add_row(row.release, row.route, *counts, *clicked, *bought)
    Console(width=UNCUT).print(table)


def _interval(interval: RateInterval | None, digits: int) -> tuple[str, str]:
    return ("", "") if interval is None else (f"{interval.low:.{digits}%}", f"{interval.high:.{digits}%}")


def _events(settings: Settings, hours: range) -> Iterator[pa.Table]:
    """Yields the events of these hours, the columns that a report needs, read as `aggregate-hours` reads them.

    An id has one spelling, whatever type its column has, so that it is found in the log. Raises SettingsError if there
    is no such folder.
    """
    import pyarrow as pa

    from larder.journey.click_through import EVENT_COLUMNS
    from larder.models.events.id_texts import as_text
    from larder.storage.event_folders import find_hours
    from larder.storage.event_layout import partition_by
    from larder.storage.event_reading import pieces_of, read_piece

    place = _folder(settings.storage.events, "storage.events")
    names = [settings.events.columns.get(name, name) for name in EVENT_COLUMNS]
    for found in find_hours(place, hours, partition_by(settings.events.layout), settings.events.format):
        for piece in pieces_of(found):
            for batch in read_piece(piece, names, ()):
                rows = batch.columns
                yield pa.table({name: as_text(rows.column(name))[0] for name in rows.schema.names})


def _served(settings: Settings, hours: range, columns: Sequence[str]) -> Iterator[pa.Table]:
    """Yields every readable file of the log in these hours, these columns of it.

    Raises SettingsError if there is no such folder.
    """
    import pyarrow.parquet

    from larder.models.hours import hour_partition
    from larder.storage import StoragePath
    from larder.storage.event_folders import find_hours

    place = _folder(settings.lookup.journey, "lookup.journey")
    for found in find_hours(place, hours, hour_partition, "parquet"):
        for file in found.readable:
            system, path = StoragePath(file.uri).open()
            yield pyarrow.parquet.read_table(path, columns=[*columns], filesystem=system)


def _folder(path: str, setting: str) -> StoragePath:
    from larder.storage import StoragePath

    place = StoragePath(path)
    if not place.exists():
        raise SettingsError(f"no folder at {path} ({setting})")
    return place
