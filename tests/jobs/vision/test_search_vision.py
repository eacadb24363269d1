"""A search over a few settings: thresholds, a failing choice, and going on where it was."""

from __future__ import annotations

import re
import sys
from pathlib import Path

import pytest
from pyspark.sql import SparkSession
from typer.testing import CliRunner
from written_pictures import training_settings, write_pictures
from written_tables import write_table

from larder.jobs import search_vision
from larder.jobs.runtime.stage_report import StageReport
from larder.models.hours import as_of_partition, as_text
from larder.models.tables import INTERACTIONS
from larder.settings import SettingsError, VisionSettings
from larder.settings.vision_recipe import VisionRecipe, load_recipe
from larder.storage import Tables
from larder.storage.manifests import plan_run

if sys.version_info >= (3, 11):
    import tomllib
else:
    import tomli as tomllib

pytest.importorskip("optuna")
pytestmark = pytest.mark.end_to_end

AS_OF = 420_096
RECIPE = """
trials = {trials}
at_once = 2
[objectives]
least_quality = {quality}
[space]
batch_size = {sizes}
epochs = {{ low = 1.0, high = 2.0 }}
backbone = {backbones}
"""


class Shop:
    """Sixty pictures, and searches over them."""

    def __init__(self, folder: Path, **vision: object) -> None:
        self.folder, self.recipe = folder, folder / "recipe.toml"
        write_pictures(folder / "tables", 60)
        bought = [(cookie, f"p{number}", 10, 1, AS_OF, AS_OF) for cookie in range(3) for number in range(60)]
        planned = plan_run("interactions", as_of_partition(AS_OF), {}, {})
        write_table(Tables(str(folder / "tables")), planned, INTERACTIONS.schema, bought)
        self.settings = training_settings(folder / "larder.toml", folder / "tables", {}, **vision)

    def search(
        self,
        spark: SparkSession,
        trials: int,
        backbones: str = '["small"]',
        quality: float = 0.0,
        sizes: str = "[8, 16]",
    ) -> StageReport:
        self.recipe.write_text(RECIPE.format(trials=trials, backbones=backbones, quality=quality, sizes=sizes))
        arguments = ["--settings", str(self.settings), "--recipe", str(self.recipe), "--as-of", as_text(AS_OF)]
        return search_vision.run(spark, search_vision.parse_arguments(arguments))


def test_a_search_goes_on_and_its_choice_is_a_section(
    spark: SparkSession, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    shop = Shop(tmp_path)
    assert shop.search(spark, 2).details == {"new_trials": 2, "met_thresholds": 2, "failed": 0}
    grown = shop.search(spark, 3)
    assert (grown.rows_out, grown.details["new_trials"]) == (3, 1)
    capsys.readouterr()
    assert shop.search(spark, 3).details["new_trials"] == 0
    printed = capsys.readouterr().out
    chosen = tomllib.loads(printed[printed.index("[vision]") :])["vision"]
    assert chosen["batch_size"] in (8, 16) and chosen["epochs"] in (1, 2) and chosen["backbone"] == "small"
    assert not list((tmp_path / "tables" / "vision_scratch").glob("*"))
    training_settings(shop.settings, tmp_path / "tables", {}, **chosen, read_ahead=2)
    assert shop.search(spark, 3).details["new_trials"] == 0
    with pytest.raises(search_vision.NothingChosenError, match="thresholds"):
        shop.search(spark, 3, quality=1.0)


@pytest.mark.parametrize(
    ("space", "vision", "told"),
    [
        ({"backbones": '["MobileNetV9"]'}, {}, "UnknownBackboneError"),
        ({"sizes": "[9]"}, {"pair_weight": 1.0}, "ValidationError: .*must be even"),
        ({}, {"pair_weight": 3e38}, "DivergedError"),  # so the second objective is there
    ],
)
def test_a_choice_that_does_not_work_is_told_and_passed_over(
    spark: SparkSession,
    tmp_path: Path,
    capsys: pytest.CaptureFixture[str],
    space: dict[str, str],
    vision: dict[str, object],
    told: str,
) -> None:
    with pytest.raises(search_vision.NothingChosenError):
        Shop(tmp_path, **vision).search(spark, 1, **space)
    assert re.search(f"trial 0 failed: {told}", capsys.readouterr().out, re.DOTALL)


@pytest.mark.parametrize(("weight", "space"), [(0.5, ""), (0.0, "pair_weight = [0.0, 0.5]")])
def test_pairs_need_an_instant(tmp_path: Path, capsys: pytest.CaptureFixture[str], weight: float, space: str) -> None:
    recipe = tmp_path / "recipe.toml"
    recipe.write_text(f"[space]\nepochs = [1]\n{space}\n")
    settings = training_settings(tmp_path / "larder.toml", tmp_path / "tables", {}, pair_weight=weight)
    with pytest.raises(SystemExit):
        search_vision.parse_arguments(["--settings", str(settings), "--recipe", str(recipe)])
    assert "name the interactions by --as-of" in capsys.readouterr().err


def test_results_need_a_folder(tmp_path: Path) -> None:
    recipe = VisionRecipe(space={"epochs": [1]}, store=str(tmp_path / "absent" / "search.db"))
    with pytest.raises(SettingsError, match=rf"store .*: there is no folder {tmp_path / 'absent'}"):
        search_vision._study(recipe, [], VisionSettings())


def test_a_trial_that_was_cut_off_is_tried_once_more(
    spark: SparkSession, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    shop = Shop(tmp_path)
    shop.search(spark, 1)
    study = _study(shop)
    cut_off = study.ask()
    params = {"batch_size": cut_off.suggest_categorical("batch_size", [8, 16])}
    assert shop.search(spark, 2).details["new_trials"] == 1
    again = _study(shop).trials[-1]
    assert again.number == 2 and again.params["batch_size"] == params["batch_size"]
    study.enqueue_trial(again.params, user_attrs=again.user_attrs)
    assert study.ask().number == 3  # tried once more, and cut off
    assert shop.search(spark, 3).details == {"new_trials": 0, "met_thresholds": 2, "failed": 1}
    assert "trial 3 failed: cut off again, as trial 1 was" in capsys.readouterr().out


def _study(shop: Shop):  # type: ignore[no-untyped-def]
    import optuna

    storage = f"sqlite:///{load_recipe(shop.recipe).store}"
    (name,) = optuna.get_all_study_names(storage)
    return optuna.load_study(study_name=name, storage=storage)


def test_larder_writes_a_recipe_for_the_pictures_at_hand(tmp_path: Path) -> None:
    from larder.cli.main import app

    shop = Shop(tmp_path)
    words = ["recipe", "vision", "--settings", str(shop.settings), "--to", str(shop.recipe)]
    assert CliRunner().invoke(app, words).exit_code == 0
    assert "made for 60 pictures in 3 leaf categories" in shop.recipe.read_text()
    assert load_recipe(shop.recipe).pictures == 60
    assert CliRunner().invoke(app, words).exit_code == 1
