"""`larder mask`: products that are not shown from one second to the next, without a new release."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Annotated

import typer
from rich.console import Console
from rich.markup import escape
from rich.table import Table

from larder.cli.connected_redis import connected
from larder.cli.settings_option import SettingsFile
from larder.jobs.runtime.printable_text import printable
from larder.loaders.mask_sets import MaskSets
from larder.settings import load_settings

verbs = typer.Typer(help="Hide products from everybody, or from one visitor.", no_args_is_help=True)

Products = Annotated[list[str], typer.Argument(help="Product ids.")]
Cookie = Annotated[str, typer.Option(help="Only for the visitor with this cookie; default: for everybody.")]


@verbs.command()
def add(
    products: Products,
    cookie: Cookie = "",
    reason: Annotated[
        str, typer.Option(help="Why they are not shown, for people who read `mask list`.")
    ] = "out_of_stock",
    hours: Annotated[
        float, typer.Option(help="With --cookie: hours until they are shown again, from the last such call.", min=0.001)
    ] = 168,
    settings_file: SettingsFile = None,
) -> None:
    """Stop showing products, without a new release."""
    with _masks(settings_file) as masks:
        if cookie:
            masks.add_for(cookie, products, max(1, round(hours * 3600)))
        else:
            masks.add(products, reason)
    print(f"masked: {len(products)}")


@verbs.command()
def remove(products: Products, cookie: Cookie = "", settings_file: SettingsFile = None) -> None:
    """Show masked products again."""
    with _masks(settings_file) as masks:
        removed = masks.remove_for(cookie, products) if cookie else masks.remove(products)
    print(f"no longer masked: {removed} of {len(products)}")


@verbs.command("list")
def list_(cookie: Cookie = "", settings_file: SettingsFile = None) -> None:
    """List the products that are masked now."""
    with _masks(settings_file) as masks:
        if cookie:
            products, seconds = masks.all_for(cookie)
            rows = [(product, f"for {seconds / 3600:.1f} more hours") for product in products]
        else:
            rows = list(masks.all().items())
    table = Table("product", "reason", box=None)
    for product, reason in rows:
        table.add_row(escape(printable(product)), escape(printable(reason)))
    Console().print(table)


@contextmanager
def _masks(settings_file: Path | None) -> Iterator[MaskSets]:
    settings = load_settings(settings_file)
    with connected(settings) as client:
        yield MaskSets(client, settings.redis.namespace)
