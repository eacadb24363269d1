"""`larder backtest`: measures the order of lists on several past windows, each with what was known before it."""

from __future__ import annotations

import argparse
import json
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

from larder.cli.settings_option import SettingsFile
from larder.jobs.runtime.notices import tell
from larder.models.hours import HOURS_A_DAY, as_of_partition, as_text, hour
from larder.settings import Settings, load_settings

if TYPE_CHECKING:
    from pyspark.sql import SparkSession

verbs = typer.Typer()
FOLDER = "backtest"  # of weights, beside the tables
Rows = list[dict[str, Any]]


@verbs.command()
def backtest(
    start: Annotated[str, typer.Option(help="First hour of events, like 2017-01-01T00 (UTC).")],
    end: Annotated[str, typer.Option(help="The hour after the last window (UTC).")],
    windows: Annotated[int, typer.Option(min=1, help="Number of windows, one after the other, up to --end.")] = 8,
    days: Annotated[int, typer.Option(min=1, help="Days of a window.")] = 28,
    tune: Annotated[
        int,
        typer.Option(
            min=0,
            help="Windows before each one on which its order is chosen, 2 or more; 0: measure without weights.",
        ),
    ] = 3,
    to: Annotated[Path | None, typer.Option(metavar="FILE", help="Also write the figures here, as JSON.")] = None,
    settings_file: SettingsFile = None,
) -> None:
    """Measure lists on several past windows, beside baselines.

    For each window it rolls up, trains ALS, chooses the order of lists and evaluates, all as of the window's start.
    Hours must be aggregated. What an earlier run made is used again. `lists.weights` is not: its weights may have seen
    the windows.
    """
    from larder.jobs.evaluation.backtest_summary import by_window
    from larder.jobs.runtime.session import spark_session

    if tune == 1:
        raise typer.BadParameter("--tune must be 0, or 2 or more: the newest is measured with the others' weights")
    if to is not None and not to.parent.is_dir():
        raise typer.BadParameter(f"--to {to}: there is no folder {to.parent}")  # now, not after the last window
    settings, hours = _as_measured(load_settings(settings_file)), days * HOURS_A_DAY
    instants = [hour(end) - number * hours for number in range(windows, 0, -1)]
    earliest = instants[0] - tune * hours
    if earliest <= hour(start):
        raise typer.BadParameter(
            f"{windows} windows of {days} days, and {tune} before them to tune on, begin at {as_text(earliest)}, which "
            f"is not after --start {start}; name fewer or shorter windows"
        )
    with spark_session(FOLDER, settings) as spark:
        models = _Models(spark, settings, hour(start))
        for number in range(windows + tune):
            models.make(earliest + number * hours)
        found = [(as_text(at), _measured(spark, settings, at, hours, tune)) for at in instants]
    for line in by_window(found):
        print(line)
    if to is not None:
        to.write_text(json.dumps({"days": days, "tuned_on": tune, "windows": dict(found)}, indent=1) + "\n")


def _as_measured(settings: Settings) -> Settings:
    """The settings without weights that may have seen the windows, and without a gate that may end the run."""
    return settings.model_copy(
        update={
            "lists": settings.lists.model_copy(update={"weights": ""}),
            "evaluation": settings.evaluation.model_copy(update={"least_ratio_to_popularity": 0.0}),
        }
    )


class _Models:
    """Makes interactions and factors as of one instant after the other."""

    def __init__(self, spark: SparkSession, settings: Settings, start: int) -> None:
        from larder.storage import Tables

        self._spark = spark
        self._settings = settings
        self._tables = Tables(settings.storage.tables)
        self._start = start
        self._before: int | None = None

    def make(self, as_of: int) -> None:
        """Makes what there is not. A state that is there already may begin before `start`, and is kept as it is."""
        from larder.jobs import roll_up, train_als
        from larder.models.tables import INTERACTIONS

        if self._tables.find(INTERACTIONS, as_of_partition(as_of)) is None:
            start = self._start if self._before is None else self._before
            window = {"start": start, "end": as_of, "from_empty": self._before is None}
            roll_up.run(self._spark, argparse.Namespace(settings=self._settings, **window))
        self._before = as_of
        train_als.run(self._spark, argparse.Namespace(settings=self._settings, as_of=as_of))


def _measured(spark: SparkSession, settings: Settings, as_of: int, hours: int, tune: int) -> Rows:
    """Returns the rows of `evaluate` for one window, with weights of the windows before it."""
    from larder.jobs import evaluate
    from larder.models.tables import EVALUATION
    from larder.storage import Tables

    if tune:
        settings = _tuned(spark, settings, as_of, hours, tune)
    evaluate.run(spark, argparse.Namespace(settings=settings, as_of=as_of, end=as_of + hours))
    tables = Tables(settings.storage.tables)
    rows: Rows = evaluate.read_report(tables, tables.get(EVALUATION, as_of_partition(as_of), "larder evaluate"))[
        "lists"
    ]
    return rows


def _tuned(spark: SparkSession, settings: Settings, as_of: int, hours: int, windows: int) -> Settings:
    """Returns the settings with weights fitted to the windows before, or without any where there is nothing to fit."""
    from larder.jobs import tune_lists
    from larder.jobs.evaluation.evaluation_data import NothingBoughtError
    from larder.storage import StoragePath

    to = StoragePath(settings.storage.tables) / FOLDER / f"weights-{as_text(as_of)}.json"
    arguments = argparse.Namespace(settings=settings, as_of=as_of - hours, end=as_of, windows=windows, to=to)
    try:
        tune_lists.run(spark, arguments)
    except NothingBoughtError as error:
        tell(f"measured without weights: {error}")
        return settings
    return settings.model_copy(update={"lists": settings.lists.model_copy(update={"weights": to.uri})})
