"""Every picture's embedding, by the trained vision model, where the pictures lie."""

from __future__ import annotations

import argparse

from pyspark.sql import DataFrame, SparkSession

from larder.jobs.ingest_images import IMAGES, PARTITION, check_size
from larder.jobs.runtime.arguments import job_parser, parse
from larder.jobs.runtime.expected_errors import errors_in_a_line
from larder.jobs.runtime.session import spark_session
from larder.jobs.runtime.stage_report import StageReport, stage
from larder.jobs.train_vision import VISION_MODEL, floats_of, model_bytes_of
from larder.jobs.vision.embedder import EMBEDDED_DDL, Embedder
from larder.models import columns as C
from larder.models.schemas import EMBEDDINGS as EMBEDDINGS_SCHEMA
from larder.models.schemas import IMAGES as IMAGES_SCHEMA
from larder.settings import Settings
from larder.storage import Manifest, Tables
from larder.storage.frames import read_frame, write_frame
from larder.storage.manifests import plan_run

JOB = "embed_products"
EMBEDDINGS = "embeddings"
ROWS_PER_FILE = 250_000


def parse_arguments(argv: list[str] | None = None) -> argparse.Namespace:
    return parse(job_parser(JOB, "Compute an embedding of every product's picture."), argv)


def run(spark: SparkSession, arguments: argparse.Namespace) -> StageReport:
    """Writes `embeddings`. Raises MissingPartitionError where pictures or model are not there, OtherSizeError."""
    settings: Settings = arguments.settings
    with stage(spark, JOB, PARTITION) as report:
        tables = Tables(settings.storage.tables)
        images = tables.get(IMAGES, PARTITION, "larder ingest-images")
        trained = tables.get(VISION_MODEL, PARTITION, "larder train-vision")
        size = trained.parameters["image_size"]
        check_size(images, size, "the side of pictures that the model takes", "run `larder train-vision`")
        planned = _plan(images, trained)
        if tables.is_current(planned):
            report.details["up_to_date"] = True
        else:
            vectors = _embedded(spark, tables, images, trained, settings.vision.workers)
            files = 1 + images.rows // ROWS_PER_FILE
            tables.publish(write_frame(tables, planned, vectors, EMBEDDINGS_SCHEMA, files, [C.PRODUCT_ID]))
        report.rows_in = images.rows
        report.rows_out = tables.get(EMBEDDINGS, PARTITION, JOB).rows
        report.details["floats"] = floats_of(trained)
    return report


def main(argv: list[str] | None = None) -> None:
    arguments = parse_arguments(argv)
    with spark_session(JOB, arguments.settings) as spark:
        run(spark, arguments)


def _plan(images: Manifest, trained: Manifest) -> Manifest:
    inputs = {IMAGES: images.reference, VISION_MODEL: trained.reference}
    return plan_run(EMBEDDINGS, PARTITION, inputs, {"floats": "binary16"})


def _embedded(spark: SparkSession, tables: Tables, images: Manifest, trained: Manifest, workers: int) -> DataFrame:
    model = spark.sparkContext.broadcast(model_bytes_of(tables, trained))
    pictures = read_frame(spark, tables, [images], IMAGES_SCHEMA).select(C.PRODUCT_ID, C.PIXELS)
    spread = pictures.repartition(max(workers, len(images.files)), C.PRODUCT_ID)
    return spread.mapInArrow(Embedder(model, images.parameters["image_size"]), EMBEDDED_DDL)


if __name__ == "__main__":
    with errors_in_a_line():
        main()
