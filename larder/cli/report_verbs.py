"""`larder report`: clicks and purchases of the lists that were served."""

from __future__ import annotations

from collections.abc import Iterator
from typing import TYPE_CHECKING, Annotated

import typer
from rich.console import Console
from rich.table import Table

from larder.cli.settings_option import SettingsFile
from larder.settings import SettingsError, load_settings

if TYPE_CHECKING:
    import pyarrow as pa

verbs = typer.Typer(help="Clicks and purchases of the lists that were served.", no_args_is_help=True)
HOURS_TO_CLICK = 24


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
    """Products shown, clicked and bought by release and route."""
    from larder.journey.click_through import events_of_lists
    from larder.journey.click_through import routes as by_route
    from larder.models.hours import window

    settings = load_settings(settings_file)
    if not settings.lookup.journey:
        raise SettingsError("lookup.journey is empty: nothing was logged; set it to a folder and restart the endpoint")
    hours = window(start, end)
    later = range(hours.start, hours.stop + within)
    events = _tables(settings.storage.events, "storage.events", later, settings.events.format)
    clicks = events_of_lists(events, settings.events.columns)
    found = by_route(_tables(settings.lookup.journey, "lookup.journey", hours, "parquet"), clicks)
    table = Table(
        "release", "route", "shown", "clicked", "added", "bought", "click-through", "bought of shown", box=None
    )
    for row in found:
        counts = [f"{count:,}" for count in row[2:]]
        table.add_row(
            row.release, row.route, *counts, f"{row.clicked / row.shown:.2%}", f"{row.bought / row.shown:.3%}"
        )
    Console().print(table)


def _tables(folder: str, setting: str, hours: range, kind: str) -> Iterator[pa.Table]:
    """Yields the rows of every readable file of these hours. Raises SettingsError if there is no such folder."""
    import pyarrow.json
    import pyarrow.parquet

    from larder.models.hours import hour_partition
    from larder.storage import StoragePath
    from larder.storage.event_folders import find_hours

    if not StoragePath(folder).exists():
        raise SettingsError(f"no folder at {folder} ({setting})")
    for found in find_hours(StoragePath(folder), hours, hour_partition, kind):
        for file in found.readable:
            system, path = StoragePath(file.uri).open()
            if kind == "json":
                with system.open_input_stream(path, compression="detect") as stream:
                    yield pyarrow.json.read_json(stream)
            else:
                yield pyarrow.parquet.read_table(path, filesystem=system)
