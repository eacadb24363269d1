"""`larder`: every job of the pipeline, and what operators do with tables and releases."""

from __future__ import annotations

import importlib
from argparse import Namespace
from collections.abc import Callable
from typing import Any

import typer
from typer.core import TyperGroup

from larder.cli import (
    backtest_verb,
    bundle_verb,
    doctor_verb,
    experiment_verbs,
    explain_verb,
    mask_verbs,
    plan_verb,
    quarantine_verb,
    recipe_verbs,
    release_verbs,
    report_verbs,
    scrub_verb,
    serve_verb,
)
from larder.jobs.runtime.expected_errors import errors_in_a_line
from larder.jobs.runtime.job_arguments import COMMANDS, JobCommand, callback

ABOUT = "Recommendations cooked ahead of time, kept ready, served cold."
# Stages in the order of the flow, and the verbs of each. A job's verb stands in the stage that its definition names.
STAGES: dict[str, tuple[str, ...]] = {
    "events": ("aggregate-hours", "quarantine"),
    "interactions": ("roll-up", "repair"),
    "als": ("train-als",),
    "vision": ("ingest-images", "train-vision", "recipe", "search-vision", "embed-products"),
    "lists": ("precompute", "precompute-cookies"),
    "evaluation": ("evaluate", "tune-lists", "backtest", "report"),
    "publishing": ("load-redis", "status", "verify", "repair-release", "rollback", "retire", "diff", "mask", "plan"),
    "serving": ("serve", "experiment", "explain"),
    "installation": ("doctor", "scrub", "bundle"),
}


class VerbsByStage(TyperGroup):
    """A group whose help lists its verbs under the stage that they belong to."""

    def list_commands(self, ctx: Any) -> list[str]:
        """The verbs in the order of the flow, those without a stage last."""
        staged = [verb for verbs in STAGES.values() for verb in verbs if verb in self.commands]
        return [*staged, *(verb for verb in self.commands if verb not in staged)]

    def format_commands(self, ctx: Any, formatter: Any) -> None:
        """Writes a section a stage."""
        width = max(map(len, self.commands))
        limit = formatter.width - width - 6
        for stage, verbs in STAGES.items():
            shown = [(verb, self.commands[verb]) for verb in verbs if verb in self.commands]
            rows = [(f"{verb:<{width}}", command.get_short_help_str(limit)) for verb, command in shown]
            with formatter.section(stage.capitalize() if stage != "als" else "ALS"):
                formatter.write_dl(rows)


app = typer.Typer(
    cls=VerbsByStage,
    help=ABOUT,
    no_args_is_help=True,
    rich_markup_mode=None,
    pretty_exceptions_enable=False,
    name="larder",
)


def _starts(command: JobCommand) -> Callable[[Namespace], None]:
    def start(arguments: Namespace) -> None:
        importlib.import_module(f"larder.jobs.{command.name}").start(arguments)

    return start


for _command in COMMANDS.values():
    _group = {"": app, "report": report_verbs.verbs}[_command.group]
    _group.command(_command.verb, help=_command.summary)(callback(_command, _starts(_command)))
for _verbs in (
    backtest_verb,
    bundle_verb,
    doctor_verb,
    explain_verb,
    plan_verb,
    quarantine_verb,
    release_verbs,
    scrub_verb,
    serve_verb,
):
    app.add_typer(_verbs.verbs)
app.add_typer(mask_verbs.verbs, name="mask")
app.add_typer(experiment_verbs.verbs, name="experiment")
app.add_typer(report_verbs.verbs, name="report")
app.add_typer(recipe_verbs.verbs, name="recipe")


def main() -> None:
    """Runs the command line of this process."""
    with errors_in_a_line():
        app()
