"""Fits the weights that order personal lists to what was bought after an instant, and measures them there.

They are measured on users that they were not fitted to: each half of the users with the weights of the other half. The
weights written are those of all users. Evaluate them on later hours.
"""

from __future__ import annotations

import argparse
import json
from pathlib import Path

import numpy as np
import numpy.typing as npt
from pyspark.sql import SparkSession

from jobs.arguments import add_as_of, as_text, hour, job_parser, parse
from jobs.evaluation_data import Evidence, collected, sources_of
from jobs.evaluation_methods import ALL, NEW, PERSONAL, methods_of
from jobs.list_inputs import HALF_LIFE, TUNED
from jobs.report import StageReport, stage
from jobs.roll_up import INTERACTIONS
from jobs.session import spark_session
from models.candidates import shelf_of
from models.metrics import Means, means, measured
from models.rankers import Blend, Learned, Ranker, Rules
from models.ranking import Ranking
from models.ranking_fit import fitted_ranking
from settings import Settings
from storage import Tables

JOB = "tune_lists"
Ints = npt.NDArray[np.int32]
Flags = npt.NDArray[np.bool_]
WITHOUT = "personal, without weights"


def parse_arguments(argv: list[str] | None = None) -> argparse.Namespace:
    parser = job_parser(JOB, "Fit the weights that order personal lists to the purchases after an instant.")
    add_as_of(parser)
    parser.add_argument(
        "--end", type=hour, required=True, metavar="HOUR", help="the hour after the last hour of purchases (UTC)"
    )
    parser.add_argument("--to", type=Path, required=True, metavar="FILE", help="where to write them: lists.weights")
    arguments = parse(parser, argv)
    if arguments.as_of >= arguments.end:
        parser.error(f"--as-of {as_text(arguments.as_of)} is not before --end {as_text(arguments.end)}")
    return arguments


def run(spark: SparkSession, arguments: argparse.Namespace) -> StageReport:
    """Writes the file arguments.to. Raises MissingPartitionError, and ValueError where nobody bought anything."""
    settings: Settings = arguments.settings
    with stage(spark, JOB, f"{as_text(arguments.as_of)}..{as_text(arguments.end)}") as report:
        tables = Tables(settings.storage.tables)
        sources = sources_of(tables, arguments)
        seen = collected(spark, tables, sources, arguments)
        ndcg = _measured(seen, settings)
        ranking = _fitted(seen, settings, np.ones(len(seen.factors), bool))
        written = {
            **ranking.as_json(),
            HALF_LIFE: sources[INTERACTIONS].parameters[HALF_LIFE],
            TUNED: {"as_of": as_text(arguments.as_of), "end": as_text(arguments.end), "ndcg": ndcg},
        }
        arguments.to.write_text(json.dumps(written, indent=1) + "\n")
        report.rows_in, report.rows_out = len(seen.truth.users), len(ndcg)
        for task in (NEW, ALL):
            report.details[task] = f"{ndcg[PERSONAL][task]['ndcg@10']:.4f}"
    return report


def _fitted(seen: Evidence, settings: Settings, users: Flags) -> Ranking:
    """By what these users (users,) bought."""
    shelf = shelf_of(seen.best, seen.goods.categories.whole, seen.figures)
    return fitted_ranking(shelf, seen.factors, seen.history, seen.truth, settings.lists.candidates, users)


def _measured(seen: Evidence, settings: Settings) -> dict[str, dict[str, Means]]:
    """NDCG@10 by method and task; of weights, on the half of the users that they were not fitted to."""
    rules = Rules(settings.lists.personal)
    methods = methods_of(seen, Blend(settings.lists.rebuy_weight), rules, [])
    found: dict[str, dict[str, Means]] = {}
    halves = [np.arange(len(seen.factors)) % 2 == half for half in (0, 1)]
    learned = [methods_of(seen, _learned(seen, settings, half), rules, [])[-1] for half in halves]
    for method in methods:
        name = WITHOUT if method.name == PERSONAL else method.name
        found[name] = {task: _ndcg(seen, settings, task, method.lists(task)) for task in method.tasks}
    for task in (NEW, ALL):
        first, second = (method.lists(task) for method in learned)
        found.setdefault(PERSONAL, {})[task] = _ndcg(seen, settings, task, np.where(halves[0][:, None], second, first))
    return found


def _learned(seen: Evidence, settings: Settings, users: Flags) -> Ranker:
    ranking = _fitted(seen, settings, users)
    return Learned(ranking, seen.figures, seen.goods.categories.whole, settings.lists.candidates)


def _ndcg(seen: Evidence, settings: Settings, task: str, lists: Ints) -> Means:
    truth = seen.never_bought if task == NEW else seen.truth
    ndcg = {"ndcg@10": measured(lists, truth).ndcg}
    return means(ndcg, settings.evaluation.bootstrap, settings.evaluation.seed)


def main(argv: list[str] | None = None) -> None:
    arguments = parse_arguments(argv)
    with spark_session(JOB, arguments.settings) as spark:
        run(spark, arguments)


if __name__ == "__main__":
    main()
