"""The vision model, trained in parallel on the pictures that are not held out.

Every level of the category path is a label, so that two kinds of milk are told apart and still are both dairy. The run
has two files: model.keras, for inference, and training.json, with the labels and the loss of each round. Until it is
done, what workers train on and where the training stands lie in `vision_scratch`; a run that was killed goes on there.
With `vision.ensemble` several networks are trained, one after another, and saved as one.
"""

from __future__ import annotations

import argparse
import hashlib
import json
import sys
from collections import Counter
from dataclasses import dataclass, replace
from math import ceil
from typing import TYPE_CHECKING, Any

from pyspark.sql import DataFrame, SparkSession
from pyspark.sql import functions as F

from larder.jobs.ingest_images import CHANNELS, IMAGES, PARTITION, check_size
from larder.jobs.runtime.arguments import job_parser, parse
from larder.jobs.runtime.expected_errors import errors_in_a_line
from larder.jobs.runtime.session import spark_session
from larder.jobs.runtime.stage_report import StageReport, stage
from larder.jobs.runtime.training_files import remove
from larder.jobs.vision.saved_models import MODEL_FILE, model_bytes
from larder.jobs.vision.training_pairs import add_pairs_as_of, interactions_of, with_partners
from larder.jobs.vision.training_pictures import held_back, is_held_back, shards_of, validation_share
from larder.jobs.vision.training_shards import Block, Shard
from larder.models import columns as C
from larder.models.schemas import IMAGES as IMAGES_SCHEMA
from larder.models.vision.backbones import Backbone, is_file
from larder.models.vision.ensembles import as_one
from larder.models.vision.federated import OuterStep
from larder.models.vision.network import NO_PAIRS, Head, build_model, compile_model, label_list, label_shares
from larder.settings import Settings
from larder.settings.sections import Vision
from larder.storage import DataFile, Manifest, Place, Tables
from larder.storage.frames import read_frame
from larder.storage.manifests import plan_run

if TYPE_CHECKING:
    import keras

    from larder.jobs.vision.data_parallel import Round, Schedule
    from larder.jobs.vision.training_checkpoints import State

JOB = "train_vision"
VISION_MODEL, SCRATCH = "vision_model", "vision_scratch"
TRAINING_FILE = "training.json"
SMALL, ENSEMBLE = "small", "ensemble"


class NoLabelsError(ValueError):
    """No category has enough pictures to learn from."""


def parse_arguments(argv: list[str] | None = None) -> argparse.Namespace:
    parser = job_parser(JOB, "Train the vision model on the catalogue's pictures.")
    add_pairs_as_of(parser)
    arguments = parse(parser, argv)
    if arguments.settings.vision.pair_weight and arguments.as_of is None:
        parser.error("vision.pair_weight is set: name the interactions by --as-of HOUR")
    return arguments


def run(spark: SparkSession, arguments: argparse.Namespace) -> StageReport:
    """Writes `vision_model`. Raises MissingPartitionError, OtherSizeError and NoLabelsError."""
    settings: Settings = arguments.settings
    with stage(spark, JOB, PARTITION) as report:
        tables = Tables(settings.storage.tables)
        images = tables.get(IMAGES, PARTITION, "larder ingest-images")
        check_size(images, settings.vision.image_size)
        backbone = backbone_of(settings.vision)
        bought = interactions_of(tables, arguments.as_of) if settings.vision.pair_weight else None
        planned = _plan(images, settings.vision, backbone, bought)
        if tables.is_current(planned):
            report.details["up_to_date"] = True
        else:
            pictures = read_frame(spark, tables, [images], IMAGES_SCHEMA).where(~F.col(C.HELD_OUT))
            if bought:
                pictures = with_partners(spark, tables, bought, pictures, settings.vision.pairs_of_product)
            scratch = tables.place(SCRATCH) / planned.run
            made = _train(spark, pictures, settings.vision, backbone, scratch, report)
            tables.publish(_written(tables, planned, made))
            remove(scratch)
        trained = tables.get(VISION_MODEL, PARTITION, JOB)
        report.rows_in = images.rows
        report.rows_out = trained.counts["pictures"]
        report.details |= {
            "labels": trained.counts["labels"],
            **training_of(tables, trained)["summary"],
            "model_bytes": next(file.bytes for file in trained.files if file.name == MODEL_FILE),
        }
    return report


def main(argv: list[str] | None = None) -> None:
    arguments = parse_arguments(argv)
    with spark_session(JOB, arguments.settings) as spark:
        run(spark, arguments)


def model_bytes_of(tables: Tables, trained: Manifest) -> bytes:
    """The .keras file of a run of `vision_model`."""
    return tables.read(trained, MODEL_FILE)


def training_of(tables: Tables, trained: Manifest) -> dict[str, Any]:
    """labels, loss (one figure a round) and a summary, of a run of `vision_model`. An ensemble has `members`, each with
    a loss of its own."""
    return dict(json.loads(tables.read(trained, TRAINING_FILE)))


def floats_of(trained: Manifest) -> int:
    """Floats of an embedding by the model of a run of `vision_model`."""
    return int(trained.parameters["embedding"] * trained.parameters.get(ENSEMBLE, 1))


@dataclass(frozen=True)
class _Trained:
    """A training's results; `states`, without weights, are where its members ended, `pictures` what trained them."""

    model: keras.Model
    states: list[State]
    labels: list[str]
    pictures: int
    held_back: int


