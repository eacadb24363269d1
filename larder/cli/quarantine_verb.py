"""`larder quarantine`: what was set aside, and why."""

from __future__ import annotations

from typing import Annotated

import typer
from rich.console import Console
from rich.markup import escape
from rich.table import Table

from larder.cli.settings_option import SettingsFile
from larder.jobs.runtime.printable_text import printable
from larder.models.hours import window
from larder.settings import load_settings

verbs = typer.Typer()


@verbs.command()
def quarantine(
    start: Annotated[str, typer.Option(metavar="HOUR", help="First hour, like 2017-12-03T00 (UTC).")] = "",
    end: Annotated[str, typer.Option(metavar="HOUR", help="The hour after the last one (UTC).")] = "",
    pictures: Annotated[bool, typer.Option("--pictures", help="The catalogue's pictures instead of events.")] = False,
    settings_file: SettingsFile = None,
) -> None:
    """Show what was set aside, and why."""
    from larder.cli.quarantine_reasons import EXAMPLE, ROWS, picture_reasons, reasons
    from larder.storage import Tables

    if not (pictures or (start and end)):
        raise typer.BadParameter("name --start and --end, or --pictures")
    tables = Tables(load_settings(settings_file).storage.tables)
    found = picture_reasons(tables) if pictures else reasons(tables, window(start, end))
    table = Table("reason", "rows", box=None)
    table.add_column("for example", overflow="fold")
    for row in found.to_pylist():
        table.add_row(row["reason"], f"{row[ROWS]:,}", escape(printable(row[EXAMPLE])))
    Console().print(table)
