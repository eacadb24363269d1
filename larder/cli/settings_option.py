"""The option `--settings`, which every verb has."""

from pathlib import Path
from typing import Annotated

import typer

SettingsFile = Annotated[
    Path | None,
    typer.Option(
        "--settings", metavar="FILE", help="The settings file (default: $LARDER_SETTINGS, else ./larder.toml)."
    ),
]