def backbone_of(vision: Vision) -> Backbone | None:
    """The network that the settings name; None for the small one. Raises FileNotFoundError for its file or weights."""
    if vision.backbone == SMALL:
        return None
    file = vision.backbone if is_file(vision.backbone) else vision.backbone_weights
    weights = Place(file).read() if file else None
    return Backbone(vision.backbone, weights, file, vision.backbone_download, vision.backbone_frozen)


def _plan(images: Manifest, vision: Vision, backbone: Backbone | None, bought: Manifest | None) -> Manifest:
    parameters = vision.model_dump(exclude={"max_pixels", "max_bytes", "min_side", "read_ahead", "held_out"})
    if backbone and backbone.weights is not None:
        # The same bytes elsewhere are the same network.
        place = "backbone" if is_file(backbone.name) else "backbone_weights"
        parameters[place] = hashlib.sha256(backbone.weights).hexdigest()
    if vision.ensemble == 1:
        del parameters[ENSEMBLE]  # a run has the name that it had before there were ensembles
    inputs = {manifest.table: manifest.reference for manifest in (images, bought) if manifest}
    return plan_run(VISION_MODEL, PARTITION, inputs, parameters)


def _train(
    spark: SparkSession,
    pictures: DataFrame,
    vision: Vision,
    backbone: Backbone | None,
    scratch: Place,
    report: StageReport,
) -> _Trained:
    from larder.jobs.runtime.quiet_tensorflow import limit_threads
    from larder.jobs.vision.training_checkpoints import State

    limit_threads(1)  # the driver builds, measures and saves; workers train
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
    told = _Telling(report, vision.ensemble)
    members: list[keras.Model] = []
    states: list[State] = []
    for number in range(1, vision.ensemble + 1):
        member = vision.model_copy(update={"seed": vision.seed + number - 1})
        model, trained = models_of(member, shares, backbone)
        compile_for(trained, member, max((shard.samples for shard in shards), default=0))
        rounds = scratch / ("rounds" if number == 1 else f"rounds-{number}")
        told.begin(number, sum(state.rounds for state in states))
        state = _fit(spark, trained, shards, validation, member, rounds, told)
        states.append(State([], losses=state.losses, validations=state.validations))
        model.set_weights(trained.get_weights())
        members.append(model)
    trained_on = sum(shard.samples for shard in shards)
    return _Trained(as_one(members), states, labels, trained_on, len(validation[0]) if validation else 0)


def models_of(vision: Vision, shares: Any, backbone: Backbone | None) -> tuple[keras.Model, keras.Model]:
    """The model for inference and the one to train, which are one without pairs, and else have the same weights."""
    parts = (vision.image_size, vision.embedding, shares, vision.seed, backbone)
    head = Head(vision.palette, vision.hidden, vision.dropout, vision.augment)
    model = build_model(*parts, NO_PAIRS, head)
    pairs = (vision.pair_weight, vision.pair_temperature)
    return model, build_model(*parts, pairs, head) if vision.pair_weight else model


def compile_for(model: keras.Model, vision: Vision, samples: int) -> None:
    """Makes the model ready to train with these settings where a worker has so many samples."""
    steps = ceil(samples / vision.batch_size)  # of an epoch
    compile_model(
        model,
        vision.learning_rate,
        falls_over=steps * vision.epochs if vision.learning_rate_schedule == "cosine" else 0,
        rises_over=round(steps * vision.warm_up_epochs),
    )


def _fit(
    spark: SparkSession,
    model: keras.Model,
    shards: list[Shard],
    validation: Block | None,
    vision: Vision,
    folder: Place,
    told: _Telling,
) -> State:
    from larder.jobs.vision.data_parallel import RoundsModel
    from larder.jobs.vision.training_checkpoints import Checkpoints

    dealt = spark.sparkContext.parallelize(shards, max(1, len(shards))).map(_itself).persist()
    try:
        return RoundsModel(model, told).fit(dealt, schedule_of(vision), validation, Checkpoints(folder))
    finally:
        dealt.unpersist()


def _itself(shard: Shard) -> Shard:
    """Mapped and kept, a shard's name stays where its task first ran; so do later tasks, beside their copy of it."""
    return shard


def schedule_of(vision: Vision) -> Schedule:
    from larder.jobs.vision.data_parallel import Schedule

    return Schedule(
        vision.epochs,
        vision.epochs_per_round,
        vision.batch_size,
        vision.seed,
        vision.patience,
        vision.precision,
        OuterStep(vision.outer_learning_rate, vision.outer_momentum),
    )


class _Telling:
    """A line a round on standard error, and what it took in all in the stage's report."""

    def __init__(self, report: StageReport, members: int) -> None:
        self.report, self.details, self.members = report, report.details, members
        self.member, self.rounds_before = 1, 0
        self.samples = 0
        self.seconds: Counter[str] = Counter()

    def begin(self, member: int, rounds_before: int) -> None:
        """What is told from here on is of this member; those before it took so many rounds."""
        self.member, self.rounds_before = member, rounds_before

    def __call__(self, done: Round) -> None:
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
        (tables.run_place(planned) / name).write(data)
    listed = tuple(DataFile(name, 0, len(data)) for name, data in sorted(files.items()))
    counts = {"labels": len(trained.labels), "pictures": trained.pictures}
    return replace(planned, files=listed, counts=counts)


if __name__ == "__main__":
    with errors_in_a_line():
        main()
