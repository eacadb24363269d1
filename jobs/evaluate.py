"""Measures lists on later purchases, beside baselines, and stops a release that is worse than the settings allow."""

from __future__ import annotations

import argparse
import itertools
import json
import os
from dataclasses import replace
from typing import Any

from pyspark.sql import SparkSession

from larder.jobs.evaluation.evaluation_data import (
    NothingBoughtError,
    evaluation_sources,
    input_references,
    read_evaluation_data,
)
from larder.jobs.evaluation.evaluation_figures import scored_lists, strengths
from larder.jobs.evaluation.evaluation_methods import NEW, PERSONAL, POPULARITY, has_peers, methods_of, peers_of
from larder.jobs.evaluation.evaluation_page import page
from larder.jobs.evaluation.evaluation_summary import summary
from larder.jobs.evaluation.picture_evaluation import PictureMetrics, measure_pictures
from larder.jobs.lists.list_inputs import (
    HALF_LIFE,
    LEARNED,
    ORDER,
    TUNED,
    has_repeats,
    ranker_of,
    read_weights,
    rules_of,
    state_of,
)
from larder.jobs.runtime.expected_errors import errors_in_a_line
from larder.jobs.runtime.job_arguments import parse
from larder.jobs.runtime.session import spark_session
from larder.jobs.runtime.stage_report import StageReport, stage
from larder.models.hours import as_of_partition, as_text
from larder.models.tables import CATALOGUE, EMBEDDINGS, EVALUATION, IMAGES, INTERACTIONS, ITEM_FACTORS
from larder.settings import Settings
from larder.storage import Manifest, Tables
from larder.storage.manifests import DataFile, plan_run

JOB = "evaluate"


class GateError(RuntimeError):
    """Personal lists are worse than evaluation.least_ratio_to_popularity allows, so no release may be published."""


def parse_arguments(argv: list[str] | None = None) -> argparse.Namespace:
    """Returns the job's arguments; `argv` is the process's own if None."""
    return parse(JOB, argv)


def run(spark: SparkSession, arguments: argparse.Namespace) -> StageReport:
    """Writes report.json, report.html and pictures.html into table `evaluation`, and prints the figures of lists.

    Raises GateError and MissingPartitionError; also NothingBoughtError, if there is a gate and nothing to measure with.
    """
    settings: Settings = arguments.settings
    with stage(spark, JOB, f"{as_text(arguments.as_of)}..{as_text(arguments.end)}") as report:
        tables = Tables(settings.storage.tables)
        sources = _sources(tables, arguments)
        planned = _plan(sources, arguments)
        if not tables.is_current(planned):
            try:
                measured = _measure(spark, tables, sources, arguments)
            except NothingBoughtError as error:
                if settings.evaluation.least_ratio_to_popularity:
                    raise
                # Without a gate this only measures, and a day on which nobody buys holds nothing up.
                report.details["nothing_to_measure"] = str(error)
                return report
            pictures = measure_pictures(spark, tables, sources, settings.evaluation)
            results = {**measured, "embeddings": pictures.shares}
            _publish(tables, planned, results, pictures)
        else:
            report.details["up_to_date"] = True
        results = read_report(tables, tables.get(EVALUATION, planned.partition, JOB))
        report.rows_in, report.rows_out = results["test"]["pairs"], len(results["lists"])
        if not settings.evaluation.least_ratio_to_popularity:
            report.details["gate"] = "off"
        report.details["report"] = (tables.run_folder(planned) / "report.html").uri
        if os.environ.get("LARDER_LOG") == "json":
            report.details["lists"] = results["lists"]
        else:
            print(summary(results), flush=True)
        _gate(results, settings, report.details["report"])
    return report


def main(argv: list[str] | None = None) -> None:
    """Runs the job as the command line says."""
    start(parse_arguments(argv))


def start(arguments: argparse.Namespace) -> None:
    """Runs the job in a Spark session of its own."""
    with spark_session(JOB, arguments.settings) as spark:
        run(spark, arguments)


def read_report(tables: Tables, manifest: Manifest) -> dict[str, Any]:
    """Returns the content of an evaluation's report.json."""
    return json.loads(tables.read(manifest, "report.json"))


def _plan(sources: dict[str, Any], arguments: argparse.Namespace) -> Manifest:
    settings: Settings = arguments.settings
    parameters = {
        "end": as_text(arguments.end),
        "evaluation": settings.evaluation.model_dump(),
        "lists": settings.lists.model_dump(),
        "peers": _with_peers(settings),
        **state_of(settings),
    }
    return plan_run(EVALUATION, as_of_partition(arguments.as_of), input_references(sources), parameters)


