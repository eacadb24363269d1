"""`larder plan`: what a shop of a given size needs, before there is one."""

from __future__ import annotations

from typing import Annotated

import typer

from larder.cli.settings_option import SettingsFile
from larder.loaders.capacity import PlanAssumptions, ShopSize, measured_rate, plan_lines
from larder.settings import load_settings

verbs = typer.Typer()
BYTES_A_GIBIBYTE = 1 << 30


@verbs.command()
def plan(
    cookies: Annotated[int, typer.Option(help="cookies that get a list", min=0)],
    products: Annotated[int, typer.Option(help="products of the catalogue", min=1)],
    contexts: Annotated[int, typer.Option(help="pairs of location and device", min=0)] = 1_000,
    active: Annotated[int, typer.Option(help="cookies that do something in a day: the size of deltas", min=0)] = 0,
    requests: Annotated[float, typer.Option(help="requests a second at the busiest", min=0)] = 1_000.0,
    requests_per_instance: Annotated[float, typer.Option(help="requests a second of one endpoint", min=1)] = 10_000.0,
    lists_per_core: Annotated[float, typer.Option(help="lists a second that a Spark core makes", min=1)] = 6_000.0,
    shard_gib: Annotated[float, typer.Option(help="memory of one Redis server", min=0.001)] = 16.0,
    rate: Annotated[float, typer.Option(help="lists loaded a second; 0: measure it here", min=0)] = 0.0,
    settings_file: SettingsFile = None,
) -> None:
    """What a shop of some size needs, reckoned."""
    settings = load_settings(settings_file)
    size = ShopSize(
        cookies=cookies,
        products=products,
        contexts=contexts,
        items=settings.lists.personal,
        scores=settings.redis.scores,
        bucket_size=settings.redis.bucket_size,
    )
    assumed = PlanAssumptions(
        releases=settings.redis.keep_releases,
        active=active,
        shard_bytes=int(shard_gib * BYTES_A_GIBIBYTE),
        lists_per_core=lists_per_core,
        requests=requests,
        requests_per_instance=requests_per_instance,
    )
    lines = plan_lines(size, assumed, rate, "given") if rate else plan_lines(size, assumed, measured_rate(size))
    for line in lines:
        print(line)
