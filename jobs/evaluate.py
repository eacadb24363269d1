"""Lists against what was bought afterwards, beside baselines computed by the same code; then a gate."""

from __future__ import annotations

import argparse
import json
from dataclasses import dataclass, replace
from typing import Any

import numpy as np
import numpy.typing as npt
import pyarrow as pa
from pyspark.sql import DataFrame, SparkSession
from pyspark.sql import functions as F

from jobs.arguments import add_as_of, as_of_partition, as_text, hour, hour_partition, job_parser, parse
from jobs.embed_products import EMBEDDINGS
from jobs.evaluate_pictures import MeasuredPictures, measure_pictures
from jobs.evaluation_page import page
from jobs.ingest_images import IMAGES
from jobs.ingest_images import PARTITION as CATALOGUE_PARTITION
from jobs.report import StageReport, stage
from jobs.roll_up import COUNTS, INTERACTIONS, decay_of
from jobs.session import spark_session
from jobs.train_als import ITEM_FACTORS, USER_FACTORS
from models import columns as C
from models import schemas
from models.histories import as_histories, owned_of, vectors_of, with_history
from models.lists import item_matrix
from models.metrics import RECALL_AT, Truth, measured
from models.personal import Owned, top_items
from settings import Settings
from storage import Manifest, Tables
from storage.frames import read_frame
from storage.tables import DataFile, fingerprint, plan_run

JOB = "evaluate"
EVALUATION = "evaluation"
NEW, ALL = "new", "all"
Floats = npt.NDArray[np.float32]


class GateError(RuntimeError):
    """The lists are worse than the settings allow to be published."""


@dataclass(frozen=True)
class Method:
    """A way to rank: affinity user x item as two matrices, and a weight for what the user bought before."""

    name: str
    user_factors: Floats
    item_factors: Floats
    owned: Owned
    rebuy_weight: float


def parse_arguments(argv: list[str] | None = None) -> argparse.Namespace:
    parser = job_parser(JOB, "Measure the models of an instant on the purchases of the hours after it.")
    add_as_of(parser)
    parser.add_argument(
        "--end", type=hour, required=True, metavar="HOUR", help="the hour after the last hour of test purchases (UTC)"
    )
    arguments = parse(parser, argv)
    if arguments.as_of >= arguments.end:
        parser.error(f"--as-of {as_text(arguments.as_of)} is not before --end {as_text(arguments.end)}")
    return arguments


def run(spark: SparkSession, arguments: argparse.Namespace) -> StageReport:
    """Writes report.json, report.html and pictures.html into table `evaluation`.

    Raises GateError, MissingPartitionError.
    """
    settings: Settings = arguments.settings
    with stage(spark, JOB, f"{as_text(arguments.as_of)}..{as_text(arguments.end)}") as report:
        tables = Tables(settings.storage.tables)
        sources = _sources(tables, arguments)
        planned = _plan(sources, arguments)
        if not tables.is_current(planned):
            pictures = measure_pictures(spark, tables, sources, settings.evaluation)
            results = {**_measure(spark, tables, sources, arguments), "embeddings": pictures.shares}
            _publish(tables, planned, results, pictures)
        else:
            report.details["up_to_date"] = True
        results = read_report(tables, tables.get(EVALUATION, planned.partition, JOB))
        report.rows_in, report.rows_out = results["test"]["pairs"], len(results["lists"])
        report.details["report"] = (tables.run_place(planned) / "report.html").uri
        _gate(results, settings)
    return report


def main(argv: list[str] | None = None) -> None:
    arguments = parse_arguments(argv)
    with spark_session(JOB, arguments.settings) as spark:
        run(spark, arguments)


def read_report(tables: Tables, manifest: Manifest) -> dict[str, Any]:
    """The report of an evaluation as written to report.json."""
    return json.loads((tables.run_place(manifest) / "report.json").read())


