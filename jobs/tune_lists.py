"""Chooses the order of personal lists, from simple to rich, by what users bought in several windows.

The richest order has weights, which are fitted. They are measured as they will be used, on later purchases than they
were fitted to: on each window but the oldest, with weights of the older ones alone. The simplest order that is within
one standard error of the best is chosen (models/evaluation/order_choice.py); the weights written are those of all
windows.
"""

from __future__ import annotations

import argparse
import json
import os
from typing import Any

from pyspark.sql import SparkSession

from larder.jobs.evaluation.choice_summary import choice_summary
from larder.jobs.evaluation.evaluation_data import evaluation_sources, read_evaluation_data
from larder.jobs.evaluation.evaluation_methods import ALL, NEW
from larder.jobs.evaluation.evaluation_summary import NDCG
from larder.jobs.evaluation.measured_orders import chosen_order, fitted_models, measured_windows
from larder.jobs.lists.list_inputs import ORDER, TUNED, conditions_of
from larder.jobs.runtime.expected_errors import errors_in_a_line
from larder.jobs.runtime.job_arguments import parse
from larder.jobs.runtime.notices import tell
from larder.jobs.runtime.session import spark_session
from larder.jobs.runtime.stage_report import StageReport, stage
from larder.models.hours import as_text
from larder.models.tables import INTERACTIONS, ITEM_FACTORS
from larder.settings import Settings, SettingsError
from larder.storage import Tables

JOB = "tune_lists"
NOTHING_TO_LEARN = (
    "no weights, because of the candidates all were bought afterwards, or none; name longer windows, or more"
)


def parse_arguments(argv: list[str] | None = None) -> argparse.Namespace:
    """Returns the job's arguments; `argv` is the process's own if None."""
    return parse(JOB, argv)


def run(spark: SparkSession, arguments: argparse.Namespace) -> StageReport:
    """Writes the file arguments.to, and prints how the orders compare and which was chosen.

    Raises MissingPartitionError, SettingsError and NothingBoughtError.
    """
    settings: Settings = arguments.settings
    with stage(spark, JOB, f"{as_text(arguments.as_of)}..{as_text(arguments.end)}") as report:
        tables, hours = Tables(settings.storage.tables), arguments.end - arguments.as_of
        instants = [arguments.as_of - number * hours for number in range(arguments.windows)]
        windows = [argparse.Namespace(settings=settings, as_of=at, end=at + hours) for at in instants]
        sources = [evaluation_sources(tables, window) for window in windows]
        conditions = _same_conditions(sources, settings)
        data = [read_evaluation_data(spark, tables, *pair) for pair in zip(sources, windows, strict=True)]
        models = fitted_models(data, settings.lists.candidates)
        for window, model in zip(windows, models, strict=True):
            if model is None:
                tell(f"{as_text(instants[-1])} to {as_text(window.end)}: {NOTHING_TO_LEARN}")
        measured = measured_windows(data, models, settings)
        choice, figures = chosen_order(measured, settings)
        tuned = {"windows": [as_text(at) for at in reversed(instants)], "end": as_text(arguments.end), **figures}
        weights = models[0].as_json() if models[0] else {}
        written = {ORDER: choice.chosen, **weights, **conditions, TUNED: tuned}
        arguments.to.write((json.dumps(written, indent=1) + "\n").encode())
        report.rows_in, report.rows_out = len(data[0].truth.users), len(measured[0].figures)
        report.details[ORDER] = choice.chosen
        for task in (NEW, ALL):
            report.details[task] = f"{figures['ndcg'][choice.chosen][task][NDCG]:.4f}"
        if os.environ.get("LARDER_LOG") != "json":
            print(choice_summary(choice.chosen, tuned), flush=True)
    return report


def _same_conditions(sources: list[dict[str, Any]], settings: Settings) -> dict[str, Any]:
    """Returns the parameters that the weights will hold for. Raises SettingsError if windows differ in them."""
    conditions = [conditions_of(settings, window[INTERACTIONS], window[ITEM_FACTORS]) for window in sources]
    for window, found in zip(sources, conditions, strict=True):
        if found != conditions[0]:
            raise SettingsError(
                f"one file of weights can't serve {found} of {window[INTERACTIONS].partition} and {conditions[0]} of "
                f"{sources[0][INTERACTIONS].partition}; run `larder roll-up` and `larder train-als` for the windows "
                f"with the same [roll_up] and [als]"
            )
    return conditions[0]


def main(argv: list[str] | None = None) -> None:
    """Runs the job as the command line says."""
    start(parse_arguments(argv))


def start(arguments: argparse.Namespace) -> None:
    """Runs the job in a Spark session of its own."""
    with spark_session(JOB, arguments.settings) as spark:
        run(spark, arguments)


if __name__ == "__main__":
    with errors_in_a_line():
        main()
