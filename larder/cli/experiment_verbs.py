"""`larder experiment`: which visitors get what, changed from one second to the next."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from datetime import datetime, timezone
from typing import Annotated

import typer
from rich.console import Console
from rich.markup import escape
from rich.table import Table

from larder.cli.connected_redis import connected
from larder.cli.settings_option import SettingsFile
from larder.experiments.assignment import SPACE, shares_of
from larder.experiments.running import InvalidExperimentError, RunningExperiment, RunningExperiments
from larder.jobs.runtime.printable_text import printable
from larder.loaders.experiment_store import ExperimentStore
from larder.settings import Settings, load_settings
from larder.settings.experiments_section import ExperimentSettings

verbs = typer.Typer(help="Start, shift and stop experiments; see who gets what.", no_args_is_help=True)

DEFAULT_SCENE = "default"
Name = Annotated[str, typer.Argument(help="An experiment, as in [experiments.NAME] of the settings.")]


@verbs.command("list")
def list_(settings_file: SettingsFile = None) -> None:
    """List the experiments in Redis, with the share and release of each arm."""
    with _store(load_settings(settings_file)) as store:
        print_experiments(store.all(), _now())


@verbs.command()
def start(name: Name, settings_file: SettingsFile = None) -> None:
    """Put an experiment of the settings in force, within a second in every endpoint."""
    settings = load_settings(settings_file)
    wanted = _of_settings(settings, name)
    with _store(settings) as store:
        store.start(name, wanted, _now())
        print_experiments(store.all(), _now())


@verbs.command()
def shift(
    name: Name,
    shares: Annotated[
        list[str], typer.Argument(metavar="ARM=SHARE...", help="The new share of each arm that changes, from 0 to 1.")
    ],
    settings_file: SettingsFile = None,
) -> None:
    """Change the shares of arms; as few visitors as possible change their arm."""
    wanted = dict(map(_share, shares))
    with _store(load_settings(settings_file)) as store:
        store.shift(name, wanted, _now())
        print_experiments(store.all(), _now())


@verbs.command()
def stop(name: Name, settings_file: SettingsFile = None) -> None:
    """End an experiment: its visitors get what everybody gets."""
    with _store(load_settings(settings_file)) as store:
        stopped = store.stop(name)
    print(f"stopped: {name}, which ran since {_text(stopped.history[0].since)}")


@verbs.command()
def who(
    cookie: Annotated[str, typer.Option(help="The visitor's cookie id.")] = "",
    request_id: Annotated[str, typer.Option(help="A request id, for experiments whose unit is the request.")] = "",
    settings_file: SettingsFile = None,
) -> None:
    """Explain which arms a visitor is in, and why."""
    if not cookie and not request_id:
        raise typer.BadParameter("give --cookie, --request-id, or both")
    with _store(load_settings(settings_file)) as store:
        running = store.all().running
    if not running:
        print("no experiment runs")
    for name, each in running.items():
        print(printable(f"{name}: {_explained(name, each, cookie, request_id)}"))


def print_experiments(experiments: RunningExperiments, now: datetime) -> None:
    """Prints a line for each experiment, and beneath it one for each arm."""
    if not experiments.running:
        print("no experiment runs")
    for name, each in experiments.running.items():
        scenes = ", ".join(each.settings.scenes) or "all"
        print(printable(f"{name}: {state_of(each, now)}; unit: {each.settings.unit}; scenes: {scenes}"))
        table = Table("arm", "share", "release", "explores", box=None)
        shares = shares_of(each.segments)
        for arm, settings in each.settings.arms.items():
            policy = settings.explore.policy if settings.explore is not None else "no"
            row = (arm, f"{shares.get(arm, 0.0):.2%}", each.releases[arm], policy)
            table.add_row(*(escape(printable(cell)) for cell in row))
        Console().print(table)


def state_of(running: RunningExperiment, now: datetime) -> str:
    """Returns whether an experiment is in force, in words."""
    begin, end = running.settings.from_, running.settings.until
    if begin is not None and now < begin:
        return f"from {_text(begin)}"
    if end is not None and now >= end:
        return f"ended {_text(end)}"
    return f"in force since {_text(max(running.history[0].since, begin or running.history[0].since))}"


def _explained(name: str, running: RunningExperiment, cookie: str, request_id: str) -> str:
    unit = cookie if running.settings.unit == "cookie" else request_id
    if not unit:
        return f"needs a {running.settings.unit}, and none was given; such requests take no part"
    number, arm = running.number_of(name, unit), running.arm_of(name, unit)
    hashed = f"number {number / SPACE:.6f} of layer {running.layer(name)}"
    parts, begin = [], 0
    for end, of in running.segments:
        parts.append(f"{of or 'nobody'} from {begin / SPACE:.6f} to {end / SPACE:.6f}")
        begin = end
    gets = f"arm {arm}, release {running.releases[arm]}" if arm else "no arm"
    return f"{gets}; {state_of(running, _now())}; {hashed}; {', '.join(parts) or 'no arm has a share'}"


def _of_settings(settings: Settings, name: str) -> ExperimentSettings:
    """Returns the settings of an experiment. Raises InvalidExperimentError if there are none, or a scene is unknown."""
    if name not in settings.experiments:
        there = ", ".join(settings.experiments) or "none"
        raise InvalidExperimentError(f"the settings have no [experiments.{name}]; there is {there}")
    wanted = settings.experiments[name]
    scenes = {DEFAULT_SCENE, *settings.lookup.scenes}
    if unknown := sorted(set(wanted.scenes) - scenes):
        raise InvalidExperimentError(
            f"experiments.{name}.scenes: no such scene: {', '.join(unknown)}; there are {', '.join(sorted(scenes))}"
        )
    return wanted


def _share(text: str) -> tuple[str, float]:
    arm, _, share = text.partition("=")
    try:
        return arm, float(share)
    except ValueError:
        raise typer.BadParameter(f"{text!r} must be ARM=SHARE, such as control=0.5") from None


def _now() -> datetime:
    return datetime.now(timezone.utc)


def _text(moment: datetime) -> str:
    return f"{moment.astimezone(timezone.utc):%Y-%m-%d %H:%M:%S} UTC"


@contextmanager
def _store(settings: Settings) -> Iterator[ExperimentStore]:
    with connected(settings) as client:
        yield ExperimentStore(client, settings.redis.namespace)