def _sources(tables: Tables, arguments: argparse.Namespace) -> dict[str, Any]:
    partition, instant = as_of_partition(arguments.as_of), as_text(arguments.as_of)
    window = f"larder aggregate-hours --start {instant} --end {as_text(arguments.end)}"
    hours = [hour_partition(number) for number in range(arguments.as_of, arguments.end)]
    found = tables.find_all(COUNTS, hours)
    for name, manifest in zip(hours, found, strict=True):
        if manifest is None:
            tables.get(COUNTS, name, window)
    images = tables.find(IMAGES, CATALOGUE_PARTITION)
    embeddings = tables.find(EMBEDDINGS, CATALOGUE_PARTITION)
    return {
        INTERACTIONS: tables.get(INTERACTIONS, partition, f"larder roll-up --end {instant}"),
        USER_FACTORS: tables.get(USER_FACTORS, partition, f"larder train-als --as-of {instant}"),
        ITEM_FACTORS: tables.get(ITEM_FACTORS, partition, f"larder train-als --as-of {instant}"),
        COUNTS: found,
        **({IMAGES: images, EMBEDDINGS: embeddings} if images and embeddings else {}),
    }


def _plan(sources: dict[str, Any], arguments: argparse.Namespace) -> Manifest:
    inputs = {
        table: fingerprint([hour.reference for hour in source]) if isinstance(source, list) else source.reference
        for table, source in sources.items()
    }
    settings: Settings = arguments.settings
    parameters = {
        "end": as_text(arguments.end),
        "evaluation": settings.evaluation.model_dump(),
        "rebuy_weight": settings.lists.rebuy_weight,
    }
    return plan_run(EVALUATION, as_of_partition(arguments.as_of), inputs, parameters)


def _measure(
    spark: SparkSession, tables: Tables, sources: dict[str, Any], arguments: argparse.Namespace
) -> dict[str, Any]:
    settings: Settings = arguments.settings
    interactions = read_frame(spark, tables, [sources[INTERACTIONS]], schemas.INTERACTIONS)
    strength = decay_of(sources[INTERACTIONS]).value(F.col(C.STRENGTH), arguments.as_of)
    ids = sorted(row[0] for row in interactions.where(F.col(C.PURCHASES) > 0).select(C.PRODUCT_ID).distinct().collect())
    numbers = spark.createDataFrame(list(zip(ids, range(len(ids)), strict=True)), schemas.PRODUCT_NUMBERS).cache()
    bought = read_frame(spark, tables, sources[COUNTS], schemas.HOURLY_COUNTS).where(F.col(C.PURCHASES) > 0)
    bought = bought.select(C.COOKIE_KEY, C.PRODUCT_ID).distinct().join(F.broadcast(numbers), C.PRODUCT_ID)
    users = read_frame(spark, tables, [sources[USER_FACTORS]], schemas.USER_FACTORS)
    decayed = _sampled(users, as_histories(interactions, numbers, strength), settings.evaluation.users)
    counted = _sampled(users, as_histories(interactions, numbers, F.col(C.PURCHASES)), settings.evaluation.users)
    truth = _truth(decayed[C.COOKIE_KEY].to_numpy(), bought.select(C.COOKIE_KEY, C.PRODUCT_NUMBER).toArrow(), len(ids))
    items = read_frame(spark, tables, [sources[ITEM_FACTORS]], schemas.ITEM_FACTORS)
    factors, _ = item_matrix(items.join(F.broadcast(numbers), C.PRODUCT_ID), len(ids))
    buyers = _buyers(interactions, numbers, len(ids))
    methods = _methods(decayed, counted, factors, buyers, settings)
    return {
        "as_of": as_text(arguments.as_of),
        "end": as_text(arguments.end),
        "test": {"users": int((truth.sizes > 0).sum()), "pairs": len(truth.users), "products": len(ids)},
        "lists": [
            {"method": method.name, "task": task, **_score(method, task, truth, settings)}
            for task in (NEW, ALL)
            for method in methods
            if task == ALL or method.rebuy_weight == 0
        ],
    }


