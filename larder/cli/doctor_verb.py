"""`larder doctor`: what this installation is, what it reaches, and what to do about what it does not."""

from __future__ import annotations

import typer
from rich.console import Console
from rich.markup import escape
from rich.table import Table

from larder.cli.installation import Finding, machine, versions
from larder.cli.reachability import services
from larder.cli.settings_in_force import changed_settings
from larder.cli.settings_option import SettingsFile
from larder.settings import SettingsError, load_settings

verbs = typer.Typer()


@verbs.command()
def doctor(settings_file: SettingsFile = None) -> None:
    """Show versions, settings and what can be reached.

    Looks at events, tables, the catalogue, Redis and S3. Exits with 1 if something that is needed does not work.
    """
    console = Console(highlight=False, soft_wrap=True)
    found = _shown(console, "Machine", machine()) + _shown(console, "Versions", versions())
    try:
        settings = load_settings(settings_file)
    except SettingsError as error:
        found += _shown(console, "Settings", [Finding("settings", str(error), "correct the settings file")])
    else:
        found += _shown(console, "Settings that differ from their defaults", changed_settings(settings))
        found += _shown(console, "Reached", services(settings))
    wrong = [finding for finding in found if finding.remedy and finding.needed]
    console.print(f"\n{len(wrong)} to mend" if wrong else "\nNothing to mend.")
    if wrong:
        raise typer.Exit(1)


def _shown(console: Console, title: str, findings: list[Finding]) -> list[Finding]:
    console.print(f"\n[bold]{title}[/bold]")
    table = Table(box=None, show_header=False, pad_edge=False, padding=(0, 2, 0, 0))
    for finding in findings:
        mark = ("[red]no[/red]" if finding.needed else "[yellow]--[/yellow]") if finding.remedy else "ok"
        remedy = f"\n-> {finding.remedy}" if finding.remedy else ""
        table.add_row(mark, escape(finding.name), escape(finding.state + remedy))
    console.print(table)
    return findings
