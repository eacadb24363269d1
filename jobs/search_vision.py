"""Searches for settings of the vision model: Optuna chooses, tasks run trials, a SQLite file keeps the results.

There are three objectives: quality (the share of the ten nearest pictures with the same labels, among pictures that the
trial did not train on), seconds of training, and bytes of the model. A search that was killed, or whose recipe now asks
for more trials, continues. The last lines of its output are the chosen settings, for larder.toml.
"""

from __future__ import annotations

import argparse
import hashlib
import json
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any, Literal

from pyspark.sql import SparkSession
from pyspark.sql import functions as F

from larder.jobs.runtime.expected_errors import errors_in_a_line
from larder.jobs.runtime.job_arguments import PAIR_WEIGHT, parse
from larder.jobs.runtime.session import spark_session
from larder.jobs.runtime.stage_report import StageReport, stage
from larder.jobs.runtime.training_files import remove
from larder.jobs.vision.image_table import check_size
from larder.jobs.vision.picture_files import CHANNELS
from larder.jobs.vision.training_pairs import interactions_of, with_partners
from larder.jobs.vision.training_pictures import is_held_back, shards_of
from larder.jobs.vision.training_shards import Shard
from larder.jobs.vision.vision_trials import TrialResult, TrialRunner, TrialSettings
from larder.models import columns as C
from larder.models.tables import CATALOGUE, IMAGES, VISION_SCRATCH
from larder.models.vision.backbones import is_file
from larder.models.vision.network import label_list, label_shares
from larder.settings import Settings, SettingsError, VisionSettings
from larder.settings.vision_recipe import NOT_OF_A_TRIAL, SearchRange, VisionRecipe
from larder.storage import Manifest, StoragePath, Tables
from larder.storage.event_folders import first_line
from larder.storage.frames import read_frame
from larder.storage.manifests import fingerprint

if TYPE_CHECKING:
    import optuna

JOB = "search_vision"
DIRECTIONS: list[Literal["maximize", "minimize"]] = ["maximize", "minimize", "minimize"]
ERROR, MISSED, CUT_OFF = "error", "missed", "cut off before"


class NothingChosenError(LookupError):
    """No trial meets the recipe's thresholds, or there are too few pictures for trials."""


def parse_arguments(argv: list[str] | None = None) -> argparse.Namespace:
    """Returns the job's arguments; `argv` is the process's own if None."""
    return parse(JOB, argv)


def has_pairs(arguments: argparse.Namespace) -> bool:
    """Returns whether any trial has the contrastive objective."""
    return bool(arguments.settings.vision.pair_weight) or PAIR_WEIGHT in arguments.recipe.space


def run(spark: SparkSession, arguments: argparse.Namespace) -> StageReport:
    """Runs the recipe's trials and prints the chosen settings. Raises MissingPartitionError and NothingChosenError."""
    settings: Settings = arguments.settings
    recipe: VisionRecipe = arguments.recipe
    with stage(spark, JOB, CATALOGUE) as report:
        tables = Tables(settings.storage.tables)
        images = tables.get(IMAGES, CATALOGUE, "larder ingest-images")
        check_size(images, settings.vision.image_size)
        bought = interactions_of(tables, arguments.as_of) if has_pairs(arguments) else None
        study = _study(recipe, [images, bought] if bought else [images], settings.vision)
        scratch = tables.place(VISION_SCRATCH) / study.study_name
        tried = _trials(spark, tables, images, bought, recipe, settings.vision, scratch)
        report.rows_in = tried.train.samples + tried.test.samples
        before = len(_ended(study))
        while (missing := recipe.trials - len(_ended(study))) > 0:
            report.doing = f"trial {recipe.trials - missing + 1} of {recipe.trials}"
            _try(spark, study, tried, recipe, settings.vision, 1 if _waiting(study) else min(missing, recipe.at_once))
        shards = [tried.train, tried.test] * recipe.at_once  # once for each task that may have fetched them
        spark.sparkContext.parallelize(shards, len(shards)).foreach(Shard.remove_copy)
        remove(scratch)
        report.rows_out = len(_ended(study))
        report.details |= {"new_trials": report.rows_out - before, **_counted(study, recipe)}
        chosen = _chosen(study, recipe)
    _print_front(study)
    print(vision_text(chosen.params))
    return report