def _sampled(users: DataFrame, histories: DataFrame, limit: int) -> pa.Table:
    """At most `limit` users who bought before, in a fixed order that has nothing to do with who they are."""
    some = users.join(histories.select(C.COOKIE_KEY), C.COOKIE_KEY, "left_semi")
    some = some.orderBy(F.xxhash64(C.COOKIE_KEY), C.COOKIE_KEY).limit(limit)
    return with_history(some, histories).orderBy(C.COOKIE_KEY).toArrow()


def _truth(cookies: npt.NDArray[np.int64], bought: pa.Table, products: int) -> Truth:
    """What the sampled users bought in the test hours; `cookies` is sorted."""
    keys = bought[C.COOKIE_KEY].to_numpy()
    at = np.minimum(np.searchsorted(cookies, keys), len(cookies) - 1)
    known = cookies[at] == keys
    return Truth(at[known], bought[C.PRODUCT_NUMBER].to_numpy()[known], len(cookies), products)


def _buyers(interactions: DataFrame, numbers: DataFrame, products: int) -> Floats:
    """How many cookies bought each product, shape (products, 1)."""
    bought = interactions.where(F.col(C.PURCHASES) > 0).join(F.broadcast(numbers), C.PRODUCT_ID)
    counts = bought.groupBy(C.PRODUCT_NUMBER).count().toArrow()
    buyers = np.zeros((products, 1), np.float32)
    buyers[counts[C.PRODUCT_NUMBER].to_numpy(), 0] = counts["count"].to_numpy()
    return buyers


def _methods(decayed: pa.Table, counted: pa.Table, factors: Floats, buyers: Floats, settings: Settings) -> list[Method]:
    users, one = vectors_of(decayed, C.FACTORS), np.ones((len(decayed), 1), np.float32)
    recent, often = owned_of(decayed), owned_of(counted)
    nothing = np.zeros_like(buyers)
    return [
        Method("popularity", one, buyers, often, 0.0),
        Method("als", users, factors, recent, 0.0),
        Method("own frequency", one, nothing, often, 1.0),
        Method("own frequency, decayed", one, nothing, recent, 1.0),
        Method("personal (als and own)", users, factors, recent, settings.lists.rebuy_weight),
    ]


def _score(method: Method, task: str, truth: Truth, settings: Settings) -> dict[str, Any]:
    """`new` asks only for products that the user had never bought; `all` for any."""
    weight = None if task == NEW else method.rebuy_weight
    lists, _ = top_items(method.user_factors, method.item_factors, method.owned, RECALL_AT, weight)
    wanted = _never_bought(truth, method.owned) if task == NEW else truth
    return measured(lists, wanted).means(settings.evaluation.bootstrap, settings.evaluation.seed)


def _never_bought(truth: Truth, owned: Owned) -> Truth:
    pairs = truth.users.astype(np.int64) * truth.n_items + truth.items
    before = np.isin(pairs, owned.users * truth.n_items + owned.items)
    return replace(truth, users=truth.users[~before], items=truth.items[~before])


def _publish(tables: Tables, planned: Manifest, results: dict[str, Any], pictures: MeasuredPictures) -> None:
    made = {"report.html": page(results), "report.json": json.dumps(results, indent=1, sort_keys=True) + "\n"}
    if pictures.page:
        made["pictures.html"] = pictures.page
    texts = {name: text.encode() for name, text in sorted(made.items())}
    for name, text in texts.items():
        (tables.run_place(planned) / name).write(text)
    tables.publish(replace(planned, files=tuple(DataFile(name, 0, len(text)) for name, text in texts.items())))


def _gate(results: dict[str, Any], settings: Settings) -> None:
    ndcg = {row["method"]: row["ndcg@10"] for row in results["lists"] if row["task"] == NEW}
    least = settings.evaluation.least_ratio_to_popularity * ndcg["popularity"]
    if ndcg["als"] < least:
        raise GateError(
            f"NDCG@10 of als on new products is {ndcg['als']:.4f}, below {least:.4f}, which is "
            f"evaluation.least_ratio_to_popularity times popularity's; nothing was published"
        )


if __name__ == "__main__":
    main()
