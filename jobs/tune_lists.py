"""Fits the weights that order personal lists to what was bought in some windows after an instant each.

They are measured as they will be used, on later purchases than they were fitted to: on the newest window, with weights
of the older ones alone. The weights written are those of all windows.
"""

from __future__ import annotations

import argparse
import json
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt
from pyspark.sql import SparkSession

from larder.jobs.evaluation.evaluation_data import Evidence, NothingBoughtError, collected, sources_of
from larder.jobs.evaluation.evaluation_methods import ALL, NEW, PERSONAL, methods_of, personal_method
from larder.jobs.lists.list_inputs import TUNED, conditions_of
from larder.jobs.roll_up import INTERACTIONS
from larder.jobs.runtime.arguments import add_as_of, as_text, hour, job_parser, parse
from larder.jobs.runtime.expected_errors import errors_in_a_line
from larder.jobs.runtime.session import spark_session
from larder.jobs.runtime.stage_report import StageReport, stage
from larder.jobs.train_als import ITEM_FACTORS
from larder.models.evaluation.ranking_metrics import Means, means, measured
from larder.models.ranking.candidates import shelf_of
from larder.models.ranking.purchase_model import Ranking
from larder.models.ranking.purchase_model_fit import NothingToLearnError, Window, fitted_ranking
from larder.models.ranking.rankers import Blend, Learned, Rules
from larder.settings import Settings, SettingsError
from larder.storage import Place, Tables

JOB = "tune_lists"
Ints = npt.NDArray[np.int32]
WITHOUT = "personal, without weights"


def parse_arguments(argv: list[str] | None = None) -> argparse.Namespace:
    parser = job_parser(JOB, "Fit the weights that order personal lists to the purchases after some instants.")
    add_as_of(parser)
    parser.add_argument(
        "--end", type=hour, required=True, metavar="HOUR", help="the hour after the last hour of purchases (UTC)"
    )
    parser.add_argument(
        "--windows", type=int, default=3, metavar="N", help="as long each, one before the other (default: 3)"
    )
    parser.add_argument("--to", type=Place, required=True, metavar="FILE", help="where to write them: lists.weights")
    arguments = parse(parser, argv)
    if arguments.as_of >= arguments.end:
        parser.error(f"--as-of {as_text(arguments.as_of)} is not before --end {as_text(arguments.end)}")
    if arguments.windows < 2:
        parser.error("--windows must be 2 or more: the newest is measured with weights of the others")
    if arguments.to.is_local and not Path(arguments.to.path).parent.is_dir():
        parser.error(f"--to {arguments.to.uri}: there is no folder {Path(arguments.to.path).parent}")
    return arguments


def run(spark: SparkSession, arguments: argparse.Namespace) -> StageReport:
    """Writes the file arguments.to.

    Raises MissingPartitionError, SettingsError and NothingBoughtError.
    """
    settings: Settings = arguments.settings
    with stage(spark, JOB, f"{as_text(arguments.as_of)}..{as_text(arguments.end)}") as report:
        tables, hours = Tables(settings.storage.tables), arguments.end - arguments.as_of
        instants = [arguments.as_of - number * hours for number in range(arguments.windows)]
        windows = [argparse.Namespace(settings=settings, as_of=at, end=at + hours) for at in instants]
        sources = [sources_of(tables, window) for window in windows]
        conditions = _same_conditions(sources, settings)
        newest, *older = (collected(spark, tables, *pair) for pair in zip(sources, windows, strict=True))
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
    """What the weights will hold for. Raises SettingsError where windows differ in it."""
    conditions = [conditions_of(settings, window[INTERACTIONS], window[ITEM_FACTORS]) for window in sources]
    for window, found in zip(sources, conditions, strict=True):
        if found != conditions[0]:
            raise SettingsError(
                f"one file of weights can't serve {found} of {window[INTERACTIONS].partition} and {conditions[0]} of "
                f"{sources[0][INTERACTIONS].partition}; run `larder roll-up` and `larder train-als` for the windows "
                f"with the same [roll_up] and [als]"
            )
    return conditions[0]


def _fitted(seen: list[Evidence], windows: list[argparse.Namespace], settings: Settings) -> Ranking:
    """Fitted to what was seen of these windows, the newest window first."""
    shown = [
        Window(shelf_of(some.best, some.goods.categories.whole, some.figures), some.factors, some.history, some.truth)
        for some in seen
    ]
    try:
        return fitted_ranking(shown, settings.lists.candidates)
    except NothingToLearnError as error:
        raise NothingBoughtError(
            f"from {as_text(windows[-1].as_of)} to {as_text(windows[0].end)}: {error}; name longer windows, or more"
        ) from None


def _measured(seen: Evidence, ranking: Ranking, settings: Settings) -> dict[str, dict[str, Means]]:
    """NDCG@10 by method and task."""
    rules, lists = Rules(settings.lists.personal), settings.lists
    learned = Learned(ranking, seen.figures, seen.goods.categories.whole, lists.candidates)
    blended = personal_method(WITHOUT, seen, Blend(lists.rebuy_weight), rules)
    methods = [*methods_of(seen, learned, rules), blended]
    return {
        method.name: {task: _ndcg(seen, settings, task, method.lists(task)) for task in method.tasks}
        for method in methods
    }


def _ndcg(seen: Evidence, settings: Settings, task: str, lists: Ints) -> Means:
    truth = seen.never_bought if task == NEW else seen.truth
    ndcg = {"ndcg@10": measured(lists, truth).ndcg}
    return means(ndcg, settings.evaluation.bootstrap, settings.evaluation.seed)


def main(argv: list[str] | None = None) -> None:
    arguments = parse_arguments(argv)
    with spark_session(JOB, arguments.settings) as spark:
        run(spark, arguments)


if __name__ == "__main__":
    with errors_in_a_line():
        main()
