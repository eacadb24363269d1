"""Trains the vision model, data-parallel, on the pictures that are not held out.

Every level of the category path is a label: two kinds of milk are told apart, and both are dairy. A run of
`vision_model` has two files: model.keras, for inference, and training.json, with the labels and the loss of each round.
Until it is done, the workers' samples and the state of the training are in `vision_scratch`, from which a run that was
killed continues. With `vision.ensemble`, several networks are trained, one after another, and saved as one.
"""

from __future__ import annotations

import argparse
import hashlib
import json
import sys
from collections import Counter
from dataclasses import dataclass, replace
from typing import TYPE_CHECKING, Any

from pyspark.sql import DataFrame, SparkSession
from pyspark.sql import functions as F

from larder.jobs.runtime.expected_errors import errors_in_a_line
from larder.jobs.runtime.job_arguments import parse
from larder.jobs.runtime.session import spark_session
from larder.jobs.runtime.stage_report import StageReport, stage
from larder.jobs.runtime.training_files import remove
from larder.jobs.vision.image_table import check_size
from larder.jobs.vision.picture_files import CHANNELS
from larder.jobs.vision.saved_models import MODEL_FILE, model_bytes
from larder.jobs.vision.trained_model import ENSEMBLE, TRAINING_FILE, training_of
from larder.jobs.vision.training_pairs import interactions_of, with_partners
from larder.jobs.vision.training_pictures import held_back, is_held_back, shards_of, validation_share
from larder.jobs.vision.training_plan import backbone_of, compile_for, models_of, schedule_of
from larder.jobs.vision.training_shards import Shard
from larder.models import columns as C
from larder.models.tables import CATALOGUE, IMAGES, VISION_MODEL, VISION_SCRATCH
from larder.models.vision.backbones import Backbone, is_file
from larder.models.vision.ensembles import as_one
from larder.models.vision.network import label_list, label_shares
from larder.settings import Settings, VisionSettings
from larder.storage import DataFile, Manifest, StoragePath, Tables
from larder.storage.frames import read_frame
from larder.storage.manifests import plan_run

if TYPE_CHECKING:
    import keras

    from larder.jobs.vision.data_parallel import RoundReport
    from larder.jobs.vision.training_checkpoints import TrainingState

JOB = "train_vision"
# Settings of [vision] on which only the ingestion of pictures depends.
NOT_OF_A_TRAINING = {"max_pixels", "max_bytes", "min_side", "decode_seconds", "read_ahead", "held_out"}


class NoLabelsError(ValueError):
    """No category has enough pictures to learn from."""


def parse_arguments(argv: list[str] | None = None) -> argparse.Namespace:
    """Returns the job's arguments; `argv` is the process's own if None."""
    return parse(JOB, argv)


def run(spark: SparkSession, arguments: argparse.Namespace) -> StageReport:
    """Writes `vision_model`. Raises MissingPartitionError, OtherSizeError and NoLabelsError."""
    settings: Settings = arguments.settings
    with stage(spark, JOB, CATALOGUE) as report:
        tables = Tables(settings.storage.tables)
        images = tables.get(IMAGES, CATALOGUE, "larder ingest-images")
        check_size(images, settings.vision.image_size)
        backbone = backbone_of(settings.vision)
        bought = interactions_of(tables, arguments.as_of) if settings.vision.pair_weight else None
        planned = _plan(images, settings.vision, backbone, bought)
        if tables.is_current(planned):
            report.details["up_to_date"] = True
        else:
            pictures = read_frame(spark, tables, [images], IMAGES.schema).where(~F.col(C.HELD_OUT))
            if bought:
                pictures = with_partners(spark, tables, bought, pictures, settings.vision.pairs_of_product)
            scratch = tables.place(VISION_SCRATCH) / planned.run
            made = _train(spark, pictures, settings.vision, backbone, scratch, report)
            tables.publish(_written(tables, planned, made))
            remove(scratch)
        trained = tables.get(VISION_MODEL, CATALOGUE, JOB)
        report.rows_in = images.rows
        report.rows_out = trained.counts["pictures"]
        report.details |= {
            "labels": trained.counts["labels"],
            **training_of(tables, trained)["summary"],
            "model_bytes": next(file.bytes for file in trained.files if file.name == MODEL_FILE),
        }
    return report


def main(argv: list[str] | None = None) -> None:
    """Runs the job as the command line says."""
    start(parse_arguments(argv))


def start(arguments: argparse.Namespace) -> None:
    """Runs the job in a Spark session of its own."""
    with spark_session(JOB, arguments.settings) as spark:
        run(spark, arguments)


@dataclass(frozen=True)
class _Trained:
    """The results of a training: the model, and of each member its last state, without weights.

    `pictures` were trained on, `held_back` validated on.
    """

    model: keras.Model
    states: list[TrainingState]
    labels: list[str]
    pictures: int
    held_back: int


def _plan(images: Manifest, vision: VisionSettings, backbone: Backbone | None, bought: Manifest | None) -> Manifest:
    parameters = vision.model_dump(exclude=NOT_OF_A_TRAINING)
    if backbone and backbone.weights is not None:
        # By its bytes: the same network may be in another place.
        place = "backbone" if is_file(backbone.name) else "backbone_weights"
        parameters[place] = hashlib.sha256(backbone.weights).hexdigest()
    if vision.ensemble == 1:
        del parameters[ENSEMBLE]  # so a run has the name that it had before there were ensembles
    inputs = {manifest.table: manifest.reference for manifest in (images, bought) if manifest}
    return plan_run(VISION_MODEL, CATALOGUE, inputs, parameters)