def _sources(tables: Tables, arguments: argparse.Namespace) -> dict[str, Any]:
    sources, images = evaluation_sources(tables, arguments), tables.find(IMAGES, CATALOGUE)
    embeddings = tables.find(EMBEDDINGS, CATALOGUE)
    return {**sources, **({IMAGES: images, EMBEDDINGS: embeddings} if images and embeddings else {})}


def _measure(
    spark: SparkSession, tables: Tables, sources: dict[str, Any], arguments: argparse.Namespace
) -> dict[str, Any]:
    settings: Settings = arguments.settings
    data = read_evaluation_data(spark, tables, sources, arguments)
    ranker = ranker_of(settings, data.statistics, data.attributes, sources[INTERACTIONS], sources[ITEM_FACTORS])
    categories = data.attributes.categories
    repeats = has_repeats(settings, lambda: data.statistics.repeat_purchases)
    varied = [rules_of(settings, categories, repeats, diversity) for diversity in settings.evaluation.diversities]
    methods = methods_of(data, ranker, rules_of(settings, categories, repeats), settings.lists.rebuy_weight, varied)
    peers = peers_of(data) if _with_peers(settings) else []
    scored = [row for method in itertools.chain(methods, peers) for row in scored_lists(method, data, settings)]
    half_life = float(sources[INTERACTIONS].parameters[HALF_LIFE])
    return {
        "as_of": as_text(arguments.as_of),
        "end": as_text(arguments.end),
        "test": {
            "users": int((data.truth.sizes > 0).sum()),
            "pairs": len(data.truth.users),
            "products": len(data.item_factors),
        },
        "lists": sorted(scored, key=lambda row: row["task"] != NEW),
        "cold_products": settings.evaluation.cold_products,
        "peers": "" if peers else _why_no_peers(settings),
        "strengths": strengths(data, half_life, arguments.end - arguments.as_of),
        "tuned": _tuned(read_weights(settings)),
    }


def _tuned(weights: dict[str, Any]) -> dict[str, Any]:
    """Returns what a file of weights says of its windows, and the order that was chosen; empty if it says nothing."""
    return {**weights[TUNED], ORDER: weights.get(ORDER, LEARNED)} if weights.get(TUNED) else {}


def _with_peers(settings: Settings) -> bool:
    return settings.evaluation.peers and has_peers()


def _why_no_peers(settings: Settings) -> str:
    if settings.evaluation.peers:
        return "implicit is not installed (pip install 'larder[bench]'), so it and its item-kNN are left out."
    return "implicit and its item-kNN were not asked for (evaluation.peers)."


def _publish(tables: Tables, planned: Manifest, results: dict[str, Any], pictures: PictureMetrics) -> None:
    made = {"report.html": page(results), "report.json": json.dumps(results, indent=1, sort_keys=True) + "\n"}
    if pictures.page:
        made["pictures.html"] = pictures.page
    texts = {name: text.encode() for name, text in sorted(made.items())}
    for name, text in texts.items():
        (tables.run_folder(planned) / name).write(text)
    tables.publish(replace(planned, files=tuple(DataFile.of(name, 0, text) for name, text in texts.items())))


def _gate(results: dict[str, Any], settings: Settings, place: str) -> None:
    """Raises GateError if lists are below the gate, or if there is a gate and no purchase to measure with."""
    ratio = settings.evaluation.least_ratio_to_popularity
    of_new = {row["method"]: row for row in results["lists"] if row["task"] == NEW}
    if ratio and not of_new[PERSONAL]["users"]:
        raise GateError(
            f"from {results['as_of']} to {results['end']} nobody bought a product that was new to them, so lists can't "
            f"be compared with popularity's as evaluation.least_ratio_to_popularity asks; name a longer window"
        )
    ndcg = {method: row["ndcg@10"] for method, row in of_new.items()}
    least = ratio * ndcg[POPULARITY]
    if ndcg[PERSONAL] < least:
        raise GateError(
            f"NDCG@10 of personal lists on new products is {ndcg[PERSONAL]:.4f}, below {least:.4f}, which is "
            f"evaluation.least_ratio_to_popularity times popularity's; no release is published; see {place}"
        )


if __name__ == "__main__":
    with errors_in_a_line():
        main()