def main(argv: list[str] | None = None) -> None:
    """Runs the job as the command line says."""
    start(parse_arguments(argv))


def start(arguments: argparse.Namespace) -> None:
    """Runs the job in a Spark session of its own."""
    with spark_session(JOB, arguments.settings) as spark:
        run(spark, arguments)


def vision_text(params: Mapping[str, Any]) -> str:
    """Returns the settings as a section of larder.toml."""
    return "\n".join(["[vision]", *(f"{name} = {json.dumps(value)}" for name, value in sorted(params.items()))])


def _study(recipe: VisionRecipe, inputs: Sequence[Manifest], vision: VisionSettings) -> optuna.Study:
    """The Optuna study of these inputs, this search space and the settings that are fixed, with its results so far.

    Trials that were running when a search ended are tried once more, and only once: they may be what ended it, for
    example by taking too much memory.
    """
    import optuna
    from sqlalchemy.exc import SQLAlchemyError

    optuna.logging.set_verbosity(optuna.logging.WARNING)
    if not Path(recipe.store).parent.is_dir():
        raise SettingsError(f"the recipe's store {recipe.store}: there is no folder {Path(recipe.store).parent}")
    same = recipe.model_dump(include={"seed", "pictures", "validation", "space"})
    # Without the settings that are chosen: copied into larder.toml, they must not begin another search.
    fixed = vision.model_dump(exclude={*NOT_OF_A_TRIAL, *recipe.space})
    name = fingerprint([*(source.run for source in inputs), same, fixed, *_networks(recipe, vision)])
    try:
        study = optuna.create_study(
            storage=f"sqlite:///{recipe.store}", study_name=name, load_if_exists=True, directions=DIRECTIONS
        )
    except SQLAlchemyError as error:
        raise SettingsError(f"the recipe's store {recipe.store} cannot be used: {first_line(error)}") from None
    study.sampler = optuna.samplers.TPESampler(
        seed=recipe.seed + len(study.trials),
        n_startup_trials=max(4, recipe.trials // 4),
        constraints_func=lambda trial: trial.user_attrs[MISSED],
    )
    for trial in study.get_trials(states=[optuna.trial.TrialState.RUNNING]):
        study.tell(trial.number, state=optuna.trial.TrialState.FAIL)
        if CUT_OFF in trial.user_attrs:
            print(f"{JOB}  trial {trial.number} failed: cut off again, as trial {trial.user_attrs[CUT_OFF]} was")
        else:
            study.enqueue_trial(trial.params, user_attrs={CUT_OFF: trial.number})
    return study


def _networks(recipe: VisionRecipe, vision: VisionSettings) -> list[str]:
    """Digests of the backbone files in the search space: with other contents it is another search."""
    choices = recipe.space.get("backbone", [vision.backbone])
    files = [str(each) for each in choices if is_file(str(each))] if isinstance(choices, list) else []
    return [hashlib.sha256(StoragePath(file).read()).hexdigest() for file in files]


def _waiting(study: optuna.Study) -> bool:
    """Whether trials wait to be tried once more. Each then runs alone, so that no other is cut off with it."""
    import optuna

    return bool(study.get_trials(deepcopy=False, states=[optuna.trial.TrialState.WAITING]))


def _trials(
    spark: SparkSession,
    tables: Tables,
    images: Manifest,
    bought: Manifest | None,
    recipe: VisionRecipe,
    vision: VisionSettings,
    scratch: Any,
) -> TrialRunner:
    pictures = read_frame(spark, tables, [images], IMAGES.schema).where(~F.col(C.HELD_OUT))
    pictures = pictures.orderBy(F.xxhash64(C.PRODUCT_ID, F.lit("search")), C.PRODUCT_ID).limit(recipe.pictures)
    counted = pictures.groupBy(C.CATEGORY).count().collect()
    products_of: dict[str | None, int] = {row[C.CATEGORY]: row["count"] for row in counted}
    labels = label_list(products_of, vision.min_label_count)
    shape = (images.parameters["image_size"], images.parameters["image_size"], CHANNELS)
    back = is_held_back(recipe.validation)
    tried_on = pictures.where(~back)
    if bought:
        tried_on = with_partners(spark, tables, bought, tried_on, vision.pairs_of_product)
    train = shards_of(tried_on, labels, shape, 1, scratch / "train")
    test = shards_of(pictures.where(back), labels, shape, 1, scratch / "test")
    if not labels or not train or not test:
        raise NothingChosenError(
            f"{sum(products_of.values())} pictures in {len(labels)} categories (vision.min_label_count) are too few to"
            f" train on and to hold {recipe.validation:.0%} of them back"
        )
    return TrialRunner(train[0], test[0], label_shares(products_of, labels))


def _try(
    spark: SparkSession,
    study: optuna.Study,
    tried: TrialRunner,
    recipe: VisionRecipe,
    vision: VisionSettings,
    count: int,
) -> None:
    """Runs `count` trials at once, each in a task of its own."""
    import optuna

    choices, asked = [], [study.ask() for _ in range(count)]
    for trial in asked:
        chosen = {name: _suggested(trial, name, values) for name, values in recipe.space.items()}
        choices.append(TrialSettings(trial.number, {**vision.model_dump(), **chosen}))
    found: list[TrialResult] = spark.sparkContext.parallelize(choices, count).mapPartitions(tried).collect()
    for trial, measured in zip(asked, found, strict=True):
        if measured.error:
            trial.set_user_attr(ERROR, measured.error)
            study.tell(trial, state=optuna.trial.TrialState.FAIL)
            print(f"{JOB}  trial {measured.number} failed: {measured.error}", flush=True)
        else:
            values = [measured.quality, measured.seconds, float(measured.bytes)]
            trial.set_user_attr(MISSED, _missed(values, recipe))
            study.tell(trial, values)


def _suggested(trial: optuna.Trial, name: str, values: SearchRange | list[Any]) -> Any:
    if not isinstance(values, SearchRange):
        return trial.suggest_categorical(name, values)
    if VisionSettings.model_fields[name].annotation in (int, bool):
        return trial.suggest_int(name, int(values.low), int(values.high), log=values.log)
    return trial.suggest_float(name, values.low, values.high, log=values.log)


def _ended(study: optuna.Study) -> list[optuna.trial.FrozenTrial]:
    """Trials with a result, and those whose settings do not work, but not those that were cut off once."""
    import optuna

    done = study.get_trials(deepcopy=False, states=[optuna.trial.TrialState.COMPLETE])
    failed = study.get_trials(deepcopy=False, states=[optuna.trial.TrialState.FAIL])
    return done + [trial for trial in failed if {ERROR, CUT_OFF} & trial.user_attrs.keys()]


def _counted(study: optuna.Study, recipe: VisionRecipe) -> dict[str, int]:
    ended = _ended(study)
    met = [trial for trial in ended if trial.values and _meets(trial, recipe)]
    return {"met_thresholds": len(met), "failed": sum(not trial.values for trial in ended)}


def _missed(values: Sequence[float], recipe: VisionRecipe) -> list[float]:
    """By how much each threshold is missed; 0 or less if it is met."""
    (quality, seconds, size), most = values, recipe.objectives
    return [most.least_quality - quality, seconds - most.most_seconds, size - most.most_bytes]


def _meets(trial: optuna.trial.FrozenTrial, recipe: VisionRecipe) -> bool:
    return all(missed <= 0 for missed in _missed(trial.values, recipe))


def _chosen(study: optuna.Study, recipe: VisionRecipe) -> optuna.trial.FrozenTrial:
    """The trial with the best quality that meets all thresholds; of equals, the one with the shortest training."""
    met = [trial for trial in _ended(study) if trial.values and _meets(trial, recipe)]
    if not met:
        raise NothingChosenError(
            f"none of {len(_ended(study))} trials meets the thresholds of [objectives]; see them in {recipe.store}"
        )
    return max(met, key=lambda trial: (trial.values[0], -trial.values[1]))


def _print_front(study: optuna.Study) -> None:
    """Prints the Pareto front: the trials that no other beats in all three objectives."""
    for trial in sorted(study.best_trials, key=lambda trial: -trial.values[0]):
        quality, seconds, size = trial.values
        print(
            f"trial {trial.number:>3}  quality {quality:.3f}  {seconds:>7.1f} s  {size:>11,.0f} bytes  {trial.params}"
        )


if __name__ == "__main__":
    with errors_in_a_line():
        main()
