"""A recipe that Larder writes can be read, and an error names the setting that is wrong."""

from __future__ import annotations

from pathlib import Path

import pytest

from larder.settings import SettingsError
from larder.settings.vision_recipe import SearchRange, load_recipe, recipe_text

LEAST = "[space]\nepochs = [1, 2]\nlearning_rate = { low = 0.001, high = 0.01, log = true }\n"


@pytest.mark.parametrize(("pictures", "leaves"), [(10, 1), (2_400, 140), (2_000_000, 3_000)])
def test_a_written_recipe_can_be_run(tmp_path: Path, pictures: int, leaves: int) -> None:
    file = tmp_path / "recipe.toml"
    file.write_text(recipe_text(pictures, leaves, 1, 0.003))
    recipe = load_recipe(file)
    assert recipe.pictures == min(pictures, 20_000)
    assert recipe.store == str(tmp_path / "vision-search.db")
    rate = recipe.space["learning_rate"]
    assert isinstance(rate, SearchRange) and rate.log


def test_a_store_elsewhere_stays_there(tmp_path: Path) -> None:
    file = tmp_path / "recipe.toml"
    file.write_text(f'store = "/results/search.db"\n{LEAST}')
    assert load_recipe(file).store == "/results/search.db"


def test_networks_lie_beside_the_recipe(tmp_path: Path) -> None:
    file = tmp_path / "recipe.toml"
    file.write_text('[space]\nbackbone = ["small", "net.keras", "s3a://shop/net.keras"]\n')
    assert load_recipe(file).space["backbone"] == ["small", str(tmp_path / "net.keras"), "s3a://shop/net.keras"]


@pytest.mark.parametrize(
    ("text", "told"),
    [
        ("trials = 3\n", "space"),
        ("[space]\n", "space"),
        ("[space]\nepocs = [3]\n", "not settings of .vision."),
        ("[space]\nimage_size = [64]\n", "not settings of .vision."),
        ("[space]\nensemble = [1, 2]\n", "not settings of .vision."),
        ("[space]\nepochs = [0]\n", "greater than or equal to 1"),
        ("[space]\nlearning_rate = { low = 0.0, high = 1.0 }\n", "greater than 0"),
        ("[space]\nepochs = { low = 4, high = 2 }\n", "low must be at most high"),
        ("[space]\nwarm_up_epochs = { low = 0, high = 2, log = true }\n", "above 0 where log is set"),
        (f"trails = 3\n{LEAST}", "trails"),
        ("trials = = 3\n", "not valid TOML"),
    ],
)
def test_a_recipe_that_does_not_fit_says_why(tmp_path: Path, text: str, told: str) -> None:
    file = tmp_path / "recipe.toml"
    file.write_text(text)
    with pytest.raises(SettingsError, match=told):
        load_recipe(file)


def test_no_recipe_tells_how_to_make_one(tmp_path: Path) -> None:
    with pytest.raises(SettingsError, match="larder recipe vision --to"):
        load_recipe(tmp_path / "none.toml")
