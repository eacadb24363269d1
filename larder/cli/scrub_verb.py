"""`larder scrub`: reads every file of the tables and says which are damaged."""

from __future__ import annotations

from typing import Annotated

import typer

from larder.cli.settings_option import SettingsFile
from larder.settings import load_settings

verbs = typer.Typer()


class DamageFoundError(RuntimeError):
    """Files of tables are damaged; the message names each, and how it is made again."""


@verbs.command()
def scrub(
    table: Annotated[list[str] | None, typer.Option(help="read this table only; may be given more than once")] = None,
    settings_file: SettingsFile = None,
) -> None:
    """Read every file of the tables and find the damaged ones."""
    from larder.storage import Tables
    from larder.storage.scrub import scrub as scrub_tables

    found = scrub_tables(Tables(load_settings(settings_file).storage.tables), table or ())
    print(
        f"scrub: {found.partitions:,} partitions, {found.files:,} files, {found.bytes:,} bytes, "
        f"{len(found.damages):,} damaged, {found.without_digest:,} without a digest"
    )
    if found.damages:
        raise DamageFoundError("\n".join(found.damages))
