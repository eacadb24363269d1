"""`larder`: what spark-submit does for each job, and what operators do with releases."""

from __future__ import annotations

import importlib
from pathlib import Path
from typing import Annotated

import typer
from rich.console import Console
from rich.markup import escape
from rich.table import Table

from larder.cli import explain_verb, mask_verbs, plan_verb, recipe_verbs, release_verbs, report_verbs
from larder.jobs.runtime.expected_errors import errors_in_a_line
from larder.loaders.embedded import redis_server
from larder.settings import load_settings

ABOUT = "Recommendations cooked ahead of time, kept ready, served cold."
# Verbs in the order of the flow; each is a job of jobs/ and takes the job's own arguments.
JOBS = {
    "aggregate-hours": "Validate and count the events of each hour.",
    "roll-up": "Add hours to the running interactions and contexts.",
    "repair": "Put hours right whose events came late or changed.",
    "train-als": "Train user and item factors.",
    "ingest-images": "Decode the catalogue's pictures.",
    "train-vision": "Train the vision model, data-parallel.",
    "search-vision": "Search over the vision model's settings.",
    "embed-products": "Embed every picture.",
    "precompute": "Make the lists of a release.",
    "precompute-cookies": "Make new lists for the cookies of some hours.",
    "evaluate": "Measure lists on later purchases.",
    "tune-lists": "Fit the weights that order personal lists.",
    "load-redis": "Load a release and make it live.",
}
ANY_ARGUMENTS = {"allow_extra_args": True, "ignore_unknown_options": True}
SettingsFile = Annotated[Path | None, typer.Option("--settings", help="larder.toml to use")]

app = typer.Typer(
    help=ABOUT, no_args_is_help=True, rich_markup_mode=None, pretty_exceptions_enable=False, name="larder"
)


def _add_job(verb: str, summary: str) -> None:
    def job(context: typer.Context) -> None:
        module = importlib.import_module(f"larder.jobs.{verb.replace('-', '_')}")
        module.main(context.args)

    app.command(verb, help=summary, context_settings=ANY_ARGUMENTS, add_help_option=False)(job)


for _verb, _summary in JOBS.items():
    _add_job(_verb, _summary)


@app.command()
def quarantine(
    start: Annotated[str, typer.Option(help="first hour, like 2017-12-03T00 (UTC)")] = "",
    end: Annotated[str, typer.Option(help="the hour after the last one (UTC)")] = "",
    pictures: Annotated[bool, typer.Option("--pictures", help="the catalogue's pictures instead of events")] = False,
    settings_file: SettingsFile = None,
) -> None:
    """What was set aside, and why."""
    from larder.cli.quarantine_verb import EXAMPLE, ROWS, picture_reasons, reasons
    from larder.jobs.runtime.arguments import window
    from larder.storage import Tables

    if not (pictures or (start and end)):
        raise typer.BadParameter("name --start and --end, or --pictures")
    tables = Tables(load_settings(settings_file).storage.tables)
    found = picture_reasons(tables) if pictures else reasons(tables, window(start, end))
    table = Table("reason", "rows", box=None)
    table.add_column("for example", overflow="fold")
    for row in found.to_pylist():
        table.add_row(row["reason"], f"{row[ROWS]:,}", escape(row[EXAMPLE]))
    Console().print(table)


@app.command()
def serve(settings_file: SettingsFile = None) -> None:
    """Answer over HTTP until Ctrl-C."""
    from larder.lookup.operations.serve import serve as serve_until_stopped

    settings = load_settings(settings_file)
    with redis_server(settings.redis.url, settings.redis.directory) as url:
        serve_until_stopped(settings.model_copy(update={"redis": settings.redis.model_copy(update={"url": url})}))


app.add_typer(release_verbs.verbs)
app.add_typer(plan_verb.verbs)
app.add_typer(explain_verb.verbs)
app.add_typer(mask_verbs.verbs, name="mask")
app.add_typer(report_verbs.verbs, name="report")
app.add_typer(recipe_verbs.verbs, name="recipe")


def main() -> None:
    """Entry point."""
    with errors_in_a_line():
        app()
