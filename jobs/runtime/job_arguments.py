"""The command line of every job, defined once.

`larder VERB` and `spark-submit jobs/VERB.py` are both made from these definitions, so their flags, checks and help are
the same. Nothing here imports Spark: `larder --help` must work where only the endpoint is installed.
"""

from __future__ import annotations

import functools
from argparse import Namespace
from collections.abc import Callable
from dataclasses import dataclass
from datetime import datetime
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

from larder.models import hours
from larder.settings import Settings, SettingsError, load_settings
from larder.settings.vision_recipe import VisionRecipe, load_recipe

if TYPE_CHECKING:
    from larder.storage import StoragePath

PAIR_WEIGHT = "pair_weight"
PLAIN: dict[str, Any] = {"add_completion": False, "rich_markup_mode": None, "pretty_exceptions_enable": False}


@dataclass(frozen=True)
class JobCommand:
    """A job's name, as in jobs/NAME.py, its stage, and the function whose signature defines its arguments.

    `group` is the verb that its own verb stands below, if any: `larder GROUP VERB`.

    The function takes the parsed arguments and raises typer.BadParameter for values that do not fit together.
    """

    name: str
    stage: str
    check: Callable[..., None]
    group: str = ""

    @property
    def verb(self) -> str:
        """The job's name on the command line, such as `train-als`, without its group."""
        return self.name.removeprefix(f"{self.group}_").replace("_", "-")

    @property
    def summary(self) -> str:
        """The first line of the job's help."""
        return (self.check.__doc__ or "").partition("\n")[0]


COMMANDS: dict[str, JobCommand] = {}


def _job(stage: str, group: str = "") -> Callable[[Callable[..., None]], Callable[..., None]]:
    def register(check: Callable[..., None]) -> Callable[..., None]:
        COMMANDS[check.__name__] = JobCommand(check.__name__, stage, check, group)
        return check

    return register


def _hour(text: str | int) -> int:
    return text if isinstance(text, int) else _parsed(hours.hour, text)


def _moment(text: str | datetime) -> datetime:
    return text if isinstance(text, datetime) else _parsed(hours.moment, text)


def _settings(path: str | Settings) -> Settings:
    return path if isinstance(path, Settings) else _parsed(load_settings, path)


def _recipe(path: str | VisionRecipe) -> VisionRecipe:
    return path if isinstance(path, VisionRecipe) else _parsed(load_recipe, Path(path))


def _place(uri: str | StoragePath) -> StoragePath:
    from larder.storage import StoragePath

    return StoragePath(uri) if isinstance(uri, str) else uri


def _parsed(parse: Callable[[Any], Any], text: Any) -> Any:
    try:
        return parse(text)
    except (hours.NotAnHourError, SettingsError) as error:
        raise typer.BadParameter(str(error)) from None


Hour = Annotated[int, typer.Option(parser=_hour, metavar="HOUR")]
Start = Annotated[
    int, typer.Option("--start", parser=_hour, metavar="HOUR", help="First hour, like 2017-12-03T00 (UTC).")
]
End = Annotated[int, typer.Option("--end", parser=_hour, metavar="HOUR", help="The hour after the last one (UTC).")]
AsOf = Annotated[
    int,
    typer.Option(
        "--as-of", parser=_hour, metavar="HOUR", help="Use what was known at this hour, like 2017-12-04T00 (UTC)."
    ),
]
PairsAsOf = Annotated[
    int | None,
    typer.Option(
        "--as-of",
        parser=_hour,
        metavar="HOUR",
        help="Hour of the interactions that say which products are bought together. Required if vision.pair_weight is"
        " set.",
    ),
]
TestEnd = Annotated[
    int, typer.Option("--end", parser=_hour, metavar="HOUR", help="The hour after the last hour of purchases (UTC).")
]
Now = Annotated[
    datetime | None,
    typer.Option(
        "--now",
        parser=_moment,
        metavar="TIME",
        help="The current time, like 2017-12-04T01:10:00Z. Required if events.quiet_minutes is set.",
    ),
]
SettingsFile = Annotated[
    Settings | None,
    typer.Option(
        "--settings",
        parser=_settings,
        metavar="FILE",
        help="The settings file (default: $LARDER_SETTINGS, else ./larder.toml).",
    ),
]


@_job("events")
def aggregate_hours(start: Start, end: End, now: Now = None, settings: SettingsFile = None) -> None:
    """Validate and count the events of each hour."""
    _check_window(start, end)


@_job("interactions")
def roll_up(
    start: Start,
    end: End,
    from_empty: Annotated[
        bool,
        typer.Option(
            "--from-empty",
            help="Start without a state at --start: for the first run, or to rebuild after a change of half-life.",
        ),
    ] = False,
    settings: SettingsFile = None,
) -> None:
    """Add hours to the running interactions and contexts."""
    _check_window(start, end)


@_job("interactions")
def repair(start: Start, end: End, now: Now = None, settings: SettingsFile = None) -> None:
    """Count changed hours again and correct the state."""
    if start > end:
        _refuse_window(start, end)


@_job("als")
def train_als(as_of: AsOf, settings: SettingsFile = None) -> None:
    """Train user and item factors by ALS."""


@_job("vision")
def ingest_images(settings: SettingsFile = None) -> None:
    """Decode and resize the catalogue's pictures."""


@_job("vision")
def train_vision(as_of: PairsAsOf = None, settings: SettingsFile = None) -> None:
    """Train the vision model, data-parallel."""
    if settings and settings.vision.pair_weight and as_of is None:
        raise typer.BadParameter(
            "vision.pair_weight is set: name the interactions by --as-of HOUR", param_hint="--as-of"
        )


