"""The vision model, trained in parallel on the pictures that are not held out.

Every level of the category path is a label, so that two kinds of milk are told apart and still are both dairy. The run
has two files: model.keras, for inference, and training.json, with the labels and the loss of each round.
"""

from __future__ import annotations

import argparse
import io
import json
import sys
import tempfile
import zipfile
from collections.abc import Iterable, Iterator
from dataclasses import replace
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
from pyspark import RDD
from pyspark.sql import DataFrame, Row, SparkSession
from pyspark.sql import functions as F

from jobs.arguments import job_parser, parse
from jobs.ingest_images import CHANNELS, IMAGES, PARTITION
from jobs.report import StageReport, stage
from jobs.session import spark_session
from models import columns as C
from models.schemas import IMAGES as IMAGES_SCHEMA
from models.vision import build_model, compile_model, label_list, label_matrix, label_shares
from settings import Settings
from settings.sections import Vision
from storage import DataFile, Manifest, Tables
from storage.frames import read_frame
from storage.tables import plan_run

if TYPE_CHECKING:
    import keras

    from jobs.data_parallel import Block, RoundsModel

JOB = "train_vision"
VISION_MODEL = "vision_model"
MODEL_FILE, TRAINING_FILE = "model.keras", "training.json"
BLOCK_ROWS = 512
EPOCH_OF_ZIP = (1980, 1, 1, 0, 0, 0)


class NoLabelsError(ValueError):
    """No category has enough pictures to learn from."""


def parse_arguments(argv: list[str] | None = None) -> argparse.Namespace:
    return parse(job_parser(JOB, "Train the vision model on the catalogue's pictures."), argv)


def run(spark: SparkSession, arguments: argparse.Namespace) -> StageReport:
    """Writes `vision_model`. Raises MissingPartitionError and NoLabelsError."""
    settings: Settings = arguments.settings
    with stage(spark, JOB, PARTITION) as report:
        tables = Tables(settings.storage.tables)
        images = tables.get(IMAGES, PARTITION, "larder ingest-images")
        planned = _plan(images, settings.vision)
        if tables.is_current(planned):
            report.details["up_to_date"] = True
        else:
            pictures = read_frame(spark, tables, [images], IMAGES_SCHEMA).where(~F.col(C.HELD_OUT))
            tables.publish(_train(tables, planned, pictures, settings.vision))
        trained = tables.get(VISION_MODEL, PARTITION, JOB)
        report.rows_in = images.rows
        report.rows_out = trained.counts["pictures"]
        report.details |= {"labels": trained.counts["labels"], **training_of(tables, trained)["summary"]}
    return report


def main(argv: list[str] | None = None) -> None:
    arguments = parse_arguments(argv)
    with spark_session(JOB, arguments.settings) as spark:
        run(spark, arguments)


def model_bytes_of(tables: Tables, trained: Manifest) -> bytes:
    """The .keras file of a run of `vision_model`."""
    return (tables.run_place(trained) / MODEL_FILE).read()


def training_of(tables: Tables, trained: Manifest) -> dict[str, Any]:
    """labels, loss (one figure a round) and a summary, of a run of `vision_model`."""
    return dict(json.loads((tables.run_place(trained) / TRAINING_FILE).read()))


def _plan(images: Manifest, vision: Vision) -> Manifest:
    parameters = vision.model_dump(exclude={"max_pixels", "held_out"})
    return plan_run(VISION_MODEL, PARTITION, {IMAGES: images.reference}, parameters)


def _train(tables: Tables, planned: Manifest, pictures: DataFrame, vision: Vision) -> Manifest:
    from jobs.quiet_tensorflow import limit_threads

    limit_threads(1)  # the driver builds and saves; workers train
    counted = pictures.groupBy(C.CATEGORY).count().collect()
    products_of: dict[str | None, int] = {row[C.CATEGORY]: row["count"] for row in counted}
    labels = label_list(products_of, vision.min_label_count)
    if not labels:
        raise NoLabelsError(f"no category has {vision.min_label_count} pictures to train on (vision.min_label_count)")
    total = sum(products_of.values())
    shares = label_shares(products_of, labels)
    model = build_model(vision.image_size, vision.embedding, shares, vision.seed)
    compile_model(model, vision.learning_rate)
    trained = _fit(model, blocks_of(pictures, labels, vision), vision)
    training = {
        "labels": labels,
        "loss": trained.history,
        "summary": {"rounds": len(trained.history), "loss": trained.history[-1]},
    }
    files = {MODEL_FILE: model_bytes(model), TRAINING_FILE: json.dumps(training, indent=1).encode()}
    for name, data in files.items():
        (tables.run_place(planned) / name).write(data)
    listed = tuple(DataFile(name, 0, len(data)) for name, data in sorted(files.items()))
    return replace(planned, files=listed, counts={"labels": len(labels), "pictures": total})


def _fit(model: keras.Model, blocks: RDD[Block], vision: Vision) -> RoundsModel:
    from jobs.data_parallel import RoundsModel, Schedule

    schedule = Schedule(vision.epochs, vision.epochs_per_round, vision.batch_size, vision.seed)
    rounds = len(schedule.rounds())

    def tell(number: int, loss: float) -> None:
        print(f"{JOB}  round {number + 1}/{rounds}  loss {loss:.4f}", file=sys.stderr, flush=True)

    parallel = RoundsModel(model, tell)
    parallel.fit(blocks, schedule)
    return parallel


def blocks_of(pictures: DataFrame, labels: list[str], vision: Vision) -> RDD[Block]:
    """Blocks of pictures (n, size, size, 3) and labels (n, labels), one partition a worker, the same in every run."""
    slot = F.pmod(F.xxhash64(C.PRODUCT_ID, F.lit("worker")), F.lit(vision.workers)).cast("int")
    rows = pictures.select(slot.alias("slot"), C.PRODUCT_ID, C.CATEGORY, C.PIXELS).rdd
    # DataFrame.repartition would hash the slot again and leave one worker the work of two.
    dealt = rows.map(lambda row: (row["slot"], row)).partitionBy(vision.workers, int).values()
    shape = (vision.image_size, vision.image_size, CHANNELS)

    def in_blocks(partition: Iterable[Row]) -> Iterator[Block]:
        ordered = sorted(partition, key=lambda row: str(row[C.PRODUCT_ID]))
        for start in range(0, len(ordered), BLOCK_ROWS):
            block = ordered[start : start + BLOCK_ROWS]
            pixels = np.stack([np.frombuffer(row[C.PIXELS], np.uint8).reshape(shape) for row in block])
            yield pixels, label_matrix([row[C.CATEGORY] for row in block], labels)

    return dealt.mapPartitions(in_blocks)


def model_bytes(model: keras.Model) -> bytes:
    """A .keras file without optimizer, the same for the same weights: Keras writes the time of day into it."""
    import keras

    bare = keras.Model(model.inputs, model.outputs, name=model.name)  # never compiled
    with tempfile.TemporaryDirectory() as folder:
        path = Path(folder) / MODEL_FILE
        bare.save(path)
        return _timeless(path.read_bytes())


def _timeless(archive: bytes) -> bytes:
    out = io.BytesIO()
    with zipfile.ZipFile(io.BytesIO(archive)) as before, zipfile.ZipFile(out, "w") as after:
        for name in sorted(before.namelist()):
            data = before.read(name)
            if name == "metadata.json":
                data = json.dumps({**json.loads(data), "date_saved": ""}, sort_keys=True).encode()
            after.writestr(zipfile.ZipInfo(name, EPOCH_OF_ZIP), data)
    return out.getvalue()


if __name__ == "__main__":
    main()
