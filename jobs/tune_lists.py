"""Fits the weights that order personal lists to the purchases of several windows, each after an instant.

They are measured as they will be used, on later purchases than they were fitted to: on the newest window, with weights
of the older ones alone. The weights written are those of all windows.
"""

from __future__ import annotations

import argparse
import json
from typing import Any

import numpy as np
import numpy.typing as npt
from pyspark.sql import SparkSession

from larder.jobs.evaluation.evaluation_data import (
    EvaluationData,
    NothingBoughtError,
    evaluation_sources,
    read_evaluation_data,
)
from larder.jobs.evaluation.evaluation_methods import ALL, NEW, PERSONAL, methods_of
from larder.jobs.lists.list_inputs import TUNED, conditions_of, has_repeats
from larder.jobs.runtime.expected_errors import errors_in_a_line
from larder.jobs.runtime.job_arguments import parse
from larder.jobs.runtime.session import spark_session
from larder.jobs.runtime.stage_report import StageReport, stage
from larder.models.evaluation.ranking_metrics import Means, list_metrics, means
from larder.models.hours import as_text
from larder.models.ranking.candidates import item_features
from larder.models.ranking.purchase_model import PurchaseModel
from larder.models.ranking.purchase_model_fit import NothingToLearnError, TrainingWindow, fit_purchase_model
from larder.models.ranking.rankers import ALWAYS, NEVER, LearnedRanker, ListRules
from larder.models.tables import INTERACTIONS, ITEM_FACTORS
from larder.settings import Settings, SettingsError
from larder.storage import Tables

JOB = "tune_lists"
Ints = npt.NDArray[np.int32]


def parse_arguments(argv: list[str] | None = None) -> argparse.Namespace:
    """Returns the job's arguments; `argv` is the process's own if None."""
    return parse(JOB, argv)


def run(spark: SparkSession, arguments: argparse.Namespace) -> StageReport:
    """Writes the file arguments.to.

    Raises MissingPartitionError, SettingsError and NothingBoughtError.
    """
    settings: Settings = arguments.settings
    with stage(spark, JOB, f"{as_text(arguments.as_of)}..{as_text(arguments.end)}") as report:
        tables, hours = Tables(settings.storage.tables), arguments.end - arguments.as_of
        instants = [arguments.as_of - number * hours for number in range(arguments.windows)]
        windows = [argparse.Namespace(settings=settings, as_of=at, end=at + hours) for at in instants]
        sources = [evaluation_sources(tables, window) for window in windows]
        conditions = _same_conditions(sources, settings)
        newest, *older = (read_evaluation_data(spark, tables, *pair) for pair in zip(sources, windows, strict=True))
        ndcg = _measured(newest, _fitted(older, windows[1:], settings), settings)
        tuned = {
            "windows": [as_text(at) for at in reversed(instants)],
            "end": as_text(arguments.end),
            "ndcg": ndcg,
        }
        written = {**_fitted([*older, newest], windows, settings).as_json(), **conditions, TUNED: tuned}
        arguments.to.write((json.dumps(written, indent=1) + "\n").encode())
        report.rows_in, report.rows_out = len(newest.truth.users), len(ndcg)
        for task in (NEW, ALL):
            report.details[task] = f"{ndcg[PERSONAL][task]['ndcg@10']:.4f}"
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


def _fitted(data: list[EvaluationData], windows: list[argparse.Namespace], settings: Settings) -> PurchaseModel:
    """Returns the purchase model fitted to these windows, the newest first. Raises NothingBoughtError."""
    shown = [
        TrainingWindow(
            item_features(some.best, some.attributes.categories, some.statistics),
            some.factors,
            some.history,
            some.truth,
        )
        for some in data
    ]
    try:
        return fit_purchase_model(shown, settings.lists.candidates)
    except NothingToLearnError as error:
        raise NothingBoughtError(
            f"from {as_text(windows[-1].as_of)} to {as_text(windows[0].end)}: {error}; name longer windows, or more"
        ) from None


def _measured(data: EvaluationData, ranking: PurchaseModel, settings: Settings) -> dict[str, dict[str, Means]]:
    """Returns NDCG@10 by method and task."""
    lists, repeats = settings.lists, has_repeats(settings, lambda: data.statistics.repeat_purchases)
    rules = ListRules(lists.personal, NEVER if repeats else ALWAYS)
    learned = LearnedRanker(ranking, data.statistics, data.attributes.categories, lists.candidates)
    methods = methods_of(data, learned, rules, lists.rebuy_weight)
    return {
        method.name: {task: _ndcg(data, settings, task, method.lists(task)) for task in method.tasks}
        for method in methods
    }


def _ndcg(data: EvaluationData, settings: Settings, task: str, lists: Ints) -> Means:
    truth = data.truth_of_new if task == NEW else data.truth
    ndcg = {"ndcg@10": list_metrics(lists, truth).ndcg}
    return means(ndcg, settings.evaluation.bootstrap, settings.evaluation.seed)


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
