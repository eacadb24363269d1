"""`larder plan`: memory, servers and hours that a shop of a given size needs."""

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
    cookies: Annotated[int, typer.Option(help="Cookies that get a list.", min=0)],
    products: Annotated[int, typer.Option(help="Products of the catalogue.", min=1)],
    contexts: Annotated[int, typer.Option(help="Pairs of location and device.", min=0)] = 1_000,
    active: Annotated[int, typer.Option(help="Cookies with an event in a day: the size of a delta.", min=0)] = 0,
    requests: Annotated[float, typer.Option(help="Requests per second at the busiest time.", min=0)] = 1_000.0,
    requests_per_instance: Annotated[
        float, typer.Option(help="Requests per second that one endpoint answers.", min=1)
    ] = 10_000.0,
    lists_per_core: Annotated[float, typer.Option(help="Lists per second that one Spark core makes.", min=1)] = 6_000.0,
    shard_gib: Annotated[float, typer.Option(help="Memory of one Redis server in GiB.", min=0.001)] = 16.0,
    rate: Annotated[
        float, typer.Option(help="Lists loaded per second. 0: it is measured on this machine.", min=0)
    ] = 0.0,
    settings_file: SettingsFile = None,
) -> None:
    """Estimate memory, servers and hours of a shop."""
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
