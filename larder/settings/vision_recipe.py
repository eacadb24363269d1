"""A recipe: the values that a search over the vision model's settings may try, and the thresholds of its results."""

from __future__ import annotations

import sys
from pathlib import Path
from typing import Any

from pydantic import Field, ValidationError, field_validator, model_validator

from larder.settings.loading import SettingsError
from larder.settings.section import Section
from larder.settings.vision_section import NETWORK_FILE, VisionSettings

if sys.version_info >= (3, 11):
    import tomllib
else:
    import tomli as tomllib

Value = float | int | str | bool
# Settings of [vision] that have no effect in a trial: it uses the pictures as they were ingested, and trains one model,
# on one worker, without rounds, on the pictures that the recipe chooses.
NOT_OF_A_TRIAL = frozenset(
    {
        "image_size", "max_pixels", "max_bytes", "min_side", "decode_seconds", "read_ahead", "held_out",
        "workers", "ensemble", "validation", "patience",
        "epochs_per_round", "outer_learning_rate", "outer_momentum", "precision",
    }
)  # fmt: skip
OF_ALL_TRIALS = frozenset({"min_label_count", "pairs_of_product"})  # all trials have the same labels and partners


class SearchRange(Section):
    """A range of values, from `low` to `high`; of integers if the setting is one."""

    low: float | int
    high: float | int
    log: bool = Field(False, description="Whether values are drawn evenly by magnitude rather than by value.")

    @model_validator(mode="after")
    def can_be_drawn_from(self) -> SearchRange:
        if self.low > self.high or (self.log and self.low <= 0):
            raise ValueError("low must be at most high, and above 0 where log is set")
        return self


class Objectives(Section):
    """Thresholds of a trial's results. A trial that misses one is not chosen."""

    least_quality: float = Field(
        0.0, ge=0, le=1, description="Least share of the ten nearest pictures that have the same labels."
    )
    most_seconds: float = Field(float("inf"), gt=0, description="Most seconds of training, in one task.")
    most_bytes: float = Field(float("inf"), gt=0, description="Most bytes of the model for inference.")


class VisionRecipe(Section):
    """A recipe of `larder search-vision`. The names in `space` are settings of [vision]."""

    trials: int = Field(24, ge=1, description="Trials of the search.")
    at_once: int = Field(2, ge=1, description="Trials that run at once, each in a task of its own.")
    seed: int = Field(42, description="Seed of the search's choices.")
    store: str = Field(
        "vision-search.db",
        description="SQLite file of results, beside the recipe. A search that is run again continues it.",
    )
    pictures: int = Field(
        20_000, ge=10, description="Most pictures that trials use, chosen by a hash of the product id."
    )
    validation: float = Field(0.2, gt=0, lt=1, description="Share of the pictures that trials are measured on.")
    objectives: Objectives = Objectives()
    space: dict[str, SearchRange | list[Value]] = Field(min_length=1)

    @field_validator("space")
    @classmethod
    def settings_that_fit(cls, space: dict[str, SearchRange | list[Value]]) -> dict[str, SearchRange | list[Value]]:
        known = set(VisionSettings.model_fields) - NOT_OF_A_TRIAL - OF_ALL_TRIALS
        if unknown := sorted(set(space) - known):
            raise ValueError(
                f"not settings of [vision] that a trial may choose: {unknown}; choose from {sorted(known)}"
            )
        for name, values in space.items():
            for value in [values.low, values.high] if isinstance(values, SearchRange) else values:
                VisionSettings(**{name: value})
        return space


def load_recipe(path: Path) -> VisionRecipe:
    """Returns the recipe in a TOML file, its paths made absolute. Raises SettingsError with file and setting."""
    try:
        recipe = VisionRecipe(**tomllib.loads(path.read_text(encoding="utf-8")))
    except FileNotFoundError:
        raise SettingsError(f"no recipe at {path}; make one with `larder recipe vision --to {path}`") from None
    except (tomllib.TOMLDecodeError, UnicodeDecodeError) as error:
        raise SettingsError(f"{path} is not valid TOML: {error}") from None
    except ValidationError as error:
        lines = [f"  {'.'.join(map(str, each['loc']))}: {each['msg']}" for each in error.errors()]
        raise SettingsError(f"the recipe {path} has wrong values:\n" + "\n".join(lines)) from None
    folder = path.resolve().parent
    space = {name: _beside(folder, values) for name, values in recipe.space.items()}
    return recipe.model_copy(update={"store": str(folder / recipe.store), "space": space})


def _beside(folder: Path, values: SearchRange | list[Value]) -> SearchRange | list[Value]:
    """The values, with absolute paths of networks' files: trials run in other directories."""
    if isinstance(values, SearchRange):
        return values
    files = [str(each).endswith(NETWORK_FILE) and "://" not in str(each) for each in values]
    return [str(folder / str(each)) if is_file else each for each, is_file in zip(values, files, strict=True)]


def recipe_text(pictures: int, leaves: int, smallest: int, learning_rate: float) -> str:
    """Returns a commented recipe for `pictures` in `leaves` leaf categories, the smallest of which has `smallest`."""
    batches = [16, 32] if pictures < 20_000 else [32, 64, 128]
    epochs = [12, 24] if pictures < 20_000 else [4, 8]
    embeddings = [32, 64] if leaves < 500 else [64, 128, 256]
    values: dict[str, Any] = {
        "pictures": min(pictures, 20_000),
        "batch": batches,
        "epochs": epochs,
        "embedding": embeddings,
        "low": learning_rate / 10,
        "high": learning_rate * 3,
    }
    return RECIPE.format(found=pictures, leaves=leaves, smallest=smallest, **values)


RECIPE = """\
# A search over settings of the vision model, made for {found:,} pictures in {leaves:,} leaf categories (the smallest
# has {smallest}). Edit it, then run it; run again, it goes on, with more trials where `trials` has grown:
#   larder search-vision --recipe THIS_FILE
trials = 24
at_once = 2                    # side by side, each in a task of its own: as many as Spark has cores, or GPUs
seed = 42
store = "vision-search.db"     # SQLite, beside this file
pictures = {pictures}          # at most so many, by a hash of their id
validation = 0.2               # share of them that trials are measured on

[objectives]                   # quality up, seconds and bytes down; what misses a threshold is not chosen
least_quality = 0.0            # share of the ten nearest that have the same labels
most_seconds = 3600.0          # of training, on one task
most_bytes = 100e6             # of the model for inference

[space]                        # any setting of [vision]: a list of values, or from low to high
learning_rate = {{ low = {low:g}, high = {high:g}, log = true }}
learning_rate_schedule = ["constant", "cosine"]
batch_size = {batch}
epochs = {epochs}
embedding = {embedding}
backbone = ["small"]           # or "MobileNetV3Small" and others of keras.applications
"""