def _train(
    spark: SparkSession,
    pictures: DataFrame,
    vision: VisionSettings,
    backbone: Backbone | None,
    scratch: StoragePath,
    report: StageReport,
) -> _Trained:
    from larder.jobs.runtime.quiet_tensorflow import limit_threads
    from larder.jobs.vision.data_parallel import FederatedModel
    from larder.jobs.vision.training_checkpoints import Checkpoints, TrainingState

    limit_threads(1)  # the driver only builds, validates and saves; workers train
    counted = pictures.groupBy(C.CATEGORY).count().collect()
    products_of: dict[str | None, int] = {row[C.CATEGORY]: row["count"] for row in counted}
    labels = label_list(products_of, vision.min_label_count)
    if not labels:
        raise NoLabelsError(f"no category has {vision.min_label_count} pictures to train on (vision.min_label_count)")
    shape = (vision.image_size, vision.image_size, CHANNELS)
    back = is_held_back(validation_share(vision, sum(products_of.values()), shape))
    validation = held_back(pictures.where(back), labels, shape)
    shards = shards_of(pictures.where(~back), labels, shape, vision.workers, scratch / "shards")
    shares = label_shares(products_of, labels)
    log = _RoundLog(report, vision.ensemble)
    members: list[keras.Model] = []
    states: list[TrainingState] = []
    # Each shard's name is kept where its task first ran, so that later tasks run beside what was fetched of the shard.
    dealt = spark.sparkContext.parallelize(shards, max(1, len(shards))).map(_itself).persist()
    try:
        for number in range(1, vision.ensemble + 1):
            member = vision.model_copy(update={"seed": vision.seed + number - 1})
            model, trained = models_of(member, shares, backbone)
            compile_for(trained, member, max((shard.samples for shard in shards), default=0))
            checkpoints = Checkpoints(scratch / ("rounds" if number == 1 else f"rounds-{number}"))
            log.begin(number, sum(state.rounds for state in states))
            state = FederatedModel(trained, log).fit(dealt, schedule_of(member), validation, checkpoints)
            states.append(TrainingState([], losses=state.losses, validations=state.validations))
            model.set_weights(trained.get_weights())
            members.append(model)
        dealt.foreach(Shard.remove_copy)
    finally:
        dealt.unpersist()
    trained_on = sum(shard.samples for shard in shards)
    return _Trained(as_one(members), states, labels, trained_on, len(validation[0]) if validation else 0)


def _itself(shard: Shard) -> Shard:
    """A transformation, without which Spark would keep nothing of a parallelized list."""
    return shard


class _RoundLog:
    """Reports each round by a line on standard error, and the sum of all rounds in the stage's report."""

    def __init__(self, report: StageReport, members: int) -> None:
        self.report, self.details, self.members = report, report.details, members
        self.member, self.rounds_before = 1, 0
        self.samples = 0
        self.seconds: Counter[str] = Counter()

    def begin(self, member: int, rounds_before: int) -> None:
        """Says that the rounds from here on are of this member; the members before it took `rounds_before`."""
        self.member, self.rounds_before = member, rounds_before

    def __call__(self, done: RoundReport) -> None:
        validation = "" if done.validation is None else f"  validation {done.validation:.4f}"
        member = f"member {self.member}/{self.members}  " if self.members > 1 else ""
        print(
            f"{JOB}  {member}round {done.number}/{done.rounds}  loss {done.loss:.4f}{validation}"
            f"  {done.samples_per_second:,.0f} pictures/s",
            file=sys.stderr,
            flush=True,
        )
        self.report.doing = f"{member}round {done.number} of {done.rounds} done"
        before = self.rounds_before + done.number - 1
        if not self.seconds and before:
            self.details["resumed_after"] = before
        self.samples += done.samples
        self.seconds.update(done.seconds)
        self.details["pictures_per_second"] = round(self.samples / sum(self.seconds.values()))
        self.details["checkpoint_bytes"] = done.checkpoint_bytes
        if done.devices:
            self.details["gpus"] = " ".join(done.devices)


def _written(tables: Tables, planned: Manifest, trained: _Trained) -> Manifest:
    each = [{"loss": state.losses, "validation": state.validations} for state in trained.states]
    summary: dict[str, Any] = {}
    for number, state in enumerate(trained.states, 1):
        figures: dict[str, Any] = {"rounds": state.rounds, "loss": state.losses[-1]}
        if state.validations:
            figures["validation"] = min(state.validations)
        of = f"member_{number}_" if len(each) > 1 else ""
        summary |= {f"{of}{name}": figure for name, figure in figures.items()}
    if trained.states[0].validations:
        summary["validated_on"] = trained.held_back
    told: dict[str, Any] = {"members": each} if len(each) > 1 else each[0]
    training = {"labels": trained.labels, **told, "summary": summary}
    files = {MODEL_FILE: model_bytes(trained.model), TRAINING_FILE: json.dumps(training, indent=1).encode()}
    for name, data in files.items():
        (tables.run_folder(planned) / name).write(data)
    listed = tuple(DataFile.of(name, 0, data) for name, data in sorted(files.items()))
    counts = {"labels": len(trained.labels), "pictures": trained.pictures}
    return replace(planned, files=listed, counts=counts)


if __name__ == "__main__":
    with errors_in_a_line():
        main()
