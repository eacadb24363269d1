"""Every picture's embedding, by the trained vision model, where the pictures lie."""

from __future__ import annotations

import argparse
import hashlib
import tempfile
from collections.abc import Iterable, Iterator
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np
import pyarrow as pa
from pyspark import Broadcast, TaskContext
from pyspark.sql import DataFrame, SparkSession

from jobs.arguments import job_parser, parse
from jobs.ingest_images import CHANNELS, IMAGES, PARTITION
from jobs.report import StageReport, stage
from jobs.session import spark_session
from jobs.train_vision import MODEL_FILE, VISION_MODEL, model_bytes_of
from models import columns as C
from models.schemas import EMBEDDINGS as EMBEDDINGS_SCHEMA
from models.schemas import IMAGES as IMAGES_SCHEMA
from models.vision import INFERENCE_BATCH, embed, embedding_part
from settings import Settings
from storage import Manifest, Tables
from storage.frames import read_frame, write_frame
from storage.tables import plan_run

if TYPE_CHECKING:
    import keras

JOB = "embed_products"
EMBEDDINGS = "embeddings"
ROWS_PER_FILE = 250_000
EMBEDDED = pa.schema([(C.PRODUCT_ID, pa.string()), (C.EMBEDDING, pa.list_(pa.float32()))])
EMBEDDED_DDL = "product_id string, embedding array<float>"


def parse_arguments(argv: list[str] | None = None) -> argparse.Namespace:
    return parse(job_parser(JOB, "Compute an embedding of every product's picture."), argv)


def run(spark: SparkSession, arguments: argparse.Namespace) -> StageReport:
    """Writes `embeddings`. Raises MissingPartitionError where pictures or model are not there."""
    settings: Settings = arguments.settings
    with stage(spark, JOB, PARTITION) as report:
        tables = Tables(settings.storage.tables)
        images = tables.get(IMAGES, PARTITION, "larder ingest-images")
        trained = tables.get(VISION_MODEL, PARTITION, "larder train-vision")
        planned = _plan(images, trained)
        if tables.is_current(planned):
            report.details["up_to_date"] = True
        else:
            vectors = _embedded(spark, tables, images, trained, settings.vision.workers)
            files = 1 + images.rows // ROWS_PER_FILE
            tables.publish(write_frame(tables, planned, vectors, EMBEDDINGS_SCHEMA, files, [C.PRODUCT_ID]))
        report.rows_in = images.rows
        report.rows_out = tables.get(EMBEDDINGS, PARTITION, JOB).rows
        report.details["floats"] = trained.parameters["embedding"]
    return report


def main(argv: list[str] | None = None) -> None:
    arguments = parse_arguments(argv)
    with spark_session(JOB, arguments.settings) as spark:
        run(spark, arguments)


def _plan(images: Manifest, trained: Manifest) -> Manifest:
    inputs = {IMAGES: images.reference, VISION_MODEL: trained.reference}
    return plan_run(EMBEDDINGS, PARTITION, inputs, {})


def _embedded(spark: SparkSession, tables: Tables, images: Manifest, trained: Manifest, workers: int) -> DataFrame:
    model = spark.sparkContext.broadcast(model_bytes_of(tables, trained))
    pictures = read_frame(spark, tables, [images], IMAGES_SCHEMA).select(C.PRODUCT_ID, C.PIXELS)
    spread = pictures.repartition(max(workers, len(images.files)), C.PRODUCT_ID)
    return spread.mapInArrow(_Embedder(model, images.parameters["image_size"]), EMBEDDED_DDL)


class _Embedder:
    """Called in a Spark task with its Arrow batches of ids and pixels."""

    def __init__(self, model: Broadcast[bytes], image_size: int) -> None:
        self.model, self.shape = model, (image_size, image_size, CHANNELS)

    def __call__(self, batches: Iterable[pa.RecordBatch]) -> Iterator[pa.RecordBatch]:
        from jobs.quiet_tensorflow import limit_threads

        context = TaskContext.get()
        limit_threads(context.cpus() if context else 1)
        part: keras.Model | None = None
        for batch in batches:
            part = part or _loaded(self.model.value)
            for start in range(0, batch.num_rows, INFERENCE_BATCH):
                yield self._embed(part, batch.slice(start, INFERENCE_BATCH))

    def _embed(self, part: keras.Model, rows: pa.RecordBatch) -> pa.RecordBatch:
        pixels = [np.frombuffer(value.as_buffer(), np.uint8).reshape(self.shape) for value in rows.column(1)]
        vectors = embed(part, np.stack(pixels))
        lists = pa.FixedSizeListArray.from_arrays(pa.array(vectors.ravel()), vectors.shape[1])
        return pa.record_batch([rows.column(0), lists.cast(pa.list_(pa.float32()))], schema=EMBEDDED)


_LOADED: dict[str, keras.Model] = {}


def _loaded(model: bytes) -> keras.Model:
    """The embedding part of the model, loaded once a process."""
    key = hashlib.sha256(model).hexdigest()
    if key not in _LOADED:
        import keras

        _LOADED.clear()
        with tempfile.TemporaryDirectory() as folder:
            path = Path(folder) / MODEL_FILE
            path.write_bytes(model)
            _LOADED[key] = embedding_part(keras.models.load_model(path, compile=False))
    return _LOADED[key]


if __name__ == "__main__":
    main()
