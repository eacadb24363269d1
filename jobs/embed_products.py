"""Computes the embedding of every picture with the trained vision model."""

from __future__ import annotations

import argparse

from pyspark.sql import DataFrame, SparkSession

from larder.jobs.runtime.expected_errors import errors_in_a_line
from larder.jobs.runtime.job_arguments import parse
from larder.jobs.runtime.session import spark_session
from larder.jobs.runtime.stage_report import StageReport, stage
from larder.jobs.vision.embedder import EMBEDDED_DDL, Embedder
from larder.jobs.vision.image_table import check_size
from larder.jobs.vision.trained_model import floats_of, model_bytes_of
from larder.models import columns as C
from larder.models.tables import CATALOGUE, EMBEDDINGS, IMAGES, VISION_MODEL
from larder.settings import Settings
from larder.storage import Manifest, Tables
from larder.storage.frames import read_frame, write_frame
from larder.storage.manifests import plan_run

JOB = "embed_products"
ROWS_PER_FILE = 250_000


def parse_arguments(argv: list[str] | None = None) -> argparse.Namespace:
    """Returns the job's arguments; `argv` is the process's own if None."""
    return parse(JOB, argv)


def run(spark: SparkSession, arguments: argparse.Namespace) -> StageReport:
    """Writes `embeddings`. Raises MissingPartitionError if there are no pictures or no model, and OtherSizeError."""
    settings: Settings = arguments.settings
    with stage(spark, JOB, CATALOGUE) as report:
        tables = Tables(settings.storage.tables)
        images = tables.get(IMAGES, CATALOGUE, "larder ingest-images")
        trained = tables.get(VISION_MODEL, CATALOGUE, "larder train-vision")
        size = trained.parameters["image_size"]
        check_size(images, size, "the side of pictures that the model takes", "run `larder train-vision`")
        planned = _plan(images, trained)
        if tables.is_current(planned):
            report.details["up_to_date"] = True
        else:
            vectors = _embedded(spark, tables, images, trained, settings.vision.workers)
            files = 1 + images.rows // ROWS_PER_FILE
            tables.publish(write_frame(tables, planned, vectors, EMBEDDINGS.schema, files, [C.PRODUCT_ID]))
        report.rows_in = images.rows
        report.rows_out = tables.get(EMBEDDINGS, CATALOGUE, JOB).rows
        report.details["floats"] = floats_of(trained)
    return report


def main(argv: list[str] | None = None) -> None:
    """Runs the job as the command line says."""
    start(parse_arguments(argv))


def start(arguments: argparse.Namespace) -> None:
    """Runs the job in a Spark session of its own."""
    with spark_session(JOB, arguments.settings) as spark:
        run(spark, arguments)


def _plan(images: Manifest, trained: Manifest) -> Manifest:
    inputs: dict[str, str] = {IMAGES: images.reference, VISION_MODEL: trained.reference}
    return plan_run(EMBEDDINGS, CATALOGUE, inputs, {"floats": "binary16"})


def _embedded(spark: SparkSession, tables: Tables, images: Manifest, trained: Manifest, workers: int) -> DataFrame:
    model = spark.sparkContext.broadcast(model_bytes_of(tables, trained))
    pictures = read_frame(spark, tables, [images], IMAGES.schema).select(C.PRODUCT_ID, C.PIXELS)
    spread = pictures.repartition(max(workers, len(images.files)), C.PRODUCT_ID)
    return spread.mapInArrow(Embedder(model, images.parameters["image_size"]), EMBEDDED_DDL)


if __name__ == "__main__":
    with errors_in_a_line():
        main()