@_job("vision")
def search_vision(
    recipe: Annotated[
        VisionRecipe,
        typer.Option("--recipe", parser=_recipe, metavar="FILE", help="Made by `larder recipe vision --to FILE`."),
    ],
    as_of: PairsAsOf = None,
    settings: SettingsFile = None,
) -> None:
    """Search over settings of the vision model."""
    pairs = bool(settings and settings.vision.pair_weight) or PAIR_WEIGHT in recipe.space
    if pairs and as_of is None:
        raise typer.BadParameter(
            "vision.pair_weight is set, or part of the recipe: name the interactions by --as-of HOUR",
            param_hint="--as-of",
        )


@_job("vision")
def embed_products(settings: SettingsFile = None) -> None:
    """Compute an embedding of every product's picture."""


@_job("lists")
def precompute(as_of: AsOf, settings: SettingsFile = None) -> None:
    """Make the lists of a release."""


@_job("lists")
def precompute_cookies(start: Start, end: End, settings: SettingsFile = None) -> None:
    """Make new lists for the cookies active in a window."""
    _check_window(start, end)


@_job("evaluation")
def evaluate(as_of: AsOf, end: TestEnd, settings: SettingsFile = None) -> None:
    """Measure lists on later purchases."""
    _check_test(as_of, end)


@_job("evaluation")
def tune_lists(
    as_of: AsOf,
    end: TestEnd,
    to: Annotated[
        str,
        typer.Option("--to", parser=_place, metavar="FILE", help="Where to write the weights: lists.weights names it."),
    ],
    windows: Annotated[
        int,
        typer.Option(
            "--windows", metavar="N", help="Number of windows of the same length, one before the other (default: 3)."
        ),
    ] = 3,
    settings: SettingsFile = None,
) -> None:
    """Choose the order of personal lists, and fit its weights."""
    _check_test(as_of, end)
    if windows < 2:
        raise typer.BadParameter(
            "--windows must be 2 or more: the newest is measured with weights of the others", param_hint="--windows"
        )
    target: Any = to
    if target.is_local and not Path(target.path).parent.is_dir():
        raise typer.BadParameter(f"--to {target.uri}: there is no folder {Path(target.path).parent}", param_hint="--to")


@_job("evaluation", group="report")
def report_experiment(
    name: Annotated[str, typer.Argument(help="An experiment, as in [experiments.NAME].")],
    start: Start,
    end: End,
    within: Annotated[
        int, typer.Option("--within", metavar="HOURS", min=1, help="Hours afterwards in which events still count.")
    ] = 24,
    before: Annotated[
        int,
        typer.Option(
            "--before",
            metavar="HOURS",
            min=0,
            help="Hours before the start that tell visitors apart, for narrower intervals; 0: none.",
        ),
    ] = 336,
    to: Annotated[
        str | None,
        typer.Option(
            "--to",
            parser=_place,
            metavar="FOLDER",
            help="Where to write report.json and report.html (default: a folder beside the tables).",
        ),
    ] = None,
    settings: SettingsFile = None,
) -> None:
    """Compare the arms of an experiment."""
    _check_window(start, end)


@_job("publishing")
def load_redis(
    as_of: AsOf,
    delta: Annotated[
        bool,
        typer.Option("--delta", help="Load only what precompute_cookies made since, over the live release."),
    ] = False,
    stay: Annotated[bool, typer.Option("--stay", help="Load and check, but do not make it live.")] = False,
    even_if_older: Annotated[
        bool, typer.Option("--even-if-older", help="Make it live even if a newer release is live.")
    ] = False,
    without_spark: Annotated[
        bool, typer.Option("--without-spark", help="Load in this process, redis.threads files at a time.")
    ] = False,
    wait: Annotated[
        float | None,
        typer.Option(
            "--wait",
            metavar="SECONDS",
            help="How long to wait for another loader to end (default: twice redis.lease_seconds).",
        ),
    ] = None,
    settings: SettingsFile = None,
) -> None:
    """Load a release into Redis and make it live."""
    if wait is not None and wait < 0:
        raise typer.BadParameter("--wait must be 0 or more seconds", param_hint="--wait")


def _check_window(start: int, end: int) -> None:
    if start >= end:
        _refuse_window(start, end)


def _refuse_window(start: int, end: int) -> None:
    raise typer.BadParameter(
        f"--start {hours.as_text(start)} is not before --end {hours.as_text(end)}", param_hint="--start"
    )


def _check_test(as_of: int, end: int) -> None:
    if as_of >= end:
        raise typer.BadParameter(
            f"--as-of {hours.as_text(as_of)} is not before --end {hours.as_text(end)}", param_hint="--as-of"
        )


def callback(command: JobCommand, then: Callable[[Namespace], Any]) -> Callable[..., Any]:
    """Returns a function for Typer with the job's arguments: it checks them and calls `then` with them.

    `settings` is always a Settings. Typer ends the process with exit code 2 for arguments that do not fit.
    """

    @functools.wraps(command.check)
    def checked(**arguments: Any) -> Any:
        if arguments["settings"] is None:
            try:
                arguments["settings"] = load_settings()
            except SettingsError as error:
                raise typer.BadParameter(str(error), param_hint="--settings") from None
        command.check(**arguments)
        return then(Namespace(**arguments))

    return checked


def parse(name: str, argv: list[str] | None = None) -> Namespace:
    """Returns the arguments of jobs/NAME.py; `argv` is the process's own if None.

    Ends the process with exit code 2 for arguments that do not fit, and with 0 after --help.
    """
    parsed: list[Namespace] = []
    app = typer.Typer(**PLAIN)
    app.command(name, help=COMMANDS[name].summary)(callback(COMMANDS[name], parsed.append))
    try:
        app(args=argv, prog_name=f"{name}.py")
    except SystemExit:
        if not parsed:
            raise
    return parsed[0]
