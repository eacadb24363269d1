"""`larder recipe`: writes a recipe, fitted to the data, for a search over settings; to be edited and run."""

from __future__ import annotations

import sys
from collections import Counter
from pathlib import Path
from typing import Annotated

import typer

from larder.cli.settings_option import SettingsFile
from larder.settings import load_settings
from larder.settings.vision_recipe import recipe_text

verbs = typer.Typer(no_args_is_help=True, help="Write a recipe for a search over settings.")


@verbs.callback()
def _group() -> None:
    """Keeps `vision` a subcommand: typer would run a single command without its name."""


@verbs.command()
def vision(
    to: Annotated[
        Path | None, typer.Option(help="File to write, which must not exist yet (default: print the recipe).")
    ] = None,
    settings_file: SettingsFile = None,
) -> None:
    """Write a recipe for `larder search-vision`, by the pictures that were ingested."""
    settings = load_settings(settings_file)
    leaves = _leaves(settings.storage.tables)
    text = recipe_text(leaves.total(), len(leaves), min(leaves.values(), default=0), settings.vision.learning_rate)
    if to is None:
        print(text, end="")
        return
    try:
        with to.open("x", encoding="utf-8") as file:
            file.write(text)
    except FileExistsError:
        print(f"larder: {to} exists already; name another file, or remove it", file=sys.stderr)
        raise typer.Exit(1) from None


def _leaves(root: str) -> Counter[str]:
    """Number of pictures in each leaf category."""
    from larder.storage import Tables
    from larder.storage.parquet_reading import read_columns

    tables = Tables(root)
    images = tables.get("images", "catalogue", "larder ingest-images")
    found: Counter[str | None] = Counter()
    for uri in tables.uris([images]):
        found.update(read_columns(uri, ["category"])["category"].to_pylist())
    return Counter({leaf: pictures for leaf, pictures in found.items() if leaf})
